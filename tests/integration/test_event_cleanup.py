# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""event_cleanup on real databases and a real bucket, in its special cases."""

from __future__ import annotations

import json
import syslog
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.record import safety

from support.builders import Builder
from support.recording_server import Request
from support.schemas import SCHEMAS
from support.snapshot import counts, removed
from support.world import World

Open = Callable[..., World]


@pytest.mark.parametrize("version", SCHEMAS)
def test_cutoff_to_the_microsecond(open_world: Open, version: int) -> None:
    world = open_world(version)
    build = Builder(world.connection)
    owner = build.user()
    now = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=timezone.utc)
    world.freeze(now)
    cutoff = now - timedelta(days=30)

    def event(ends_at: datetime | None, **columns: Any) -> str:
        starts_at = ends_at - timedelta(hours=1) if ends_at else None
        return build.event(owner, starts_at=starts_at, ends_at=ends_at, **columns)

    goes = {event(cutoff), event(cutoff - timedelta(days=400)), event(cutoff, is_all_day=True)}
    stays = {
        event(cutoff + timedelta(microseconds=1)),
        event(now + timedelta(days=1)),
        event(None),
        event(cutoff - timedelta(days=9), recurrence_pattern="RRULE:FREQ=DAILY"),
        event(cutoff - timedelta(days=9), recurrence_pattern="RRULE:FREQ=DAILY;COUNT=2"),
    }
    run = world.run("event_cleanup")
    assert set(run["done"]["events"]["ids"]) == goes
    assert world.ids("events") == stays


@pytest.mark.parametrize("version", SCHEMAS)
def test_finished_series(open_world: Open, version: int) -> None:
    world = open_world(version)
    build = Builder(world.connection)
    owner = build.user()
    start = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=100)

    def series(pattern: str, **columns: Any) -> str:
        end = start + timedelta(days=90)
        return build.event(
            owner, starts_at=start, ends_at=end, recurrence_pattern=pattern, duration_secs=3600, **columns
        )

    goes = {series("RRULE:FREQ=WEEKLY;COUNT=3"), series("RRULE:FREQ=DAILY;COUNT=3\nEXDATE:20200101T000000Z")}
    moved = series("RRULE:FREQ=WEEKLY;COUNT=3")
    build.exception(
        moved, owner, kind="modified", starts_at=start + timedelta(days=99), ends_at=start + timedelta(days=99)
    )
    lasting = series("RRULE:FREQ=WEEKLY;COUNT=3")
    build.exception(lasting, owner, kind="modified", starts_at=start + timedelta(days=70, minutes=-30))
    broken = {series("RRULE:FREQ=NEVER;COUNT=3"), series("RRULE:FREQ=DAILY;COUNT=3", starts_at_tz="Mars/Olympus")}
    if version == 52:  # it may say that it recurs, but not how
        broken.add(build.event(owner, starts_at=start, ends_at=start + timedelta(hours=1), is_recurring=True))
    stays = {series("RRULE:FREQ=WEEKLY"), series("RRULE:FREQ=WEEKLY;COUNT=30"), moved, lasting} | broken
    run = world.run("event_cleanup", include_finished_series=True)
    assert set(run["done"]["events"]["ids"]) == goes
    assert world.ids("events") == stays
    assert {event_id for event_id in broken if event_id in str(run["warnings"])} == broken
    assert "NEVER" not in str(run)


@pytest.mark.parametrize("version", SCHEMAS)
def test_event_moved_between_plan_and_apply_stays(open_world: Open, version: int) -> None:
    world = open_world(version)
    build = Builder(world.connection)
    owner = build.user()
    old = datetime.now(timezone.utc) - timedelta(days=90)
    moved = build.event(owner, starts_at=old, ends_at=old)
    gone = build.event(owner, starts_at=old, ends_at=old)
    for event_id in (moved, gone):
        build.asset(build.room_of(event_id))
    world.upload()
    table = "event_dates" if version >= 61 else "events"
    column = "event_id" if version >= 61 else "id"

    def move(request: Request) -> None:
        # The plan is made, the bucket is looked at, and the first batch has not begun.
        if request.operation == "HeadBucket":
            statement = f"UPDATE {table} SET ends_at = now() + interval '1 day' WHERE {column} = %s"
            world.query(statement, (moved,))

    world.proxy.on_request(move)
    run = world.run("event_cleanup")
    assert run["plan"]["events"]["count"] == 2
    assert run["done"]["events"]["ids"] == [gone]
    assert world.ids("events") == {moved}
    assert len(world.objects()) == len(world.ids("assets")) == 1
    assert any(moved in line and "no longer match" in line for line in run["log"])


@pytest.mark.parametrize("versioned", [False, True], ids=["plain bucket", "versioned bucket"])
def test_refused_key(open_world: Open, versioned: bool) -> None:
    world = open_world(67, versioned=versioned)
    world.fill(events=110)
    plan = world.run("event_cleanup", check_mode=True)["plan"]
    victim = plan["assets"]["ids"][3]
    ((room, event),) = world.query(
        "SELECT room_id::text, e.id::text FROM room_assets JOIN events e ON e.room = room_id WHERE asset_id = %s",
        (victim,),
    )
    before = world.rows()
    kept_rows = {table: [row for row in rows if room in row or event in row] for table, rows in before.items()}
    world.proxy.refuse_keys({f"assets/{victim}": "AccessDenied"})

    run = world.run("event_cleanup")
    assert run["failed"]
    assert event in run["msg"] or victim in run["msg"]
    assert {(failure["kind"], failure["id"]) for failure in run["failures"]} == {("events", event), ("assets", victim)}
    assert run["done"]["events"]["count"] == plan["events"]["count"] - 1
    after = world.rows()
    for table, rows in kept_rows.items():
        assert set(rows) <= set(after[table]), table
    assert f"assets/{victim}" in world.objects()
    assert counts(removed(before, after)) == run["done"]["rows_deleted"]

    world.proxy.clear_faults()
    rest = world.run("event_cleanup")
    assert rest["done"]["events"]["ids"] == [event]
    assert world.objects().keys() == {f"assets/{asset_id}" for asset_id in world.ids("assets")}
    if versioned:
        assert {key for key, _unused in world.storage.versions(world.bucket)} == world.objects().keys()


def test_failures_are_listed_up_to_the_limit_and_all_counted(
    open_world: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal names all of them."""
    journal: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda _severity, text: journal.append(text))
    world = open_world(67)
    world.fill(events=110)
    world.proxy.refuse_keys(dict.fromkeys(world.objects(), "AccessDenied"))
    assets = world.run("event_cleanup", check_mode=True)["plan"]["assets"]["count"]
    for limit, listed in ((2, 2), (0, 1)):
        run = world.run("event_cleanup", report_limit=limit, batch_size=9, audit_log=str(tmp_path / f"{limit}.jsonl"))
        # All of these assets, and at first the events that stay because of them.
        assert run["failed"] and run["failure_count"] > assets > 9
        assert len(run["failures"]) == listed
        assert f"{run['failure_count']} things stay" in run["msg"] and run["failures"][0]["id"] in run["msg"]
        errors = [line for line in run["log"] if line.startswith("[ERROR]")]
        assert len(errors) == listed + 2 and "the journal of this host names them" in errors[-2]
        last = json.loads((tmp_path / f"{limit}.jsonl").read_text().splitlines()[-1])
        named = [line for line in journal if line.startswith(("event_cleanup: assets ", "event_cleanup: events "))]
        journal.clear()
        assert last["failures"] == run["failure_count"] == len(named)


def test_object_under_legal_hold(open_world: Open) -> None:
    """The storage itself refuses to delete a version, with its own error code."""
    world = open_world(67, object_lock=True)
    world.fill(events=44)
    plan = world.run("event_cleanup", check_mode=True)["plan"]
    victim = plan["assets"]["ids"][0]
    held = {"Bucket": world.bucket, "Key": f"assets/{victim}"}
    world.storage.client().put_object_legal_hold(**held, LegalHold={"Status": "ON"})
    run = world.run("event_cleanup")
    assert run["failed"] and victim in {failure["id"] for failure in run["failures"]}
    assert run["done"]["events"]["count"] == plan["events"]["count"] - 1
    assert victim in world.ids("assets") and f"assets/{victim}" in world.objects()
    world.storage.client().put_object_legal_hold(**held, LegalHold={"Status": "OFF"})
    assert world.run("event_cleanup")["done"]["events"]["count"] == 1
    assert {key for key, _unused in world.storage.versions(world.bucket)} == {
        f"assets/{id}" for id in world.ids("assets")
    }


def test_objects_are_deleted_by_the_thousand_and_before_the_rows(open_world: Open) -> None:
    world = open_world()
    build = Builder(world.connection)
    owner = build.user()
    old = datetime.now(timezone.utc) - timedelta(days=90)
    room = build.room_of(build.event(owner, starts_at=old, ends_at=old))
    build.assets(room, 2300)
    world.upload()
    seen: list[int] = []
    world.proxy.on_request(
        lambda request: seen.append(len(world.ids("assets"))) if request.operation == "DeleteObjects" else None
    )
    run = world.run("event_cleanup")
    assert run["done"]["assets"]["count"] == 2300
    assert sorted(len(batch) for batch in world.proxy.deletions) == [300, 1000, 1000]
    assert seen == [2300, 2300, 2300]
    assert world.objects() == {}


def test_storage_lost_in_mid_run_is_completed_by_the_next(open_world: Open) -> None:
    world = open_world()
    world.fill(events=440, expired=300)
    world.proxy.fail(403, lambda request: len(world.proxy.deletions) > 1 and request.operation == "DeleteObjects")
    before = world.rows()
    run = world.run("event_cleanup", batch_size=50)
    assert run["failed"] and "denies access" in run["msg"]
    assert 0 < run["done"]["events"]["count"] < 300
    assert counts(removed(before, world.rows())) == run["done"]["rows_deleted"]
    world.proxy.clear_faults()
    rest = world.run("event_cleanup", batch_size=50)
    assert rest["done"]["events"]["count"] == 300 - run["done"]["events"]["count"]
    assert world.objects().keys() == {f"assets/{asset_id}" for asset_id in world.ids("assets")}


def test_timeout_stops_the_job_and_the_next_run_completes_it(open_world: Open) -> None:
    world = open_world()
    world.fill(events=220)
    world.proxy.hang(20, lambda request: request.operation == "DeleteObjects")
    before = world.rows()
    run = world.run("event_cleanup", timeout=3)
    assert run["failed"] and "timeout of 3 seconds" in run["msg"]
    assert world.rows() == before
    world.proxy.clear_faults()
    assert world.run("event_cleanup")["changed"]


def test_statement_that_waits_ends_with_the_timeout(open_world: Open) -> None:
    world = open_world()
    world.fill(events=110)
    before = world.rows()
    with world.server.connect(world.database) as blocker, blocker.cursor() as cursor:
        cursor.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        run = world.run("event_cleanup", timeout=4)
    blocker.close()
    assert run["failed"] and ("timeout of 4 seconds" in run["msg"] or "lock" in run["msg"])
    assert world.rows() == before


def test_locked_event_stays_and_the_others_go(open_world: Open) -> None:
    world = open_world()
    world.fill(events=22, expired=4, assets_every=0, folders=False)
    locked = world.run("event_cleanup", check_mode=True)["plan"]["events"]["ids"][1]
    blocker = world.server.connect(world.database)
    blocker.cursor().execute("SELECT FROM events WHERE id = %s FOR UPDATE", (locked,))
    run = world.run("event_cleanup")
    blocker.close()
    assert run["failed"] and locked in run["msg"]
    assert [failure["id"] for failure in run["failures"]] == [locked]
    assert run["done"]["events"]["count"] == 3
    assert world.run("event_cleanup")["done"]["events"]["ids"] == [locked]


def test_second_run_is_skipped_while_one_is_in_progress(open_world: Open) -> None:
    world = open_world()
    world.fill(events=44)
    before = world.rows()
    inner: list[dict[str, Any]] = []

    def run_meanwhile(request: Request) -> None:
        if request.operation == "HeadBucket" and not inner:
            inner.append({})
            inner.extend(world.run_in_process("event_cleanup", check_mode=mode) for mode in (False, True))

    world.proxy.on_request(run_meanwhile)
    outer = world.run("event_cleanup")
    assert outer["changed"]
    for result in inner[1:]:
        assert result["skipped"] and not result["changed"] and not result.get("failed")
        assert result["plan"]["rows_deleted"] == {}
    assert counts(removed(before, world.rows())) == outer["done"]["rows_deleted"]


def test_safety_limits_touch_nothing(open_world: Open) -> None:
    world = open_world()
    world.fill(events=110)
    before = world.rows()
    planned = world.run("event_cleanup", check_mode=True)["plan"]["events"]["count"]
    for mode in (True, False):
        few = world.run("event_cleanup", check_mode=mode, max_affected=planned - 1)
        assert few["failed"] and f"{planned}" in few["msg"] and f"{planned - 1}" in few["msg"]
        percent = world.run("event_cleanup", check_mode=mode, max_affected_percent=10)
        assert percent["failed"] and f"{planned} of 110" in percent["msg"] and "10" in percent["msg"]
    assert world.rows() == before
    assert world.proxy.writes == []
    assert world.run("event_cleanup", max_affected=planned, max_affected_percent=60)["changed"]


def test_safety_limit_in_percent_is_about_the_moment_of_the_plan(
    open_world: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = open_world()
    world.fill(events=110)
    check, more = (
        safety.check,
        ("INSERT INTO rooms (created_by, waiting_room, tenant_id) SELECT created_by, false, tenant_id FROM rooms"),
    )
    world.query(more)
    rooms = len(world.ids("rooms"))

    def check_after_a_change(*arguments: Any, **limits: Any) -> None:
        world.query(more)
        check(*arguments, **limits)

    monkeypatch.setattr(safety, "check", check_after_a_change)
    assert f" of {rooms} (" in world.run("room_cleanup", max_affected_percent=10)["msg"]
    assert len(world.ids("rooms")) == 2 * rooms


def test_report_limit_shortens_lists_but_not_counts(open_world: Open) -> None:
    world = open_world()
    world.fill(events=110)
    run = world.run("event_cleanup", report_limit=2)
    for kind in ("events", "rooms", "invites", "assets"):
        listing = run["done"][kind]
        assert len(listing["ids"]) == 2 < listing["count"] and listing["truncated"]
        assert listing["count"] == run["done"]["rows_deleted"][kind]
