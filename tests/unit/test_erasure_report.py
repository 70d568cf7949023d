# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The erasure report, from lines of audit logs to its text: what counts, what is open, and what is missing."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import shutil
import tracemalloc
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.evidence import moments
from ansible_collections.opentalk.maintenance.plugins.module_utils.evidence.reading import Reader
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import erasure_report, erasure_report_formats
from ansible_collections.opentalk.maintenance.plugins.plugin_utils.erasure_report_scope import Scope

from support import audit_logs
from support.audit_logs import MadeUpLog
from support.modules import run_module

BEGIN, END = moments.period("2026-07-01", "2026-10-01")
WINDOW = 2
NIGHT = datetime(2026, 7, 10, 3, tzinfo=timezone.utc)
JOB = "event_cleanup"
RULE = {"parameters": {"days_since_last_occurrence": 30}}


def read(*paths: Path, looked_for: tuple[str, ...] = (), begin: str = BEGIN) -> dict[str, Any]:
    reader = Reader(begin, END, 86400 * WINDOW, looked_for)
    reader.read([str(path) for path in paths])
    return reader.result()


def report(
    logs: dict[str, Any], lookups: dict[str, Any] | None = None, begin: str = BEGIN, limit: int = 1000
) -> dict[str, Any]:
    return erasure_report.make(logs, lookups or {}, Scope(begin, END, WINDOW, limit))


@pytest.fixture
def log(tmp_path: Path) -> MadeUpLog:
    return MadeUpLog(tmp_path / "audit.log", "a", NIGHT)


def night(log: MadeUpLog, number: int = 3, late: timedelta = timedelta(hours=5)) -> list[str]:
    """A run that deletes events, and their ids. The next one is a day later."""
    ids = [log.id() for _event in range(number)]
    run = log.begin(JOB, {"events": number}, **RULE)
    log.batch(JOB, run, 1, ids, late=late, objects=2)
    log.end(JOB, run, events=number)
    log.now += timedelta(days=1)
    return ids


def failing(log: MadeUpLog, event: str, *, why: str = "failed") -> None:
    """A run in which an event stays. The next one is a day later."""
    run = log.begin(JOB, {"events": 1}, **RULE)
    log.line("deleting", JOB, run, batch=1, kind="events", id=event)
    if why == "kept":
        log.line("kept", JOB, run, batch=1, kind="events", id=event)
        log.line("deleted", JOB, run, batch=1, counts={"events": 0}, rows={})
    elif why != "died":
        log.line("unknown" if why == "unknown" else "rolled_back", JOB, run, batch=1)
    if why == "failed":
        log.line("failed", JOB, run, kind="events", id=event, reason="SQLSTATE 23503")
    if why != "died":
        log.end(JOB, run, "failed", 1)
    log.now += timedelta(days=1)


def test_sums_of_days_and_rules(log: MadeUpLog) -> None:
    night(log)
    night(log, 5)
    run = log.begin("room_cleanup", {}, parameters={})
    log.batch("room_cleanup", run, 1, [log.id()], late=timedelta(0))
    log.end("room_cleanup", run)
    log.end(JOB, log.begin(JOB, {}, **RULE), "skipped")
    found = report({"a": read(log.write())})
    assert [(entry["day"], entry["job"], entry["erased"], entry["rows"]) for entry in found["days"]] == [
        ("2026-07-10", JOB, {"events": 3, "objects": 6}, 12),
        ("2026-07-11", JOB, {"events": 5, "objects": 10}, 20),
        ("2026-07-12", "room_cleanup", {"rooms": 1}, 4),
    ]
    events, rooms = found["rules"]
    assert events["periods"] == [{"retention": "30 days", "standard_deletion": "32 days"}] and rooms["periods"] == []
    assert events["runs"] == {"succeeded": 2, "failed": 0, "skipped": 1, "without_end": 0}
    assert events["rows"] == {"events": 8, "invites": 24} and found["totals"]["erased"] == 25 and found["complete"]


def test_lines_outside_of_the_period_count_for_nothing_but_the_outcome(log: MadeUpLog) -> None:
    log.now = datetime(2026, 6, 30, 23, 59, 57, tzinfo=timezone.utc)
    night(log)  # its batch ends with the day
    log.now = datetime(2026, 9, 30, 12, tzinfo=timezone.utc)
    event = log.id()
    failing(log, event)
    log.batch(JOB, log.begin(JOB, {}, **RULE), 1, [event], late=timedelta(days=9))
    found = report({"a": read(log.write())})
    assert [(entry["day"], entry["erased"]) for entry in found["days"]] == [
        ("2026-07-01", {"events": 3, "objects": 6}),
        ("2026-09-30", {}),
    ]
    (failure,) = found["failures"]["listed"]
    assert (failure["state"], failure["done"][:10]) == ("made good", "2026-10-01") and found["totals"]["late"] == 0


def test_periods_are_kept_or_not(log: MadeUpLog) -> None:
    night(log, 3, timedelta(days=2) - timedelta(seconds=2))
    (slow, *_others) = night(log, 2, timedelta(days=2, hours=1))
    night(log, 1, timedelta(days=-1))
    run = log.begin(JOB, {})
    log.line("deleting", JOB, run, batch=1, kind="events", id=log.id())
    log.line("deleted", JOB, run, batch=1, counts={"events": 1}, rows={})
    (entry,) = report({"a": read(log.write())})["retention"]
    longest = entry.pop("longest")
    assert entry == {
        "job": JOB, "kind": "events", "known": 6, "in_time": 3, "late": 2, "early": 1, "not_recorded": 1,
    }  # fmt: skip
    assert longest["id"] == slow and longest["seconds"] == 49 * 3600 + 2


@pytest.mark.parametrize("why", ["failed", "kept", "rolled_back", "unknown", "died"])
def test_failure_is_open_until_the_thing_is_deleted(log: MadeUpLog, why: str) -> None:
    event = log.id()
    failing(log, event, why=why)
    failing(log, event, why=why)
    read_first = read(log.write())
    (thing,) = report({"a": read_first})["failures"]["listed"]
    assert (thing["id"], thing["state"], thing["runs"], thing["done"]) == (event, "open", 2, None)
    assert read_first["open_ids"] == [f"events {event}"] and thing["since"][:10] == "2026-07-10"
    log.batch(JOB, log.begin(JOB, {}, **RULE), 1, [event], late=timedelta(days=9))
    (thing,) = report({"a": read(log.write())})["failures"]["listed"]
    assert (thing["state"], thing["done"][:10]) == ("made good", "2026-07-12")


def test_batch_that_is_tried_again_in_its_run_is_no_failure(log: MadeUpLog) -> None:
    event = log.id()
    run = log.begin(JOB, {}, **RULE)
    log.line("deleting", JOB, run, batch=1, kind="events", id=event)
    log.line("rolled_back", JOB, run, batch=1)
    log.batch(JOB, run, 2, [event], late=timedelta(0))
    log.end(JOB, run)
    assert report({"a": read(log.write())})["failures"]["count"] == 0


@pytest.mark.parametrize("held", [False, True])
def test_failure_that_a_later_whole_run_does_not_find_is_closed(log: MadeUpLog, held: bool) -> None:
    """A run that is held to an approval does not look at everything."""
    failing(log, log.id())
    approval = {"approval": {"moment": "2026-07-11T00:00:00+00:00", "by": "OPS-1"}} if held else {}
    log.end(JOB, log.begin(JOB, {}, **RULE, **approval))
    found = report({"a": read(log.write())})
    (thing,) = found["failures"]["listed"]
    assert thing["state"] == ("open" if held else "not found again")
    assert [run["by"] for run in found["approvals"]["listed"]] == (["OPS-1"] if held else [])


def test_host_that_deletes_what_another_could_not(log: MadeUpLog, tmp_path: Path) -> None:
    event = log.id()
    failing(log, event)
    other = MadeUpLog(tmp_path / "other.log", "b", log.now, seed=2)
    other.batch(JOB, other.begin(JOB, {}, **RULE), 1, [event], late=timedelta(days=1))
    first = {"a": read(log.write()), "b": read(other.write())}
    names = tuple(name for result in first.values() for name in result["open_ids"])
    second = {host: read(path, looked_for=names) for host, path in (("a", log.path), ("b", other.path))}
    assert second["a"]["found"] == {} and list(second["b"]["found"]) == [f"events {event}"]
    assert report(first)["failures"]["listed"][0]["state"] == "open"
    assert report(first, second)["failures"]["listed"][0]["state"] == "made good"


def left_behind(log: MadeUpLog, outcome: str) -> None:
    event, run = log.id(), log.begin(JOB, {}, **RULE)
    log.line("deleting", JOB, run, batch=1, kind="events", id=event)
    about = {"provider": "nextcloud", "path": "secret/title", "shares": ["7"], "reason": "the server answers 423"}
    log.line("left_behind", JOB, run, batch=1, kind="shared_folders", id=event, **about)
    log.line(outcome, JOB, run, batch=1, **({"counts": {"events": 1}, "rows": {}} if outcome == "deleted" else {}))
    log.end(JOB, run, "failed")


def test_folder_is_left_behind_once_its_event_is_gone(log: MadeUpLog) -> None:
    left_behind(log, "rolled_back")
    assert report({"a": read(log.write())})["left_behind"]["count"] == 0
    left_behind(log, "deleted")
    found = report({"a": read(log.write())})
    (folder,) = found["left_behind"]["listed"]
    assert (folder["kind"], folder["state"], folder["provider"]) == ("shared_folders", "left behind", "nextcloud")
    assert "title" not in json.dumps(found) and found["totals"]["left_behind"] == 1


def test_rotated_files_are_one_log_and_copies_count_once(log: MadeUpLog, tmp_path: Path) -> None:
    """Also a run whose lines are in two files, and one that is in progress when its file is copied."""
    parts: list[bytes] = []
    compress: list[tuple[str, Callable[[bytes], bytes]]] = [
        ("-20260709.xz", lzma.compress), (".3.bz2", bz2.compress), (".2.gz", gzip.compress), (".1", bytes), ("", bytes),
    ]  # fmt: skip
    for _part in compress:
        night(log)
        parts.append(log.write().read_bytes())
        log.path.unlink()
    whole = b"".join(parts)
    expected = tmp_path / "whole.log"
    expected.write_bytes(whole)
    one = report({"a": read(expected)})
    lines = whole.splitlines(keepends=True)
    size = len(lines) // len(compress) + 1  # not where runs end
    for place, (suffix, pack) in enumerate(compress):
        (tmp_path / f"audit.log{suffix}").write_bytes(pack(b"".join(lines[place * size : (place + 1) * size])))
    (tmp_path / "audit.log.bak").write_text("no log")
    split = read(log.path)
    assert [Path(file["file"]).name for file in split["files"]] == [f"audit.log{suffix}" for suffix, _pack in compress]
    (tmp_path / "audit.log.4").write_bytes(b"".join(lines[3 : size + 7]))
    copied = read(log.path)
    assert sum(file["repeated"] for file in copied["files"]) == size + 4 and split["damaged_count"] == 0
    for result in (split, copied):
        found = report({"a": result, "b": result})
        assert {key: found[key] for key in ("days", "retention", "rules", "failures")} == {
            key: one[key] for key in ("days", "retention", "rules", "failures")
        }


def test_damaged_lines_are_counted_and_named(log: MadeUpLog) -> None:
    night(log)
    lines = log.write().read_bytes().splitlines(keepends=True)
    cut = lines[2][:40] + b"\n"
    wrong = lines[2].replace(b'"kind": "events"', b'"kind": "<b>"')
    lines[2:2] = [cut, b"\xff\xfe\n", b"[]\n", b"null\n", b"[" * 100_000 + b"\n", wrong]
    log.path.write_bytes(b"".join(lines) + b'{"time"')
    result = read(log.path)
    named = [(line["line"], line["problem"]) for line in result["damaged_lines"]]
    assert [number for number, _problem in named] == [3, 4, 5, 6, 7, 8, len(lines) + 1] and result["damaged_count"] == 7
    found = report({"a": result})
    assert not found["complete"] and found["damaged_lines"]["count"] == 7 and found["totals"]["erased"] == 9


def test_damage_of_another_time_leaves_the_report_complete(log: MadeUpLog) -> None:
    night(log)
    log.path.write_text('{"time"\n' + log.write().read_text())
    night(log)
    later = report(
        {"a": read(log.write(), begin=moments.parse("from", "2026-07-11"))}, begin="2026-07-11T00:00:00.000000Z"
    )
    assert later["complete"] and "not listed" in later["remarks"][0] and later["sources"][0]["damaged"] == 1
    assert not report({"a": read(log.path)})["complete"]


@pytest.mark.parametrize("what", ["missing", "folder", "cut", "zst", "unreachable", "refused"])
def test_what_cannot_be_read_makes_the_report_incomplete(log: MadeUpLog, tmp_path: Path, what: str) -> None:
    night(log)
    logs = {"a": read(log.write())}
    assert report(logs)["complete"]
    path = tmp_path / "b" / "audit.log"
    if what == "folder":
        path.mkdir(parents=True)
    elif what in ("cut", "zst"):
        path.parent.mkdir()
        path.with_name("audit.log.1.gz").write_bytes(gzip.compress(log.path.read_bytes())[:-20])
        if what == "zst":
            shutil.move(path.with_name("audit.log.1.gz"), path.with_name("audit.log.1.zst"))
    others: dict[str, Any] = {"unreachable": {"unreachable": True}, "refused": {"failed": True, "msg": "no sudo"}}
    logs["b"] = others.get(what) or read(path)
    found = report(logs)
    assert not found["complete"] and {problem["host"] for problem in found["problems"]} == {"b"}
    assert found["problems"][0]["problem"] and found["totals"]["erased"] == 9


def test_old_lines_without_the_newer_fields_are_read(log: MadeUpLog) -> None:
    night(log)
    stripped = []
    for line in log.write().read_text().splitlines():
        values = {
            name: value for name, value in json.loads(line).items() if name not in ("due", "parameters", "moment")
        }
        stripped.append(json.dumps(values))
    log.path.write_text("".join(f"{line}\n" for line in stripped))
    found = report({"a": read(log.path)})
    assert found["complete"] and found["retention"] == [] and found["rules"][0]["periods"] == []
    assert found["totals"]["erased"] == 9


def test_lists_are_short_and_numbers_whole(log: MadeUpLog) -> None:
    for _event in range(5):
        failing(log, log.id())
    found = report({"a": read(log.write())}, limit=2)
    assert found["failures"]["count"] == found["totals"]["not_made_good"] == 5 and len(found["failures"]["listed"]) == 2


def test_no_cell_begins_a_formula(log: MadeUpLog) -> None:
    night(log)
    run = log.begin(JOB, {}, **RULE)
    for number, reason in enumerate(("=1+1", "@SUM(A1)", "+1", "-1", "\tx", "\rx", 'a,"b"\n=c')):
        log.line("failed", JOB, run, kind="events", id=f"e{number}", reason=reason)
    rows = list(csv.reader(io.StringIO(erasure_report_formats.as_csv(report({"a": read(log.write())})), newline="")))
    assert len({len(row) for row in rows}) == 1 and {row[-1] for row in rows} >= {"'=1+1", 'a,"b"\\n=c'}
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    peaks = []
    for lines in (4_000, 24_000):
        log = audit_logs.year(tmp_path / f"{lines}.log", datetime(2026, 1, 1, tzinfo=timezone.utc), lines=lines)
        tracemalloc.start()
        result = read(log.path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert result["files"][0]["lines"] == log.lines >= lines
    assert peaks[1] < 2 * peaks[0], peaks


@pytest.mark.parametrize(
    "begin, end", [("yesterday", "2026-10-01"), ("2026-10-01", "2026-10-01"), ("2026-13-01", "2027-01-01")]
)
def test_wrong_period_is_refused(log: MadeUpLog, begin: str, end: str) -> None:
    result = run_module("audit_log_info", paths=[str(log.path)], **{"from": begin, "until": end})
    assert result["failed"] and "correct" in result["msg"]


def test_offsets_count() -> None:
    assert moments.parse("from", "2026-07-01T02:00+02:00") == moments.parse("from", "2026-07-01") == BEGIN


def test_duration_for_people() -> None:
    shown = [erasure_report_formats.duration(seconds) for seconds in (0, 59, 3600, 90061, -120)]
    assert shown == ["0 s", "59 s", "1 h", "1 d 1 h", "-2 min"]
