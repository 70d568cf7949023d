# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how time and memory of the jobs grow with the work, each size beside its floor in the same run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.case import Case
from benchmarks.deletion import EventCleanup, EventCleanupWithPermissions, UserCleanup, UserCleanupOfHalf
from benchmarks.synchronization import KeycloakAccountSync, SyncStorageFiles
from support.object_storage import ObjectStorageServer
from support.postgresql import PostgreSQLServer

LARGEST = 1_000_000


@dataclass(frozen=True)
class Series:
    """The sizes of one job.

    :ivar things: what is counted
    :ivar first: the smallest size
    :ivar share: the largest size, for each due event of the largest size of event_cleanup
    :ivar events: how many events a case is told for each thing
    """

    case: type[Case]
    things: str
    first: int
    share: float
    events: int

    def sizes(self, largest: int) -> list[int]:
        """A size for each decade, and the largest one. It has at least one size."""
        last = max(self.first, int(largest * self.share))
        decades = [self.first * 10**power for power in range(int(math.log10(last / self.first)) + 1)]
        return [*decades, last] if last > decades[-1] * 1.5 else decades


SERIES = (
    Series(EventCleanup, "due events", 1000, 1, 2),
    Series(UserCleanup, "due users, each with 10 events", 200, 1 / 50, 100),
    Series(UserCleanupOfHalf, "due users, each with 4 events", 500, 1 / 20, 8),
    Series(EventCleanupWithPermissions, "due events", 500, 1 / 20, 2),
    Series(SyncStorageFiles, "assets", 10_000, 10, 2),
    Series(KeycloakAccountSync, "accounts", 1000, 1 / 5, 4),
)


def measure(
    server: PostgreSQLServer, storage: ObjectStorageServer, arguments: list[str], save: Callable[[dict[str, Any]], None]
) -> None:
    """Measure all series or the named ones, and print their tables.

    :param arguments: the largest number of due events, then names of jobs
    :param save: gets the figures after each size
    """
    largest = int(arguments[0]) if arguments else LARGEST
    names = arguments[1:] or [series.case.name for series in SERIES]
    found: dict[str, Any] = {}
    for series in SERIES:
        if series.case.name not in names:
            continue
        points: list[dict[str, Any]] = []
        for size in series.sizes(largest):
            figures = series.case(server, storage, size * series.events).measure(row_by_row=False).as_dict()
            points.append({"size": size, **figures})
            found[series.case.name] = {"things": series.things, "points": points, "slopes": slopes(points)}
            save(found)
            print(f"{series.case.name}, {size:,} {series.things}: {figures}", flush=True)
    print(table(found))


def slopes(points: list[dict[str, Any]]) -> dict[str, float]:
    """How often the time of the largest size is that of the smallest one, in proportion to their sizes.

    1 is linear. The slope of ours without what any run takes is that of the last two steps between sizes.
    """
    first, last = points[0], points[-1]
    found = {
        name: round(last["seconds"][name] / first["seconds"][name] / (last["size"] / first["size"]), 2)
        for name in ("ours", "floor")
    }
    if len(points) > 2:
        steps = [
            (after["seconds"]["ours"] - before["seconds"]["ours"]) / (after["size"] - before["size"])
            for before, after in zip(points[-3:], points[-2:], strict=False)
        ]
        if steps[0] > 0:
            found["ours_without_start"] = round(steps[1] / steps[0], 2)
    return found


def table(found: dict[str, Any]) -> str:
    """The figures of all sizes as a table of Markdown."""
    lines = [
        "| Job | Size | Rounds | Ours | Floor | Ours / floor | Ours per thousand | Peak memory | Memory per thousand |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, series in found.items():
        for point in series["points"]:
            seconds, memory, size = point["seconds"], point["peak_memory_bytes"], point["size"]
            lines.append(
                f"| {name} | {size:,} {series['things']} | {point['rounds']} | {seconds['ours']:.2f} s | {seconds['floor']:.2f} s"
                f" | {point['ratios']['times_the_floor']:.2f} | {seconds['ours'] * 1000 / size:.4f} s"
                f" | {memory / 2**20:.0f} MiB | {memory / 2**20 * 1000 / size:.2f} MiB |"
            )
    return "\n".join(lines)
