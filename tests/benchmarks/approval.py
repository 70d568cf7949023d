# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what it costs to hold a run to its preview: event_cleanup with many rows, and room_cleanup with many roots."""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import Callable, Iterator

from benchmarks.case import ROUNDS
from benchmarks.databases import MIGRATION
from benchmarks.deletion import BUCKET, EventCleanup
from benchmarks.job_process import JobRun, run_job
from support.builders import Builder
from support.object_storage import ObjectStorageServer
from support.postgresql import PostgreSQLServer

ROOMS = "INSERT INTO rooms (id, created_by, tenant_id) SELECT gen_random_uuid(), %s, tenant_id FROM users, generate_series(1, %s)"
COLUMNS = ("Preview", "Run", "Run with approval", "Run with approval / run")


def measure(server: PostgreSQLServer, storage: ObjectStorageServer, arguments: list[str]) -> None:
    """Print a table.

    :param arguments: the number of events, and the number of rooms
    """
    events, rooms = [*map(int, arguments), *(200_000, 1_000_000)[len(arguments) :]]
    case = EventCleanup(server, storage, events)
    print(f"| Case | {' | '.join(COLUMNS)} | Size of the approval |\n| --- | {'--- | ' * len(COLUMNS)}--- |")
    plain = case.databases.plain
    _compare(f"event_cleanup, {events // 2:,} roots", case.run, lambda: case.copy(plain))
    bare = _database_of_rooms(server, rooms)

    def run(name: str, *, check_mode: bool = False, **options: object) -> JobRun:
        return run_job("room_cleanup", {**case.options(name, BUCKET), **options}, check_mode=check_mode)

    @contextlib.contextmanager
    def copy() -> Iterator[str]:
        storage.create_bucket(BUCKET)
        name = server.copy(bare)
        try:
            yield name
        finally:
            server.drop_database(name)
            storage.remove_bucket(BUCKET)

    _compare(f"room_cleanup, {rooms:,} roots", run, copy)


def _compare(
    title: str, run: Callable[..., JobRun], copy: Callable[[], contextlib.AbstractContextManager[str]]
) -> None:
    previews, runs, held = [], [], []
    for _unused in range(ROUNDS):
        with copy() as name:
            runs.append(run(name))
        with copy() as name:
            previews.append(run(name, check_mode=True))
            approval = previews[-1].result.pop("approval")
            held.append(run(name, approved_plan=approval))
            assert held[-1].result["done"]["rows_deleted"] == runs[-1].result["done"]["rows_deleted"]
    ratio = statistics.median(one.seconds for one in held) / statistics.median(one.seconds for one in runs)
    print(
        f"| {title} | {_shown(previews)} | {_shown(runs)} | {_shown(held)} | {ratio:.2f} | {len(json.dumps(approval)):,} bytes |",
        flush=True,
    )


def _shown(runs: list[JobRun]) -> str:
    return f"{statistics.median(run.seconds for run in runs):.1f} s, {max(run.memory for run in runs) / 2**20:.0f} MiB"


def _database_of_rooms(server: PostgreSQLServer, rooms: int) -> str:
    name = server.database_for(MIGRATION)
    with contextlib.closing(server.connect(name)) as connection:
        user = Builder(connection).user()
        with connection.cursor() as cursor:
            cursor.execute(ROOMS, (user, rooms))
        connection.commit()
    return name
