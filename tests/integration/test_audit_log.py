# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log: a line is on the disk before a thing goes, and no line reports something that did not happen."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.outside import Outside
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.database import Database

from support.builders import Builder
from support.cloud_server import CloudServer
from support.snapshot import deleted, parsed
from support.world import World

Open = Callable[..., World]
KINDS = ("events", "rooms", "users", "invites", "assets")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def things(found: list[dict[str, Any]], event: str) -> set[tuple[str, str]]:
    return {(line["kind"], line["id"]) for line in found if line["event"] == event}


@pytest.mark.parametrize("module", ["event_cleanup", "user_cleanup", "room_cleanup"])
def test_every_deleted_thing_is_in_the_log_and_nothing_else(
    open_world: Open, open_cloud: Callable[..., CloudServer], tmp_path: Path, module: str
) -> None:
    world, cloud, path = open_world(67), open_cloud(), tmp_path / "audit.jsonl"
    world.fill(events=440, users=60)
    world.share_folders_on(cloud)
    before, folders = world.rows(), set(cloud.folders)
    preview = world.run(module, check_mode=True, audit_log=str(path))
    assert not path.exists()
    run = world.run(module, audit_log=str(path), batch_size=1)
    assert run["changed"] and not run.get("failed"), run.get("msg")
    after, found = world.rows(), lines(path)

    old, new = parsed(before), parsed(after)
    gone = {(kind, row["id"]) for kind in KINDS for row in old[kind]} - {
        (kind, row["id"]) for kind in KINDS for row in new[kind]
    }
    gone |= {("objects", identifier) for kind, identifier in gone if kind == "assets"}
    paths = {row["path"]: row["event_id"] for row in old["event_shared_folders"]}
    gone |= {("shared_folders", paths[folder]) for folder in folders - cloud.folders}
    assert things(found, "deleting") == gone and things(found, "kept") == set()
    assert {(kind, id) for kind in KINDS for id in preview["plan"][kind]["ids"]} <= gone

    rows: Counter[str] = Counter()
    for line in found:
        if line["event"] == "deleted":
            rows.update(line["rows"])
    assert +rows == deleted(before, after) == run["done"]["rows_deleted"]
    batches = {line["batch"] for line in found if line["event"] == "deleting"}
    assert {line["batch"] for line in found if line["event"] == "deleted"} == batches and len(batches) > 1
    assert [found[0]["event"], found[1]["event"], found[-1]["event"]] == ["run_started", "planned", "run_ended"]
    assert found[-1]["status"] == "succeeded" and found[-1]["counts"]["rooms"] == run["done"]["rooms"]["count"]
    assert len({(line["run"], line["job"], line["host"]) for line in found}) == 1
    assert path.stat().st_mode & 0o777 == 0o600


def test_lines_are_on_disk_before_anything_goes(
    open_world: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, path = open_world(67), tmp_path / "audit.jsonl"
    world.fill()
    events: list[str] = []
    fsync = os.fsync

    def sync(file: int) -> None:
        fsync(file)
        ours = os.path.samestat(os.fstat(file), path.stat())
        events.append(json.loads(path.read_text().splitlines()[-1])["event"] if ours else "other")

    execute = Database.execute

    def commit(self: Database, statement: Any, parameters: Any = None) -> int:
        if statement == "COMMIT" and self.row("SHOW transaction_read_only") == ("off",):
            events.append("commit")
        return execute(self, statement, parameters)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Database, "execute", commit)
    writes = len(world.proxy.writes)
    delete = Outside.delete

    def delete_outside(self: Any, *arguments: Any) -> Any:
        assert events[-1] == "deleting"
        return delete(self, *arguments)

    monkeypatch.setattr(Outside, "delete", delete_outside)
    run = world.run("event_cleanup", audit_log=str(path), batch_size=5, temporary_indexes=False)
    assert not run.get("failed") and len(world.proxy.writes) > writes
    assert {before for before, event in itertools.pairwise(events) if event == "commit"} <= {"deleting", "left_behind"}
    assert events.count("commit") > 1
    for event in ("deleting", "left_behind"):
        batches = {line["batch"] for line in lines(path) if line["event"] == event}
        assert events.count(event) == len(batches) > 1


@pytest.mark.parametrize("where", ["before", "in"])
def test_crash_between_the_lines_and_the_commit(
    open_world: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The crashed run deletes no rows, and its log reports none as deleted. The next run deletes and reports them."""
    world, path = open_world(67), tmp_path / "audit.jsonl"
    world.fill()
    before = world.rows()

    class Killed(BaseException):
        pass

    def die(*arguments: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patched:
        if where == "before":
            patched.setattr(Outside, "delete", die)
        else:
            execute = Database.execute

            def die_in_commit(self: Database, statement: Any, parameters: Any = None) -> int:
                if statement == "COMMIT" and '"deleting"' in path.read_text():
                    die()
                return execute(self, statement, parameters)

            patched.setattr(Database, "execute", die_in_commit)
        with pytest.raises(Killed):
            world.run("event_cleanup", audit_log=str(path), batch_size=10)
    first = lines(path)
    assert things(first, "deleting") and not [line for line in first if line["event"] in ("deleted", "run_ended")]
    assert world.rows() == before
    with path.open("a") as file:
        file.write('{"event": "del')  # as a crash in the middle of a write leaves it
    assert world.run("event_cleanup", audit_log=str(path))["changed"]
    torn, *second = path.read_text().splitlines()[len(first) :]
    assert torn == '{"event": "del'
    again = [json.loads(line) for line in second]
    assert things(first, "deleting") <= things(again, "deleting")
    assert again[-1]["status"] == "succeeded" and {line["run"] for line in first}.isdisjoint(
        line["run"] for line in again
    )


def test_what_stays_is_said_to_stay(open_world: Open, tmp_path: Path) -> None:
    world, path = open_world(67), tmp_path / "audit.jsonl"
    world.fill()
    victim = world.run("event_cleanup", check_mode=True)["plan"]["assets"]["ids"][0]
    world.proxy.refuse_keys({f"assets/{victim}": "AccessDenied"})
    run = world.run("event_cleanup", audit_log=str(path))
    assert run["failed"]
    found = lines(path)
    stays = things(found, "kept")
    named = {(failure["kind"], failure["id"], failure["reason"]) for failure in run["failures"]}
    assert {(line["kind"], line["id"], line["reason"]) for line in found if line["event"] == "failed"} == named
    assert {("objects", victim), ("assets", victim)} <= stays
    for kind in KINDS:
        announced = {id for name, id in things(found, "deleting") if name == kind}
        assert announced & world.ids(kind) == {id for name, id in stays if name == kind}
    assert found[-1]["status"] == "failed" and found[-1]["failures"] == len(run["failures"])


@pytest.mark.parametrize("place", ["missing/audit.jsonl", "."])
def test_without_its_log_the_job_touches_nothing(open_world: Open, tmp_path: Path, place: str) -> None:
    world = open_world(67)
    world.fill()
    before, objects = world.rows(), world.objects()
    run = world.run("event_cleanup", audit_log=str(tmp_path / place))
    assert run["failed"] and str(tmp_path) in run["msg"] and "audit_log" in run["msg"]
    assert (world.rows(), world.objects()) == (before, objects)


def test_full_disk_stops_before_the_batch(open_world: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, path = open_world(67), tmp_path / "audit.jsonl"
    world.fill()
    before, objects = world.rows(), world.objects()
    write = os.write

    def full(file: int, data: Any) -> int:
        if b'"deleting"' in bytes(data):
            raise OSError(28, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(os, "write", full)
    run = world.run("event_cleanup", audit_log=str(path))
    assert run["failed"] and "No space left on device" in run["msg"]
    assert (world.rows(), world.objects()) == (before, objects)
    assert lines(path)[-1]["status"] == "failed"


@pytest.mark.parametrize(("delete", "kind"), [(False, "invite_permissions"), (True, "invites")])
def test_invites(open_world: Open, tmp_path: Path, delete: bool, kind: str) -> None:
    world, path = open_world(60), tmp_path / "audit.jsonl"
    world.fill()
    before = world.rows()
    run = world.run("invite_cleanup", audit_log=str(path), delete_invites=delete, expired_before="2100-01-01")
    assert run["changed"] and deleted(before, world.rows()) == run["done"]["rows_deleted"]
    assert things(lines(path), "deleting") == {(kind, id) for id in run["done"]["invites"]["ids"]} != set()


def test_assets_and_objects_that_have_lost_their_other_half(open_world: Open, tmp_path: Path) -> None:
    world, path = open_world(67), tmp_path / "audit.jsonl"
    build = Builder(world.connection)
    kept, lost = build.assets(build.room(build.user()), 2, size=3)
    orphan = "11111111-2222-4333-8444-555555555555"
    world.storage.upload(world.bucket, [(f"assets/{kept}", 3), (f"assets/{orphan}", 3)])
    options = {"missing_storage_file_handling": "delete_asset_entry", "orphaned_objects": "delete", "orphan_min_age": 0}
    assert world.run("sync_storage_files", audit_log=str(path), **options)["changed"]
    assert world.ids("assets") == {kept} and world.objects().keys() == {f"assets/{kept}"}
    assert things(lines(path), "deleting") == {("assets", lost), ("objects", orphan)}


# The moment since when a root is due, in SQL, of jobs that have one.
DUE_SINCE = {
    "event_cleanup": ("events e JOIN event_dates d ON d.event_id = e.id", "e.id", "d.ends_at + interval '720 hours'"),
    "adhoc_event_cleanup": ("events e", "e.id", "e.created_at + interval '24 hours'"),
    "user_cleanup": ("users u", "u.id", "u.disabled_since + interval '720 hours'"),
    "invite_cleanup": ("invites i", "i.id", "CASE WHEN i.active THEN i.expiration END"),
}


@pytest.mark.parametrize("module", DUE_SINCE)
def test_lines_say_since_when_roots_are_due(open_world: Open, tmp_path: Path, module: str) -> None:
    world, path = open_world(67), tmp_path / "audit.jsonl"
    world.fill(events=440, users=60)
    source, identifier, moment = DUE_SINCE[module]
    text = f"to_char(({moment}) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    expected = dict(world.query(f"SELECT {identifier}::text, {text} FROM {source} WHERE ({moment}) IS NOT NULL"))
    options = {"delete_invites": True} if module == "invite_cleanup" else {}
    run = world.run(module, audit_log=str(path), **options)
    assert not run.get("failed"), run.get("msg")
    found = lines(path)
    roots = {"user_cleanup": "users", "invite_cleanup": "invites"}.get(module, "events")
    due = {line["id"]: line.get("due") for line in found if line["event"] == "deleting" and line["kind"] == roots}
    assert any(due.values()) and due == {root: expected.get(root) for root in due}
    assert module == "invite_cleanup" or all(due.values())
    (planned,) = (line for line in found if line["event"] == "planned")
    assert planned["parameters"].items() >= options.items() and planned["moment"] and "approval" not in planned


def test_line_says_which_approval_a_run_is_held_to(open_world: Open, tmp_path: Path) -> None:
    world, path = open_world(67), tmp_path / "audit.jsonl"
    world.fill()
    before = world.rows()
    approval = world.run("event_cleanup", check_mode=True, approved_by="OPS-17")["approval"]
    held = {"audit_log": str(path), "approved_plan": approval}
    refused = world.run("event_cleanup", approved_by="person@example.org", **held)
    assert refused["failed"] and "approved_by" in refused["msg"] and world.rows() == before
    assert world.run("event_cleanup", approved_by="OPS-17", **held)["changed"]
    assert world.run("event_cleanup", **held)["changed"] is False
    said = [line["approval"] for line in lines(path) if line["event"] == "planned"]
    assert said == [{"moment": approval["moment"], "by": "OPS-17"}, {"moment": approval["moment"]}]
