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
            log.batch("event_cleanup", run, number, [log.id() for _root in range(size)], late=timedelta(hours=9), objects=1)
            done += size
        log.end("event_cleanup", run, events=done)
        log.write()
    return log


def _stamp(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
