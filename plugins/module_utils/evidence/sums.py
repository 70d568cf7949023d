# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the lines of audit logs add up to: for each run, each batch, and each thing that was not deleted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

# The kind and the id of a thing.
Key = tuple[str, str]


@dataclass
class Unfinished:
    """A thing that was not deleted when it was its turn.

    :ivar why: ``failed``, ``kept``, ``rolled_back``, ``unknown``, ``died`` or ``left_behind``
    :ivar runs: the runs in which this happened
    :ivar done: when it was deleted after all
    """

    kind: str
    id: str
    job: str
    host: str
    since: str
    last: str
    why: str
    reason: str = ""
    provider: str = ""
    runs: set[str] = field(default_factory=set)
    done: str | None = None

    def as_result(self) -> dict[str, Any]:
        return {**vars(self), "runs": sorted(self.runs)}


@dataclass
class Batch:
    """What a run announced of a batch whose outcome is not known yet, with the moments since when it was due."""

    announced: dict[Key, str | None] = field(default_factory=dict)
    kept: dict[Key, None] = field(default_factory=dict)
    left: dict[Key, tuple[str, str]] = field(default_factory=dict)


@dataclass
class RunSums:
    """What the lines of one run say.

    :ivar parameters: the job's parameters; None in lines that lack them
    :ivar approval: what the run was held to
    :ivar days: by day: deleted things by kind, deleted rows by table
    :ivar retention: by kind: how long after they were due things were deleted
    :ivar settled: the numbers of the batches whose outcome is known
    """

    run: str
    job: str
    host: str
    first: str
    last: str
    started: str | None = None
    ended: str | None = None
    status: str = "no end"
    failures: int = 0
    is_planned: bool = False
    parameters: dict[str, Any] | None = None
    approval: dict[str, Any] | None = None
    days: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)
    retention: dict[str, dict[str, Any]] = field(default_factory=dict)
    settled: dict[int, str] = field(default_factory=dict)

    def as_result(self) -> dict[str, Any]:
        left_out = ("settled", "first", "last", "is_planned")
        values = {name: value for name, value in vars(self).items() if name not in left_out}
        days = {day: {what: dict(sums) for what, sums in parts.items()} for day, parts in self.days.items()}
        return {**values, "started": self.started or self.first, "days": days}
