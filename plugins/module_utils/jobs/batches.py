# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Working on many rows a batch at a time, however long that takes and whatever is locked."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ..engine.deadline import Deadline
from ..engine.errors import LockTimeoutError, TransientDatabaseError

# Seconds that the locks of one batch are held, about.
TARGET = 1.0
FIRST = 100
ATTEMPTS = 3
# Batches of one row that may fail for a lock before the job gives up: by then the whole table is locked.
MOST_LOCKED = 10


class BatchSizer:
    """Grows and shrinks batches so that each takes about a second.

    :param largest: the most rows of a batch
    :param smallest: the fewest, unless largest is less
    """

    def __init__(self, largest: int, smallest: int = 1) -> None:
        self._largest = largest
        self._smallest = min(smallest, largest)
        self.size = min(FIRST, largest)

    def took(self, seconds: float) -> None:
        """Learn how long a batch of the current size took."""
        factor = min(4.0, max(0.25, TARGET / max(seconds, 0.001)))
        self.size = max(self._smallest, min(self._largest, int(self.size * factor)))


class Batches:
    """Works on rows in batches, each in a transaction of its own.

    :param work: does a batch of ids; may be called again with the same ones when it raised TransientDatabaseError
    :param leave: is told the id of a row that is left as it is, and why
    :param largest: the most rows of a batch
    :param smallest: the fewest, unless largest is less
    """

    def __init__(
        self,
        work: Callable[[list[Any]], None],
        leave: Callable[[Any, str], None],
        deadline: Deadline,
        *,
        largest: int,
        smallest: int = 1,
    ) -> None:
        self._work = work
        self._leave = leave
        self._deadline = deadline
        self._sizer = BatchSizer(largest, smallest)

    def run(self, things: Iterable[Any]) -> None:
        """Work on all of them: rows by their ids, or records that begin with an id.

        :raises MaintenanceError: a batch failed for another reason than a lock on one of its rows
        """
        remaining = iter(things)
        while batch := list(itertools.islice(remaining, self._sizer.size)):
            started = time.monotonic()
            self._run(batch)
            self._sizer.took(time.monotonic() - started)

    def _run(self, batch: list[Any]) -> None:
        """Do a batch; where a lock stands in the way, in ever smaller parts, so that only what is locked stays."""
        parts, locked = deque([batch]), 0
        while parts:
            part = parts.popleft()
            try:
                self._attempt(part)
            except TransientDatabaseError:
                if len(part) > 1:
                    parts.extendleft([part[len(part) // 2 :], part[: len(part) // 2]])
                    continue
                locked += 1
                if locked > MOST_LOCKED:
                    raise
                self._leave(part[0], "another session holds a lock on it")

    def _attempt(self, part: list[Any]) -> None:
        for attempt in range(1, ATTEMPTS):
            try:
                return self._work(part)
            except LockTimeoutError:
                raise
            except TransientDatabaseError:
                self._deadline.sleep(0.1 * attempt)
        return self._work(part)
