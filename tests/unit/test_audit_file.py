# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit log as a file: its lines, their order, and when they are on the disk."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import AuditLogError
from ansible_collections.opentalk.maintenance.plugins.module_utils.record.audit import AuditLog

FOLDER = {"kind": "shared_folders", "id": "e1", "path": "/x"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_origin(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in ("time", "job", "run", "host")}


def test_lines_of_a_run_in_their_order(path: Path) -> None:
    log = AuditLog(str(path), "event_cleanup")
    log.planned({"events": 2}, parameters={"days": 30}, approval={"by": "OPS-1"})
    batch = log.batch()
    batch.deleting({"events": ["e1", "e2"], "rooms": [], "objects": ["a1"]}, {"e2": "2026-01-31T12:00:00Z"})
    batch.left_behind([FOLDER])
    batch.deleted({"rooms": 0, "invites": 3, "events": 1}, {"events": ["e2"], "objects": []})
    failed = log.batch()
    failed.deleting({"events": ["e3"]})
    failed.not_deleted(certain=True)
    unknown = log.batch()
    unknown.deleting({"events": ["e4"]})
    unknown.not_deleted(certain=False)
    log.failed("events", "e4", "PostgreSQL refuses it")
    log.ended("failed", {"events": 1}, 2)
    found = lines(path)
    assert list(map(without_origin, found)) == [
        {"event": "run_started"},
        {"event": "planned", "counts": {"events": 2}, "parameters": {"days": 30}, "approval": {"by": "OPS-1"}},
        {"event": "deleting", "batch": 1, "kind": "events", "id": "e1"},
        {"event": "deleting", "batch": 1, "kind": "events", "id": "e2", "due": "2026-01-31T12:00:00Z"},
        {"event": "deleting", "batch": 1, "kind": "objects", "id": "a1"},
        {"event": "left_behind", "batch": 1, **FOLDER},
        {"event": "kept", "batch": 1, "kind": "events", "id": "e2"},
        {"event": "deleted", "batch": 1, "counts": {"events": 1, "objects": 1}, "rows": {"events": 1, "invites": 3}},
        {"event": "deleting", "batch": 2, "kind": "events", "id": "e3"},
        {"event": "rolled_back", "batch": 2},
        {"event": "deleting", "batch": 3, "kind": "events", "id": "e4"},
        {"event": "unknown", "batch": 3},
        {"event": "failed", "kind": "events", "id": "e4", "reason": "PostgreSQL refuses it"},
        {"event": "run_ended", "status": "failed", "counts": {"events": 1}, "failures": 2},
    ]
    assert {(line["job"], line["run"]) for line in found} == {("event_cleanup", log.run_id)}
    assert [line["time"] for line in found] == sorted(line["time"] for line in found)
    assert all(line["time"].endswith("Z") for line in found) and not log.is_open


def test_batch_that_announced_nothing_writes_nothing(path: Path) -> None:
    log = AuditLog(str(path), "event_cleanup")
    batch = log.batch()
    batch.deleting({"events": []})
    batch.deleted({"events": 0}, {})
    batch.not_deleted(certain=True)
    assert [line["event"] for line in lines(path)] == ["run_started"]


def test_log_that_nobody_asks_for_takes_everything() -> None:
    log = AuditLog(None, "event_cleanup")
    batch = log.batch()
    batch.deleting({"events": ["e1"]})
    batch.deleted({"events": 1}, {})
    log.ended("succeeded", {}, 0)
    assert not log.is_open and not batch.is_open


def test_lines_go_below_those_of_other_runs_in_a_file_of_the_owner(path: Path) -> None:
    for _run in range(2):
        AuditLog(str(path), "event_cleanup").ended("succeeded", {}, 0)
    assert len({line["run"] for line in lines(path)}) == 2 and len(lines(path)) == 4
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_line_that_was_cut_off_is_ended_first(path: Path) -> None:
    """So that the first line of this run is a line of its own."""
    path.write_text('{"event": "run_started"}\n{"event": "dele')
    AuditLog(str(path), "event_cleanup")
    first, cut, own = path.read_text().splitlines()
    assert (first, cut) == ('{"event": "run_started"}', '{"event": "dele') and json.loads(own)["event"] == "run_started"
    AuditLog(str(path), "event_cleanup")
    assert "\n\n" not in path.read_text()


def test_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    """Whoever may write in the folder could else make the job write elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("untouched")
    path.symlink_to(elsewhere)
    with pytest.raises(AuditLogError, match="correct the option audit_log"):
        AuditLog(str(path), "event_cleanup")
    assert elsewhere.read_text() == "untouched"


@pytest.fixture
def synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The event of the last line whenever the file is put on the disk, and `folder` whenever a folder is."""
    found: list[str] = []
    fsync = os.fsync

    def listen(file: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(file).st_mode)
        found.append("folder" if is_folder else lines(path)[-1]["event"])
        fsync(file)

    monkeypatch.setattr(os, "fsync", listen)
    return found


def test_what_must_not_get_lost_is_on_the_disk_on_return(path: Path, synced: list[str]) -> None:
    log = AuditLog(str(path), "event_cleanup")
    assert synced == ["folder", "run_started"]
    batch = log.batch()
    batch.deleting({"events": ["e1"]})
    assert synced.pop() == "deleting"
    batch.left_behind([FOLDER])
    assert synced.pop() == "left_behind"
    batch.not_deleted(certain=True)
    assert synced.pop() == "rolled_back"
    log.ended("succeeded", {}, 0)
    assert synced.pop() == "run_ended"
    AuditLog(str(path), "event_cleanup")
    assert synced.count("folder") == 1


def test_disk_that_fails_is_an_error_before_anything_goes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(str(path), "event_cleanup")

    def fail(file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    batch = log.batch()
    with pytest.raises(AuditLogError, match="Input/output error"):
        batch.deleting({"events": ["e1"]})
    # The error that ends the batch is the one to tell, and a failure is told in the result, too.
    log.failed("events", "e1", "refused")
    batch.not_deleted(certain=True)


def test_lines_are_whole_when_writes_are_short(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, bytes(data[:7])))
    log = AuditLog(str(path), "event_cleanup")
    for _unused in range(2):
        log.batch().deleting({"events": list("abcd")})
    assert [(line["batch"], line["id"]) for line in lines(path)[1:]] == [
        (n, letter) for n in (1, 2) for letter in "abcd"
    ]
