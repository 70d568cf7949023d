# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Audit logs that are made up, with a clock of their own."""

from __future__ import annotations

import json
import random
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

DUE = {"event_cleanup": "events", "user_cleanup": "users", "adhoc_event_cleanup": "events"}


class MadeUpLog:
    """Writes the lines of runs that did not happen.

    :param host: the name of the host in the lines
    :ivar now: the moment of the next line
    :ivar lines: the number of lines
    """

    def __init__(self, path: Path, host: str, now: datetime, seed: int = 1) -> None:
        self.path, self.host, self.now, self.lines = path, host, now, 0
        self._random = random.Random(seed)
        self._text: list[str] = []

    def id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def line(self, event: str, job: str, run: str, **fields: Any) -> None:
        self._text.append(
            json.dumps({"time": _stamp(self.now), "event": event, **fields, "job": job, "run": run, "host": self.host})
        )
        self.lines += 1

    def begin(self, job: str, counts: dict[str, int], **rule: Any) -> str:
        """The first lines of a run, and its id."""
        run = self.id()
        self.line("run_started", job, run)
        self.now += timedelta(seconds=1)
        self.line("planned", job, run, counts=counts, moment=_stamp(self.now), **rule)
        return run

    def batch(self, job: str, run: str, number: int, roots: list[str], *, late: timedelta, objects: int = 0) -> None:
        """A batch whose roots are deleted so long after they were due, with objects."""
        kind = DUE.get(job, "rooms")
        due = (self.now - late).strftime("%Y-%m-%dT%H:%M:%SZ")
        for root in roots:
            self.line("deleting", job, run, batch=number, kind=kind, id=root, **({"due": due} if job in DUE else {}))
            for _object in range(objects):
                self.line("deleting", job, run, batch=number, kind="objects", id=self.id())
        self.now += timedelta(seconds=2)
        counts = {kind: len(roots), **({"objects": objects * len(roots)} if objects else {})}
        self.line("deleted", job, run, batch=number, counts=counts, rows={kind: len(roots), "invites": 3 * len(roots)})

    def end(self, job: str, run: str, status: str = "succeeded", failures: int = 0, **counts: int) -> None:
        self.now += timedelta(seconds=1)
        self.line("run_ended", job, run, status=status, counts=counts, failures=failures)

    def write(self) -> Path:
        """Append the lines to the file."""
        with self.path.open("a") as file:
            file.write("".join(f"{line}\n" for line in self._text))
        self._text = []
        return self.path


def year(path: Path, begin: datetime, *, lines: int, host: str = "controller-1") -> MadeUpLog:
    """A year in which event_cleanup deletes every night, with about so many lines."""
    log = MadeUpLog(path, host, begin)
    each = max(1, lines // 365 // 2)
    for day in range(365):
        log.now = begin + timedelta(days=day, hours=3)
        run = log.begin("event_cleanup", {"events": each}, parameters={"days_since_last_occurrence": 30})
        done = 0
        for number, first in enumerate(range(0, each, 500), 1):
            size = min(500, each - first)
            log.batch(
                "event_cleanup", run, number, [log.id() for _root in range(size)], late=timedelta(hours=9), objects=1
            )
            done += size
        log.end("event_cleanup", run, events=done)
        log.write()
    return log


def quarter(folder: Path) -> dict[str, Path]:
    """A quarter on two hosts, in which some things go wrong. Return the audit log of each host."""
    begin, chance = datetime(2026, 7, 1, tzinfo=timezone.utc), random.Random(7)
    logs = [MadeUpLog(folder / f"controller-{number}.log", f"controller-{number}", begin, number) for number in (1, 2)]
    pending: list[str] = []
    for day in range(92):
        log, other = logs[day % 2], logs[1 - day % 2]
        log.now = other.now = begin + timedelta(days=day, hours=3, minutes=day % 7)
        skipped = other.id()
        other.line("run_started", "event_cleanup", skipped)
        other.end("event_cleanup", skipped, "skipped")
        approval = {"approval": {"moment": _stamp(log.now), "by": f"OPS-{400 + day}"}} if day % 30 == 12 else {}
        run = log.begin("event_cleanup", {}, parameters={"days_since_last_occurrence": 30}, **approval)
        late = timedelta(days=3) if day == 40 else timedelta(hours=chance.randint(2, 22))
        number = 0 if day % 7 == 6 else chance.randint(8, 60)
        if number:
            log.batch("event_cleanup", run, 1, [log.id() for _root in range(number)], late=late, objects=2)
        if pending and day % 3 == 0:
            log.batch("event_cleanup", run, 2, pending, late=timedelta(days=1, hours=6))
            pending = []
        if day in (17, 44, 91):
            pending = [log.id() for _failed in range(2)]
            for root in pending:
                log.line(
                    "failed", "event_cleanup", run, kind="events", id=root, reason="SQLSTATE 23503 in table event_notes"
                )
        if day == 60:
            event = log.id()
            log.line("deleting", "event_cleanup", run, batch=3, kind="events", id=event)
            log.line(
                "left_behind", "event_cleanup", run, batch=3, kind="shared_folders", id=event, provider="nextcloud",
                path="opentalk/meetings/x", shares=["17"], reason="the server answers 423",
            )  # fmt: skip
            log.line("deleted", "event_cleanup", run, batch=3, counts={"events": 1}, rows={"events": 1})
        log.end("event_cleanup", run, "failed" if pending and day in (17, 44, 91) else "succeeded", len(pending))
        if day % 7 == 2:
            run = log.begin("user_cleanup", {}, parameters={"days_since_user_has_been_disabled": 90})
            log.batch(
                "user_cleanup", run, 1, [log.id() for _root in range(chance.randint(1, 9))], late=timedelta(hours=30)
            )
            log.end("user_cleanup", run)
            run = log.begin("room_cleanup", {}, parameters={})
            log.batch("room_cleanup", run, 1, [log.id() for _root in range(chance.randint(1, 6))], late=timedelta(0))
            log.end("room_cleanup", run)
    return {log.host: log.write() for log in logs}


def _stamp(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
