# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run with an approved plan touches only what the preview showed, or nothing at all."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.sync_storage_files import SyncStorageFiles
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import snapshots

from support.approvals import HeldRun
from support.builders import Builder
from support.cloud_server import CloudServer
from support.messages import is_sentence
from support.recording_server import Request
from support.scenes import Scene
from support.tangle import Tangle
from support.world import World

Open = Callable[..., World]
JOBS = ("event_cleanup", "adhoc_event_cleanup", "room_cleanup", "user_cleanup", "invite_cleanup", "sync_storage_files")
LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)
DELETE = {"missing_storage_file_handling": "delete_asset_entry", "orphaned_objects": "delete", "orphan_min_age": 0}


def preview_of(scene: Scene, **options: Any) -> dict[str, Any]:
    """The approval of a preview, as it comes out of a file."""
    preview = scene.run(check_mode=True, **options)
    assert not preview.get("failed"), preview.get("msg")
    return json.loads(json.dumps(preview["approval"]))


@pytest.mark.parametrize("version", [52, 67])
@pytest.mark.parametrize("job", JOBS)
def test_approved_plan_is_carried_out(open_world: Open, job: str, version: int) -> None:
    """Whatever is listed in the report. The same approval once more has nothing left to do."""
    scene = Scene(open_world(version), job)
    approval = preview_of(scene, report_limit=1)
    kind = "missing" if job == "sync_storage_files" else scene.table
    assert approval["roots"] == {kind: sorted(scene.ids)} and approval["job_type"] == job
    run = scene.run(approved_plan=approval, batch_size=2)
    assert not run.get("failed"), run.get("msg")
    assert "approval" not in run
    scene.check(run)
    again = scene.run(approved_plan=approval)
    assert not again["changed"] and not again.get("failed")


@pytest.mark.parametrize("job", JOBS)
def test_what_is_due_since_the_preview_stays_and_ids_can_be_taken_out(open_world: Open, job: str) -> None:
    scene = Scene(open_world(67), job)
    approval = preview_of(scene)
    (kind,) = approval["roots"]
    kept = approval["roots"][kind].pop(2)
    new = getattr(scene, f"_{job}")(9)
    scene.begin()
    run = scene.run(approved_plan=approval)
    assert not run.get("failed"), run.get("msg")
    scene.check(run, stay={kept, new.id})


def test_moment_of_the_preview_decides(open_world: Open) -> None:
    world = open_world()
    world.fill()
    preview = world.run("adhoc_event_cleanup", check_mode=True, seconds_since_creation=0)
    build = Builder(world.connection)
    young = build.event(build.user(), is_adhoc=True)
    run = world.run("adhoc_event_cleanup", seconds_since_creation=0, approved_plan=preview["approval"])
    assert set(run["done"]["events"]["ids"]) == set(preview["plan"]["events"]["ids"])
    assert young in world.ids("events")


@pytest.mark.parametrize("version", [52, 67])
def test_users_who_share_rows_all_go_in_batches_of_one(open_world: Open, version: int) -> None:
    """Rows that one batch changes and a later one deletes are no rows of somebody else."""
    world = open_world(version)
    tangle = Tangle(world.connection, 3, users=20, rooms=40)
    world.freeze(tangle.now)
    held = max(
        (HeldRun(world, tangle, "user_cleanup", seed) for seed in range(4)), key=lambda held: len(held.case.roots)
    )
    assert len(held.case.roots) > 3
    assert held.run(batch_size=1) == set()


def test_row_that_an_earlier_batch_repointed_goes_with_its_own_root(open_world: Open) -> None:
    """With the same run. A later run cannot tell who changed it, so its root stays until a new preview shows it."""
    world = open_world(67)
    build = Builder(world.connection)
    first, second = sorted(build.user(disabled_since=LONG_AGO) for _unused in range(2))
    event = build.event(second, updated_by=first)
    build.assets(build.room_of(event), 1)
    world.upload()
    approval = world.run("user_cleanup", check_mode=True)["approval"]
    world.proxy.refuse_keys(dict.fromkeys(world.objects(), "AccessDenied"))
    run = world.run("user_cleanup", approved_plan=approval, batch_size=1)
    assert run["done"]["users"]["ids"] == [first] and world.ids("users") & {first, second} == {second}
    assert [failure["id"] for failure in run["failures"] if failure["kind"] == "users"] == [second]
    world.proxy.clear_faults()
    run = world.run("user_cleanup", approved_plan=approval)
    assert run["failed"] and "table events" in run["failures"][0]["reason"] and world.ids("events") == {event}
    fresh = world.run("user_cleanup", check_mode=True)["approval"]
    run = world.run("user_cleanup", approved_plan=fresh)
    assert not run.get("failed") and world.ids("events") == set() and world.objects() == {}

    # Without a failure between, both go.
    first, second = sorted(build.user(disabled_since=LONG_AGO) for _unused in range(2))
    build.event(second, updated_by=first)
    approval = world.run("user_cleanup", check_mode=True)["approval"]
    run = world.run("user_cleanup", approved_plan=approval, batch_size=1)
    assert not run.get("failed"), run.get("msg")
    assert world.ids("users").isdisjoint({first, second}) and world.ids("events") == set()


def test_later_row_that_goes_with_one_user_and_is_changed_with_another(open_world: Open) -> None:
    """Both stay, in the preview of the run and in the run. An event of the one was changed last by the other."""
    world = open_world(67)
    build = Builder(world.connection)
    creator, editor, other = (build.user(disabled_since=LONG_AGO) for _unused in range(3))
    event = build.event(creator, updated_by=editor)
    approval = world.run("user_cleanup", check_mode=True)["approval"]
    world.query("UPDATE events SET title = title WHERE id = %s", (event,))
    for check_mode in (True, False):
        run = world.run("user_cleanup", check_mode=check_mode, approved_plan=approval)
        assert {failure["id"] for failure in run["failures"]} == {creator, editor}
        assert run["plan" if check_mode else "done"]["users"]["ids"] == [other]
    assert world.ids("users") >= {creator, editor} and other not in world.ids("users")


def test_run_that_stopped_is_completed_with_the_same_approval(open_world: Open) -> None:
    scene = Scene(open_world(67), "event_cleanup")
    approval = preview_of(scene)
    refused = scene.roots[3]
    scene.world.proxy.refuse_keys({f"assets/{asset}": "AccessDenied" for asset in refused.assets})
    run = scene.run(approved_plan=approval)
    assert run["failed"] and scene.ids & scene.world.ids("events") == {refused.id}
    scene.world.proxy.clear_faults()
    run = scene.run(approved_plan=approval)
    assert not run.get("failed"), run.get("msg")
    assert scene.ids.isdisjoint(scene.world.ids("events"))


# What counts as a change


def test_locks_and_vacuum_and_what_was_rolled_back_are_no_changes(open_world: Open) -> None:
    scene = Scene(open_world(67), "event_cleanup")
    approval = preview_of(scene)
    world = scene.world
    session = world.server.connect(world.database)
    with contextlib.closing(session), session.cursor() as cursor:
        cursor.execute(
            "SELECT FROM events FOR UPDATE; SELECT FROM invites FOR KEY SHARE; UPDATE event_invites SET role = role"
        )
        session.rollback()
        cursor.execute("SELECT FROM rooms FOR UPDATE")
        session.commit()
        session.autocommit = True
        cursor.execute("VACUUM FULL events, event_invites")
        cursor.execute("VACUUM FREEZE rooms, invites")
        cursor.execute("CLUSTER invites USING invites_pkey")
        cursor.execute("ANALYZE")
    world.query("DELETE FROM event_favorites")
    scene.begin()
    run = scene.run(approved_plan=approval)
    assert not run.get("failed"), run.get("msg")
    scene.check(run)


@pytest.mark.parametrize("savepoint", [False, True])
@pytest.mark.parametrize("commits", ["before the run", "in flight"])
def test_transaction_that_is_open_during_the_preview(open_world: Open, savepoint: bool, commits: str) -> None:
    """Its rows are later than the preview, also those after a savepoint. Rows that were committed meanwhile are not."""
    world = open_world(67)
    session = world.server.connect(world.database)
    with contextlib.closing(session), session.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
        scene = Scene(world, "event_cleanup")
        if savepoint:
            cursor.execute("SAVEPOINT one")
        event = scene.roots[1]
        cursor.execute("UPDATE invites SET active = active WHERE id = %s", (event.rows["invites"][1],))
        cursor.execute("UPDATE users SET email = email WHERE id = %s", (scene.guest,))
        approval = preview_of(scene)
        if commits == "before the run":
            session.commit()
        else:
            scene.world.proxy.on_request(lambda request: request.operation == "HeadBucket" and session.commit())
        run = scene.run(approved_plan=approval)
        scene.world.proxy.on_request(None)
    scene.check_failures(run, {event.id}, "table invites", "after the preview")
    scene.check(run, stay={event.id})


@pytest.mark.parametrize(
    ("lower", "upper", "running", "following", "xmin", "is_later"),
    [
        (1000, 1000, "", 1000, 999, False),
        (1000, 1000, "", 1001, 1000, True),
        (1000, 1010, "1004", 1020, 1003, False),
        (1000, 1010, "1004", 1020, 1004, True),
        (1000, 1010, "1004", 1020, 1010, True),
        # A row of a transaction that began after the statement.
        (1000, 1010, "", 1010, 1500, True),
        # The ids of rows begin again after 2**32.
        (2**32 - 10, 2**32 - 5, "", 2**32 + 50, 2**32 - 6, False),
        (2**32 - 10, 2**32 - 5, "", 2**32 + 50, 2**32 - 5, True),
        (2**32 - 10, 2**32 - 5, "", 2**32 + 50, 3, True),
        (2**32 - 10, 2**32 - 5, "", 2**32 + 50, 49, True),
        (2**32 + 10, 2**32 + 20, "", 2**32 + 50, 2**32 - 1, False),
        (2**32 + 10, 2**32 + 20, str(2**32 + 15), 2**32 + 50, 15, True),
        (2**32 + 10, 2**32 + 20, str(2**32 + 15), 2**32 + 50, 16, False),
        (5 * 2**32 + 10, 5 * 2**32 + 20, "", 5 * 2**32 + 50, 9, False),
        (5 * 2**32 + 10, 5 * 2**32 + 20, "", 5 * 2**32 + 50, 30, True),
        # As old as an approval may be.
        (2**32 - 10, 2**32 - 10, "", 2**32 - 10 + 2**31, 2**31 - 11, True),
        (2**32 - 10, 2**32 - 10, "", 2**32 - 10 + 2**31, 2**32 - 11, False),
        # Frozen when the server was made, or before an upgrade.
        (5 * 2**32 + 1, 5 * 2**32 + 1, "", 5 * 2**32 + 50, 1, False),
        (5 * 2**32 + 1, 5 * 2**32 + 1, "", 5 * 2**32 + 50, 2, False),
    ],
)
def test_xmin_of_a_row_and_the_ids_of_transactions(
    open_world: Open,
    monkeypatch: pytest.MonkeyPatch,
    lower: int,
    upper: int,
    running: str,
    following: int,
    xmin: int,
    is_later: bool,
) -> None:
    world = open_world()
    monkeypatch.setattr(snapshots, "_NEXT", f"{following}::bigint")
    visibility = snapshots.Visibility(snapshots.Snapshot("", f"{lower}:{upper}:{running}"))
    row = f"(SELECT '{xmin % 2**32}'::xid AS xmin) a_row"

    def found() -> bool:
        return world.query(f"SELECT {visibility.is_later().as_string(world.connection)} FROM {row}")[0][0]

    assert found() == is_later
    visibility.add_own([xmin % 2**32])
    assert not found()


# Approvals that are refused


def test_approval_of_something_else_is_refused(open_world: Open) -> None:
    world = open_world()
    build = Builder(world.connection)
    build.room(build.user())
    approval = world.run("adhoc_event_cleanup", check_mode=True)["approval"]
    before = world.rows()
    lower = int(approval["snapshot"].split(":")[0])
    wrong: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"job_type": "room_cleanup"}, {}, "from a preview of room_cleanup"),
        ({}, {"seconds_since_creation": 5}, "seconds_since_creation is 5 and was 86400"),
        ({"parameters": {}}, {}, "seconds_since_creation is 86400 and was not set"),
        ({"database": "1/2/3"}, {}, "from another database"),
        ({"snapshot": f"{lower + 10**6}:{lower + 10**6}:"}, {}, "before this one was restored"),
        ({"snapshot": "1:1:"}, {}, ""),
        ({"snapshot": "x"}, {}, "no snapshot of PostgreSQL"),
        ({"snapshot": "5:3:"}, {}, "snapshot that PostgreSQL does not make"),
        ({"snapshot": "3:9:8,7"}, {}, "snapshot that PostgreSQL does not make"),
        ({"snapshot": "3:9:9"}, {}, "snapshot that PostgreSQL does not make"),
        ({"snapshot": f"3:{10**20}:"}, {}, "no snapshot of PostgreSQL"),
        ({"moment": "yesterday"}, {}, "no time with a time zone in moment"),
        ({"moment": "2026-01-01T00:00:00"}, {}, "no time with a time zone in moment"),
        ({"moment": "2999-01-01T00:00:00+00:00"}, {}, "clock has not reached yet"),
        ({"roots": {"events": "all"}}, {}, "no list of ids in roots.events"),
        ({"roots": {"events": ["'; DROP TABLE users"]}}, {}, "no list of ids in roots.events"),
        ({"roots": {"events": [5]}}, {}, "no list of ids in roots.events"),
    ]
    for changes, options, words in wrong:
        run = world.run("adhoc_event_cleanup", approved_plan={**approval, **changes}, **options)
        assert bool(run.get("failed")) == bool(words), (changes, run.get("msg"))
        if words:
            assert words in run["msg"] and "approved_plan" in run["msg"] and is_sentence(run["msg"]), run["msg"]
    missing = {name: value for name, value in approval.items() if name != "snapshot"}
    run = world.run("adhoc_event_cleanup", approved_plan=missing)
    assert run["failed"] and "snapshot" in run["msg"]
    assert world.rows() == before


def test_approval_that_is_too_old_is_refused(open_world: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    world = open_world()
    approval = world.run("room_cleanup", check_mode=True)["approval"]
    upper = int(approval["snapshot"].split(":")[1])
    monkeypatch.setattr(snapshots, "_NEXT", f"{upper + 2**31 + 1}::bigint")
    run = world.run("room_cleanup", approved_plan=approval)
    assert run["failed"] and "older than 2,147,483,648 transactions" in run["msg"] and is_sentence(run["msg"])


def test_approval_of_a_copy_of_the_database_is_refused(open_world: Open) -> None:
    scene = Scene(open_world(67), "event_cleanup")
    approval = preview_of(scene)
    other = open_world(67)
    run = other.run("event_cleanup", approved_plan=approval)
    assert run["failed"] and "from another database" in run["msg"]


# What is outside of the database


@pytest.mark.parametrize("version", [52, 67])
def test_shared_folder_whose_record_changed_stays(
    open_world: Open, open_cloud: Callable[..., CloudServer], version: int
) -> None:
    """The folder of an event that got it after the preview stays, and one whose shares were made again."""
    cloud = open_cloud("nextcloud")
    scene = Scene(open_world(version), "event_cleanup", cloud=cloud)
    late = scene.build.event(scene.owner, starts_at=LONG_AGO, ends_at=LONG_AGO)
    approval = preview_of(scene)
    path = f"{cloud.directory}/late"
    record = cloud.shared_folder(path)
    scene.build.shared_folder(late, path=path, record=record if version >= 65 else None)
    changed = scene.roots[2]
    column = 'provider_data = provider_data || \'{"write_share_id": "7"}\'' if version >= 65 else "write_share_id = '7'"
    scene.world.query(f"UPDATE event_shared_folders SET {column} WHERE event_id = %s", (changed.id,))
    scene.begin()
    run = scene.run(approved_plan=approval)
    stay = {late, changed.id}
    scene.check_failures(run, stay, "table event_shared_folders")
    scene.check(run, stay=stay)
    assert {path, changed.path} <= cloud.folders


@pytest.mark.parametrize("handling", ["set_file_size_to_zero", "delete_asset_entry"])
@pytest.mark.parametrize("in_flight", [False, True])
def test_sync_storage_files_touches_only_what_the_preview_showed(
    open_world: Open, monkeypatch: pytest.MonkeyPatch, handling: str, in_flight: bool
) -> None:
    world = open_world(67)
    build = Builder(world.connection)
    room = build.room(build.user())
    resized, missing, orphans = build.assets(room, 3, size=5), build.assets(room, 3, size=5), build.assets(room, 3)
    right = build.assets(room, 4)
    for table, column in (("room_assets", "asset_id"), ("assets", "id")):
        world.query(f"DELETE FROM {table} WHERE {column} = ANY (%s::uuid[])", (orphans,))
    world.storage.upload(world.bucket, [(f"assets/{asset}", 10) for asset in (*resized, *orphans, *right)])
    options = {**DELETE, "missing_storage_file_handling": handling, "max_affected": 1000}
    approval = world.run("sync_storage_files", check_mode=True, report_limit=0, **options)["approval"]
    assert {kind: {name[:36] for name in names} for kind, names in approval["roots"].items()} == {
        "resized": set(resized), "missing": set(missing), "objects": set(orphans)
    }  # fmt: skip

    def change() -> None:
        world.query("UPDATE assets SET filename = filename WHERE id = ANY (%s::uuid[])", ([resized[0], missing[0]],))
        if not in_flight:
            time.sleep(0.01)  # the bucket tells times in milliseconds
            world.storage.upload(world.bucket, [(f"assets/{asset}", 11) for asset in (resized[1], orphans[0])])
            world.storage.upload(world.bucket, [(f"assets/{build.asset(room)[:-1]}0", 3)])
            build.assets(room, 1)
            world.query("UPDATE assets SET size = 3 WHERE id = %s", (right[0],))

    applied = SyncStorageFiles.apply

    def apply(self: SyncStorageFiles) -> None:
        change()
        applied(self)

    if in_flight:
        monkeypatch.setattr(SyncStorageFiles, "apply", apply)
    else:
        change()
    run = world.run("sync_storage_files", approved_plan=approval, **options)
    rows = {row["id"]: row["size"] for row in map(json.loads, world.rows()["assets"])}
    stay = {resized[0], missing[0]} | (set() if in_flight else {resized[1], orphans[0]})
    assert run["failed"] and {failure["id"] for failure in run["failures"]} == stay, run["failures"]
    done = run["done"]
    assert {item["id"] for item in done["assets_resized"]["items"]} == set(resized) - stay
    assert set(done["assets_missing"]["ids"]) == set(missing) - stay
    assert set(done["orphaned_objects"]["ids"]) == set(orphans) - stay
    assert {asset: rows[asset] for asset in resized} == {asset: 5 if asset in stay else 10 for asset in resized}
    gone = set(missing) - stay
    if handling == "delete_asset_entry":
        assert gone.isdisjoint(rows) and rows[missing[0]] == 5
    else:
        assert {rows[asset] for asset in gone} == {0} and rows[missing[0]] == 5
    assert {key for key in world.objects() if key.removeprefix("assets/") in orphans} == {
        f"assets/{asset}" for asset in set(orphans) & stay
    }
    assert rows[right[0]] == (10 if in_flight else 3)


def test_change_while_the_run_is_at_work(open_world: Open) -> None:
    """The plan is made, and the bucket is looked at before the first batch."""
    scene = Scene(open_world(52), "event_cleanup", 8)
    approval = preview_of(scene)
    came: dict[str, str] = {}

    def act(request: Request) -> None:
        if request.operation == "HeadBucket" and not came:
            came["assets"] = scene.build.assets(scene.build.room_of(scene.roots[2].id), 1)[0]
            came["invites"] = scene.build.invite(scene.build.room_of(scene.roots[3].id))
            scene.world.upload()
            scene.begin()

    scene.world.proxy.on_request(act)
    run = scene.run(approved_plan=approval, batch_size=3)
    stay = {scene.roots[2].id, scene.roots[3].id}
    scene.check_failures(run, stay, "after the preview")
    scene.check(run, stay=stay)
    assert came["assets"] in scene.world.ids("assets") and came["invites"] in scene.world.ids("invites")
