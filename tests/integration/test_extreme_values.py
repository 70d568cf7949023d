# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any value that a column can hold: no job ends in a traceback, and nothing goes that is not due."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from support.builders import Builder
from support.cloud_server import CloudServer
from support.keycloak import KeycloakProxy, KeycloakServer, Realm
from support.keycloak_stand_in import KeycloakStandIn
from support.keycloak_world import KeycloakWorld
from support.schemas import SCHEMAS
from support.snapshot import deleted
from support.world import World

Open = Callable[..., World]
NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
LONG_AGO = NOW - timedelta(days=90)
# Moments that are infinite, or that Python cannot hold in every time zone.
EXTREME = (
    "-infinity", "4713-01-01 00:00+00 BC", "0001-12-31 23:59:59+00 BC", "0001-01-01 00:00+00", "9999-12-31 23:59:59.999999+00",
    "10000-01-01 00:00+00", "294276-12-31 23:59:59.999999+00", "infinity",
)  # fmt: skip
# In the order of time.
PAST, FUTURE = (
    ("0001-01-05 00:00+00", "0999-12-31 23:59+00", str(LONG_AGO)),
    ("2026-05-02 00:00+00", "9999-12-28 00:00+00"),
)
ORDINARY = PAST + FUTURE
SERIES = {"include_finished_series": True}
WEEKLY = "RRULE:FREQ=WEEKLY;COUNT=3"
MEGABYTE = 1_000_000


def preview_and_run(world: World, module: str, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both succeed and agree. The preview touches nothing."""
    rows, objects = world.rows(), world.objects()
    results = []
    for check_mode in (True, False):
        assert world.rows() == rows and world.objects() == objects
        results.append(world.run(module, check_mode=check_mode, **options))
        assert not results[-1].get("failed") and "exception" not in results[-1], results[-1]["msg"]
        json.dumps(results[-1], allow_nan=False)
    preview, run = results
    assert preview["plan"] == run["plan"]
    assert deleted(rows, world.rows()) == run["plan"]["rows_deleted"] == run["done"]["rows_deleted"]
    assert world.objects().keys() == {f"assets/{asset}" for asset in world.ids("assets")}
    return preview, run


class Dated:
    """An installation with a stopped clock, whose events get any dates."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.freeze(NOW)
        self.build = Builder(world.connection)
        self.owner = self.build.user()
        self._table = "event_dates" if world.version >= 61 else "events"
        self._key = "event_id" if world.version >= 61 else "id"

    def event(self, pattern: str | None = None, **columns: Any) -> str:
        """An event with a single asset, and with these dates."""
        made = self.build.event(self.owner, starts_at=LONG_AGO, ends_at=LONG_AGO, recurrence_pattern=pattern)
        self.build.asset(self.build.room_of(made))
        for column, value in columns.items():
            self.world.query(f"UPDATE {self._table} SET {column} = %s WHERE {self._key} = %s", (value, made))
        return made

    def check(self, goes: set[str], **options: Any) -> dict[str, Any]:
        """Exactly these events go. The run's result is returned."""
        before = self.world.ids("events")
        self.world.upload()
        _preview, run = preview_and_run(self.world, "event_cleanup", **options)
        assert before - self.world.ids("events") == goes
        return run


def told(result: dict[str, Any]) -> tuple[int, set[str]]:
    """The number of events in the warning about dates, and the ids that it names."""
    (warning,) = [line for line in result["log"] if "because of their dates" in line]
    assert warning.removeprefix("[WARN ] ") in str(result["warnings"])
    count, _comma, rest = warning.partition("dates: ")[2].partition(", the first of them ")
    return int(count), set(rest.partition(";")[0].split(", "))


@pytest.mark.parametrize("options", [{}, SERIES], ids=["single", "series"])
@pytest.mark.parametrize("version", SCHEMAS)
def test_dates_of_single_events(open_world: Open, version: int, options: dict[str, Any]) -> None:
    """An event stays if a date is no ordinary one, or if it ends before it starts. One warning has their number."""
    dated = Dated(open_world(version))
    moments = [*EXTREME[:4], *ORDINARY, *EXTREME[4:]]
    made = {
        (starts_at, ends_at): dated.event(starts_at=starts_at, ends_at=ends_at)
        for starts_at, ends_at in itertools.product(moments, repeat=2)
        if (starts_at, ends_at) not in itertools.product(EXTREME[1:], EXTREME[1:])
    }
    right = {pair for pair in made if set(pair) <= set(ORDINARY) and moments.index(pair[0]) <= moments.index(pair[1])}
    goes = {made[pair] for pair in right if pair[1] in PAST}
    assert len(goes) == 6
    run = dated.check(goes, **options)
    odd = {event for pair, event in made.items() if pair not in right}
    count, named = told(run)
    assert count == len(odd) and named == set(sorted(odd)[:5])
    again = dated.check(set(), **options)
    assert not again["changed"] and told(again) == (count, named)


@pytest.mark.parametrize("version", SCHEMAS)
def test_dates_of_series(open_world: Open, version: int) -> None:
    dated = Dated(open_world(version))
    right = {"starts_at": LONG_AGO, "ends_at": LONG_AGO + timedelta(days=15)}
    goes = {dated.event(WEEKLY, **right), dated.event(WEEKLY, starts_at=LONG_AGO, ends_at=LONG_AGO)}
    odd = {dated.event(WEEKLY, starts_at=moment, ends_at=moment) for moment in EXTREME}
    odd |= {dated.event(WEEKLY, **{**right, "ends_at": moment}) for moment in EXTREME}
    odd.add(dated.event(WEEKLY, starts_at=LONG_AGO, ends_at=LONG_AGO - timedelta(seconds=1)))
    # Nobody asks when an endless series ends.
    endless = {dated.event("RRULE:FREQ=WEEKLY", **{**right, "ends_at": moment}) for moment in EXTREME[4:]}
    with_exception = set()
    for starts_at, ends_at in [*((moment, None) for moment in EXTREME), *itertools.product(EXTREME[::3], EXTREME[::3])]:
        event = dated.event(WEEKLY, **right)
        exception = dated.build.exception(event, dated.owner, kind="modified")
        dated.world.query(
            "UPDATE event_exceptions SET starts_at = %s, ends_at = %s, exception_date = %s WHERE id = %s",
            (starts_at, ends_at, starts_at, exception),
        )
        with_exception.add(event)
    harmless = dated.event(WEEKLY, **right)
    cancelled = dated.build.exception(harmless, dated.owner, kind="cancelled")
    dated.world.query("UPDATE event_exceptions SET exception_date = 'infinity' WHERE id = %s", (cancelled,))
    # Without the option, series are not looked at.
    assert "because of their dates" not in str(dated.check(set())["log"])
    run = dated.check(goes | {harmless}, **SERIES)
    count, named = told(run)
    assert count == len(odd | with_exception) and named <= odd | with_exception
    assert not any(event in str(run["warnings"]) for event in endless)


# Odd, but over.
OVER = ("RRULE:FREQ=DAILY;UNTIL=00010101", f"{WEEKLY}\nEXDATE:00020101T000000", "RRULE:FREQ=DAILY;COUNT=0000001")
ODD_RULES = (
    "", " ", "\n\n", "RRULE:", ":", ";", "RRULE:FREQ=DAILY;COUNT=" + "9" * 3000, "RRULE:FREQ=HOURLY;COUNT=999999999",
    "RRULE:FREQ=DAILY;UNTIL=99991231T235959Z", "RRULE:FREQ=DAILY;UNTIL=00000000", "RRULE:FREQ=YEARLY;COUNT=9999",
    f"{WEEKLY}\nRDATE:99991231T235959", f"{WEEKLY}\nEXDATE:99999999T000000",
    f"{WEEKLY}\nEXDATE:00010101T000000", "RRULE:" + "BYDAY=MO;" * 400,
    "\x01\x7f\u202e🎈" * 500, "(" * 4000, f"{WEEKLY}\nRDATE;TZID=" + "x" * 3000 + ":20260101T000000",
    "RRULE:FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=2;COUNT=1", "RRULE:FREQ=HOURLY;BYMINUTE=" + ",".join(map(str, range(60))),
)  # fmt: skip
ODD_ZONES = (
    "",
    " ",
    "Mars/Olympus",
    "../../etc/passwd",
    "/etc/localtime",
    "Europe",
    "a" * 255,
    "ä",
    "UTC\n",
    "tzdata.zi",
    ".",
)


@pytest.mark.parametrize("version", SCHEMAS)
def test_rules_of_series(open_world: Open, version: int) -> None:
    dated = Dated(open_world(version))
    lengths = [-1, -(2**31), 2**31 - 1, *([None] if version < 67 else [])]
    for seconds in lengths:
        dated.event(WEEKLY, duration_secs=seconds)
    for zone in ODD_ZONES:
        dated.event(WEEKLY, starts_at_tz=zone)
    for rule in ODD_RULES:
        dated.event(rule) if rule else dated.event(WEEKLY, duration_secs=-1)
    goes = {dated.event(WEEKLY), dated.event(WEEKLY, duration_secs=0), *map(dated.event, OVER)}
    run = dated.check(goes, **SERIES)
    warned = [line for line in run["log"] if "cannot be used" in line]
    assert len(warned) > len(ODD_ZONES) + len(ODD_RULES) // 2


@pytest.mark.parametrize(
    ("days", "due"),
    # A series that began more than a hundred years before the cutoff is not expanded.
    [(1, (3, 2)), (700_000, (1, None)), (739_700, (1, 0)), (739_735, (0, None))],
)
@pytest.mark.parametrize("version", [52, 67])
def test_cutoff_near_the_beginning_of_the_calendar(
    open_world: Open, version: int, days: int, due: tuple[int, int | None]
) -> None:
    dated = Dated(open_world(version))
    for moment in (*EXTREME, *FUTURE):
        dated.event(starts_at=moment, ends_at=moment)
        dated.event(WEEKLY, starts_at=moment, ends_at=moment)
        dated.event(WEEKLY, starts_at=moment, ends_at=moment, duration_secs=2**31 - 1)
    single = [dated.event(starts_at=moment, ends_at=moment) for moment in PAST]
    series = [dated.event(WEEKLY, starts_at=moment, ends_at=moment) for moment in PAST]
    number, over = due
    goes = {*single[:number], *([] if over is None else [series[over]])}
    run = dated.check(goes, days_since_last_occurrence=days, **SERIES)
    assert told(run)[0] == 3 * len(EXTREME)


@pytest.mark.parametrize("version", [52, 67])
def test_creation_of_adhoc_events(open_world: Open, version: int) -> None:
    dated = Dated(open_world(version))
    made = {moment: dated.event() for moment in (*EXTREME, *ORDINARY)}
    for moment, event in made.items():
        dated.world.query(
            "UPDATE events SET is_adhoc = true, created_at = %s, updated_at = %s WHERE id = %s", (moment, moment, event)
        )
    dated.world.upload()
    preview_and_run(dated.world, "adhoc_event_cleanup")
    assert dated.world.ids("events") == {made[moment] for moment in (*EXTREME[4:], *FUTURE)}


@pytest.mark.parametrize("version", [52, 67])
def test_users_that_were_disabled_at_any_time(open_world: Open, version: int) -> None:
    world = open_world(version)
    world.freeze(NOW)
    build = Builder(world.connection)
    made = {moment: build.user(disabled_since=moment) for moment in (*EXTREME, *ORDINARY)}
    enabled = build.user()
    preview_and_run(world, "user_cleanup")
    assert world.ids("users") == {enabled, *(made[moment] for moment in (*EXTREME[4:], *FUTURE))}


@pytest.mark.parametrize("options", [{}, {"delete_invites": True}], ids=["permissions", "invites"])
@pytest.mark.parametrize("version", [52, 67])
def test_invites_that_expire_at_any_time(open_world: Open, version: int, options: dict[str, Any]) -> None:
    world = open_world(version)
    world.freeze(NOW)
    build = Builder(world.connection)
    room = build.room(build.user())
    made = {moment: build.invite(room, expiration=moment) for moment in (*EXTREME, *ORDINARY)}
    later = {made[moment] for moment in (*EXTREME[4:], *FUTURE)}
    preview_and_run(world, "invite_cleanup", **options)
    if options:
        assert world.ids("invites") == later
    if version == 52:
        subjects = world.query("SELECT DISTINCT v0 FROM casbin_rule")
        assert {subject for (subject,) in subjects} == {f"invite::{invite}" for invite in later}


def test_permissions_of_nothing(open_world: Open) -> None:
    """Rows of casbin_rule that are almost those of something that goes stay."""
    dated = Dated(open_world(52))
    goes = dated.event()
    room = dated.build.room_of(goes)
    expired = dated.build.invite(dated.build.room(dated.owner), active=False)
    paths = ["", "/", "/rooms", "/rooms/", "/rooms//", "/rooms/%", f"/rooms/{room}x", f"/Rooms/{room}", f"rooms/{room}",
             f"//rooms/{room}", "/events/_", f"/events/{room}", "x" * 100_000, f"/rooms/{'x' * 100_000}", "\\", "'\"`\n\t\x01",
             f"/rooms/{room.upper()}", f"/module_resources/{room}/x"]  # fmt: skip
    subjects = ["", "invite::", "user::", "invite::*", f"invite::{expired}x", f"group::{expired}", f"INVITE::{expired}"]
    for path in paths:
        dated.build.permission("role::x", path)
    for subject in subjects:
        dated.build.permission(subject, "/x")
    due = [("role::y", f"/rooms/{room}"), ("role::y", f"/rooms/{room}/{'y' * 100_000}"), ("role::y", f"/events/{goes}")]
    for subject, path in due:
        dated.build.permission(subject, path)
    dated.check({goes})
    preview_and_run(dated.world, "invite_cleanup")
    left = set(dated.world.query("SELECT v0, v1 FROM casbin_rule"))
    assert left == {("role::x", path) for path in paths} | {(subject, "/x") for subject in subjects}


@pytest.mark.parametrize("version", [52, 67])
def test_sizes(open_world: Open, version: int) -> None:
    """Together they are larger than any number of PostgreSQL's."""
    dated = Dated(open_world(version))
    for _unused in range(2):
        dated.event()
    dated.world.query("UPDATE assets SET updated_at = 'infinity', created_at = '4713-01-01 BC'")
    stored = dict.fromkeys((f"assets/{asset}" for asset in dated.world.ids("assets")), 7)
    dated.world.storage.upload(dated.world.bucket, stored.items())
    dated.world.query("UPDATE assets SET size = 9223372036854775807")
    preview = dated.world.run("event_cleanup", check_mode=True)
    assert preview["plan"]["assets"]["bytes"] == 2 * (2**63 - 1)
    preview_and_run(dated.world, "sync_storage_files")
    assert dated.world.query("SELECT DISTINCT size FROM assets") == [(7,)]
    dated.world.query("UPDATE assets SET size = 9223372036854775807")
    _preview, run = preview_and_run(dated.world, "event_cleanup")
    assert run["done"]["assets"]["bytes"] == 2 * (2**63 - 1) and dated.world.objects() == {}


RECORDS = [
    "null", "true", "0", '"nextcloud"', "[]", "{}", "[[]]", "1e400", "-1e-400", "1e20000", '{"type": null}', '{"type": 5}',
    '{"type": {}}', '{"type": ["nextcloud"]}', '{"type": "nextcloud_"}', '{"type": "NEXTCLOUD"}', "[" * 2000 + "]" * 2000,
    '{"type": "nextcloud", "write_share_id": {}, "read_share_id": []}',
    '{"type": "nextcloud", "write_share_id": true, "read_share_id": false}',
    '{"type": "nextcloud", "write_share_id": 1e20000, "read_share_id": 1.5e400}',
    '{"type": "nextcloud", "write_share_id": "", "read_share_id": ".."}',
    '{"type": "nextcloud", "write_share_id": ' + "[" * 2000 + "]" * 2000 + "}",
    '{"type": "nextcloud", "write_share_id": ' + '{"a":' * 2000 + "1" + "}" * 2000 + "}",
    '{"type": "nextcloud", "write_share_id": "' + "9" * MEGABYTE + '"}',
    '{"type": "opencloud_basic", "write": [], "read": 5}', '{"type": "opencloud_basic", "write": {"drive_id": {"a": 1}}}',
    '{"type": "opencloud_basic", "write": {"drive_id": 1e20000, "item_id": null, "permission_id": [1]}, "read": {}}',
]  # fmt: skip


@pytest.mark.parametrize("provider", ["nextcloud", "opencloud"])
def test_records_of_shared_folders(open_world: Open, open_cloud: Callable[..., CloudServer], provider: str) -> None:
    dated, cloud = Dated(open_world(67)), open_cloud(provider)
    dated.world.cloud = cloud
    cloud.make_folder(cloud.directory)
    odd, kept = {}, f"{cloud.directory}/kept"
    cloud.shared_folder(kept)
    for number, record in enumerate(RECORDS):
        path = f"{cloud.directory}/{number}"
        cloud.shared_folder(path)
        event = odd[path] = dated.event()
        dated.build.shared_folder(event, path=path)
        dated.world.query("UPDATE event_shared_folders SET provider_data = %s WHERE event_id = %s", (record, event))
    # Only the kind of the provider matters where there are no share links.
    number = RECORDS.index(json.dumps({"type": "nextcloud_"}))
    lenient = {f"{cloud.directory}/{number}"} if provider == "nextcloud" else set()
    good = f"{cloud.directory}/good"
    right = dated.event()
    dated.build.shared_folder(right, path=good, record=cloud.shared_folder(good))
    stays = dated.event(ends_at="2026-05-02 00:00+00")
    dated.build.shared_folder(stays, path=kept, record=cloud.shared_folder(kept))
    run = dated.check({*odd.values(), right})
    deleted_folders = {good, *lenient}
    done = {item["path"] for item in run["done"]["shared_folders"]["items"]}
    left = {item["path"] for item in run["shared_folders_left_behind"]}
    assert done == deleted_folders and left == odd.keys() - lenient
    assert cloud.folders.isdisjoint(deleted_folders) and {kept, *left} <= cloud.folders


@pytest.mark.parametrize("version", [52, 67])
def test_paths_of_shared_folders(open_world: Open, open_cloud: Callable[..., CloudServer], version: int) -> None:
    """A path may have a megabyte, and may be that of an event that stays."""
    dated, cloud = Dated(open_world(version)), open_cloud()
    dated.world.cloud = cloud
    kept = f"{cloud.directory}/kept"
    paths = ["", "/", "//", ".", "..", cloud.directory, f"{cloud.directory}/", f"{cloud.directory}/../x", "\n\t\x01",
             f"{cloud.directory}/{'x' * MEGABYTE}", f"{cloud.directory}{'/x' * (MEGABYTE // 2)}", "/" * MEGABYTE,
             kept]  # fmt: skip
    good = f"{cloud.directory}/good"
    record = cloud.shared_folder(good)
    cloud.shared_folder(kept)
    odd = set()
    for path in paths:
        odd.add(event := dated.event())
        dated.build.shared_folder(event, path=path)
    right = dated.event()
    dated.build.shared_folder(right, path=good, record=record)
    for path in (f"{kept}/inner", kept + "/x" * (MEGABYTE // 2), f"{cloud.directory}/{'y' * MEGABYTE}"):
        dated.build.shared_folder(dated.event(ends_at="2026-05-02 00:00+00"), path=path)
    started = time.monotonic()
    run = dated.check({*odd, right})
    assert time.monotonic() - started < 60
    assert [item["event_id"] for item in run["done"]["shared_folders"]["items"]] == [right]
    assert {item["event_id"] for item in run["shared_folders_left_behind"]} == odd
    assert good not in cloud.folders and kept in cloud.folders


@pytest.mark.parametrize("version", [52, 67])
def test_users_of_keycloak(open_world: Open, version: int) -> None:
    with KeycloakStandIn() as stand_in:
        realm = Realm(KeycloakServer(stand_in))
        ids = realm.add({"username": f"user{number}"} for number in range(len(EXTREME)))
        with KeycloakProxy(stand_in.url) as proxy:
            synced = KeycloakWorld(open_world(version), realm, proxy)
            for account, moment in zip(ids.values(), EXTREME, strict=True):
                synced.build.user(oidc_sub=account, disabled_since=moment)
            for subject in ("", " ", "\x01", "{", '"', "\\", "x" * 255):
                synced.build.user(oidc_sub=subject, disabled_since="infinity")
            preview = synced.run(check_mode=True)
            run = synced.run()
            assert not run.get("failed"), run["msg"]
            assert preview["plan"] == run["plan"] and run["done"]["users_enabled"]["count"] == len(EXTREME)
            disabled = synced.world.query("SELECT DISTINCT disabled_since::text FROM users")
            assert sorted(disabled, key=str) == [("infinity",), (None,)]
