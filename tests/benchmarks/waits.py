# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures for each job how long live sessions wait for it: with healthy servers, and with servers that do not answer."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.case import ROUNDS
from benchmarks.installations import (
    EVENTS,
    HEALTHY,
    JOBS,
    SLOW,
    SLOW_CLOUD,
    STALLED_FOLDERS,
    STALLED_LOOKS,
    STALLED_OBJECTS,
    Beside,
    Installations,
)
from benchmarks.job_process import run_job
from benchmarks.live_sessions import LiveSessions
from support.cloud_server import CloudServer
from support.limits import HANGS
from support.object_storage import ObjectStorageServer
from support.postgresql import PostgreSQLServer
from support.recording_server import RecordingServer, Request
from support.s3_proxy import S3Proxy

# A run whose servers do not answer ends after so many seconds.
TIMEOUT = 40
# The first batches are done before a server stops to answer, so that the batches are large then.
OBJECTS_DONE, FOLDERS_DONE = 2, 30


@dataclass
class Waits:
    """What live sessions met beside one job.

    :ivar longest: seconds of the longest statement on rows that go, one for each round
    :ivar statement: that statement
    :ivar others: seconds of the longest statement on other rows, one for each round
    :ivar sizes: the sizes of the batches, in the last round
    """

    longest: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    statement: str = ""
    statements: int = 0
    waited: int = 0
    deadlocks: int = 0
    sizes: list[int] = field(default_factory=list)


class Measurement:
    """The measurement of all jobs on copies of one installation.

    :param events: the number of events; half of them have ended
    """

    def __init__(self, server: PostgreSQLServer, storage: ObjectStorageServer, events: int) -> None:
        self._server = server
        self._installations = Installations(server, storage, events)

    def of(self, beside: Beside, condition: str) -> Waits:
        waits = Waits()
        for _unused in range(ROUNDS if condition in (HEALTHY, SLOW) else 1):
            with self._installations.open(beside) as (name, proxy, cloud, options):
                self._behave(condition, proxy, cloud)
                with tempfile.NamedTemporaryFile(prefix="opentalk-audit-") as log:
                    self._round(beside, name, {**options, **_end(condition), **_audited(beside, log.name)}, waits)
                    waits.sizes = _sizes(Path(log.name), beside.kind)
        return waits

    def _round(self, beside: Beside, name: str, options: dict[str, Any], waits: Waits) -> None:
        with contextlib.closing(self._server.connect(name)) as connection, connection.cursor() as cursor:
            cursor.execute(beside.due)
            ids = [row[0] for row in cursor.fetchall()]
            cursor.execute("SELECT id FROM users WHERE disabled_since IS NULL AND get_byte(uuid_send(id), 0) % 2 = 1")
            bystanders = [row[0] for row in cursor.fetchall()]
        with LiveSessions(self._server, name, beside.statements, ids, bystanders) as live:
            with contextlib.suppress(RuntimeError) if "timeout" in options else contextlib.nullcontext():
                run_job(beside.module, options)
        waits.longest.append(live.rows.most)
        waits.others.append(live.others.most)
        waits.statement = max(live.rows.longest, key=lambda statement: live.rows.longest[statement])
        waits.statements += live.rows.statements
        waits.waited += live.rows.waited
        waits.deadlocks += live.rows.deadlocks

    @staticmethod
    def _behave(condition: str, proxy: S3Proxy, cloud: CloudServer) -> None:
        if condition == STALLED_OBJECTS:
            _stall(proxy, lambda request: request.operation == "DeleteObjects", OBJECTS_DONE)
        elif condition == STALLED_LOOKS:
            _stall(proxy, lambda request: request.operation == "HeadObject", OBJECTS_DONE * 250)
        elif condition == STALLED_FOLDERS:
            _stall(cloud, lambda request: request.method == "DELETE", 3 * FOLDERS_DONE)
        elif condition == SLOW:
            cloud.hang(SLOW_CLOUD, lambda request: True)


def _stall(server: RecordingServer, what: Callable[[Request], bool], after: int) -> None:
    """Let a server answer such requests no more, after so many of them."""
    asked = Counter[str]()

    def stalls(request: Request) -> bool:
        if what(request):
            asked["all"] += 1
        return what(request) and asked["all"] > after

    server.hang(HANGS, stalls)


def _end(condition: str) -> dict[str, int]:
    return {"timeout": TIMEOUT} if condition in (STALLED_OBJECTS, STALLED_FOLDERS, STALLED_LOOKS) else {}


def _audited(beside: Beside, path: str) -> dict[str, str]:
    return {"audit_log": path} if beside.kind else {}


def _sizes(log: Path, kind: str) -> list[int]:
    """The number of announced roots of each batch."""
    batches: Counter[int] = Counter()
    for text in log.read_text().splitlines():
        line = json.loads(text)
        if line["event"] == "deleting" and line["kind"] == kind:
            batches[line["batch"]] += 1
    return list(batches.values())


def measure(server: PostgreSQLServer, storage: ObjectStorageServer, arguments: list[str]) -> None:
    """Measure the named jobs or all, and print a table.

    :param arguments: the number of events, then names of jobs
    """
    measurement = Measurement(server, storage, int(arguments[0]) if arguments else EVENTS)
    rows = [
        "| Job | Servers | Longest wait | Longest statement on other rows | Statements, of which waited | Batches |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for beside in JOBS:
        for condition in beside.conditions if beside.module in (arguments[1:] or [beside.module]) else ():
            waits = measurement.of(beside, condition)
            print(f"{beside.module}, {condition}: {waits}; load {os.getloadavg()[0]:.1f}", flush=True)
            cells = (
                beside.module,
                condition,
                f"{statistics.median(waits.longest):.2f} s ({min(waits.longest):.2f} to {max(waits.longest):.2f})",
                f"{statistics.median(waits.others):.2f} s",
                f"{waits.statements:,}, {waits.waited:,}",
                ", ".join(map(str, waits.sizes)),
            )
            rows.append(f"| {' | '.join(cells)} |")
    print("\n".join(rows))
