# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the benchmarks, prints a table, and writes the figures as JSON.

Or it measures how long live sessions wait, how fast the database answers people, what an approval costs, how long the lists of
many accounts take, how time and memory grow with the work, how long a job takes that has nothing to do, or what the timers of a
fleet cost.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import accounts, approval, fleet, living, scale, start_up, waits
from benchmarks.case import ROUNDS, Case
from benchmarks.databases import SETTINGS
from benchmarks.deletion import EventCleanup, UserCleanup
from benchmarks.synchronization import KeycloakAccountSync, SyncStorageFiles
from support import collection
from support.object_storage import ObjectStorageServer
from support.postgresql import PostgreSQLServer

CASES: tuple[type[Case], ...] = (EventCleanup, UserCleanup, SyncStorageFiles, KeycloakAccountSync)
MEASUREMENTS = {
    "--waits": waits.measure,
    "--living": living.measure,
    "--approval": approval.measure,
    "--accounts": accounts.measure,
    "--start-up": start_up.measure,
    "--fleet": fleet.measure,
}
RESULTS = collection.ROOT / "docs" / "benchmarks.json"


def main(arguments: list[str]) -> None:
    with servers() as (server, storage):
        kind, *others = arguments or [""]
        if kind == "--scale":
            about = about_this_run(server, storage)
            scale.measure(server, storage, others, lambda found: save("scale", {**about, "results": found}))
        elif kind in MEASUREMENTS:
            print(machine(), server.description, storage.description, sep="; ")
            MEASUREMENTS[kind](server, storage, others)
        else:
            compare(server, storage, arguments)


@contextlib.contextmanager
def servers() -> Iterator[tuple[PostgreSQLServer, ObjectStorageServer]]:
    with PostgreSQLServer(SETTINGS) as server, ObjectStorageServer.start(require=True, measured=True) as storage:
        yield server, storage


def compare(server: PostgreSQLServer, storage: ObjectStorageServer, arguments: list[str]) -> None:
    """Compare the named cases or all with other ways to do the same work.

    :param arguments: the number of events, then names of cases
    """
    events = int(arguments[0]) if arguments else 200_000
    chosen = [case for case in CASES if case.name in (arguments[1:] or [case.name for case in CASES])]
    if not chosen:
        raise SystemExit(f"The benchmarks are {', '.join(case.name for case in CASES)}.")
    results: dict[str, Any] = {}
    about = about_this_run(server, storage)
    for case in chosen:
        benchmark = case(server, storage, events)
        print(f"{benchmark.title} ...", flush=True)
        results[case.name] = {"case": benchmark.title, **benchmark.measure().as_dict()}
        print(json.dumps(results[case.name], indent=2), flush=True)
    save("comparison", {**about, "results": results})
    print(table(results))


def save(part: str, figures: dict[str, Any]) -> None:
    """Put figures into the file of results, beside its other parts."""
    parts = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps({**parts, part: figures}, indent=2) + "\n")


def about_this_run(server: PostgreSQLServer, storage: ObjectStorageServer) -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(),
        "postgresql": server.description,
        "minio": storage.description,
        "rounds": ROUNDS,
    }


def machine() -> str:
    """Processors and memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{os.cpu_count()} processors, {memory / 2**30:.0f} GiB of memory"


def table(results: dict[str, Any]) -> str:
    lines = [
        "| Case | Row by row | Ours | Floor | Row by row / ours | Ours / floor | Peak memory |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results.values():
        seconds, ratios = result["seconds"], result["ratios"]
        cells = [result["case"]]
        cells += [f"{seconds[name]:,.1f} s" if name in seconds else "" for name in ("row_by_row", "ours", "floor")]
        cells += [
            f"{ratios[name]:,.{digits}f}" if name in ratios else ""
            for name, digits in (("times_faster_than_row_by_row", 0), ("times_the_floor", 2))
        ]
        cells.append(f"{result['peak_memory_bytes'] / 2**20:.0f} MiB")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
