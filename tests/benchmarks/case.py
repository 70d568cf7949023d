# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of the benchmarks, and their figures."""

from __future__ import annotations

import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from benchmarks.job_process import JobRun
from support.object_storage import ObjectStorageServer
from support.postgresql import PostgreSQLServer

ROUNDS = 3
# Seconds. What takes longer is measured once.
LONG = 600
# Rows on which row by row is tried.
SAMPLE = 20


@dataclass
class Figures:
    """Seconds of every round, and further figures.

    :ivar memory: the peak memory of the job's process, in bytes
    :ivar others: further figures by name
    """

    row_by_row: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    memory: int = 0
    others: dict[str, float] = field(default_factory=dict)

    def add_ours(self, run: JobRun) -> None:
        self.ours.append(run.seconds)
        self.memory = max(self.memory, run.memory)

    def as_dict(self) -> dict[str, Any]:
        medians = {
            name: statistics.median(values)
            for name, values in {"row_by_row": self.row_by_row, "ours": self.ours, "floor": self.floor}.items()
            if values
        }
        ratios = {}
        if "row_by_row" in medians:
            ratios["times_faster_than_row_by_row"] = medians["row_by_row"] / medians["ours"]
        if "floor" in medians:
            ratios["times_the_floor"] = medians["ours"] / medians["floor"]
        return {
            "rounds": len(self.ours),
            "seconds": {name: round(value, 3) for name, value in medians.items()},
            "ratios": {name: round(value, 2) for name, value in ratios.items()},
            "peak_memory_bytes": self.memory,
            **{name: round(value, 3) for name, value in self.others.items()},
        }


class Case(ABC):
    """One benchmark.

    :cvar name: the name on the command line
    """

    name: ClassVar[str]

    def __init__(self, server: PostgreSQLServer, storage: ObjectStorageServer, events: int) -> None:
        self.server, self.storage, self.events = server, storage, events

    @property
    @abstractmethod
    def title(self) -> str:
        """The title, with numbers."""

    @abstractmethod
    def measure(self, *, row_by_row: bool = True) -> Figures:
        """:param row_by_row: whether to measure more than ours and the floor
        :raises AssertionError: the job and the floor do not leave the same state"""

    @staticmethod
    def rounds() -> Iterator[None]:
        """As many rounds as are measured: fewer after one that took long."""
        for _unused in range(ROUNDS):
            started = time.monotonic()
            yield
            if time.monotonic() - started > LONG:
                return

    def options(self, database: str, bucket: str | None = None) -> dict[str, Any]:
        """The options with which a job finds a database, and a bucket if it uses one."""
        options: dict[str, Any] = {"database_url": self.server.url(database)}
        if bucket:
            options["object_storage"] = {
                "uri": self.storage.endpoint, "bucket": bucket, "access_key": self.storage.access_key,
                "secret_key": self.storage.secret_key, "region": self.storage.region,
            }  # fmt: skip
        return options
