# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Working on many rows a batch at a time, however long that takes and whatever is locked."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ..base.deadline import Deadline
from ..base.errors import LockTimeoutError, PauseError, TransientDatabaseError

# Seconds that the locks of one batch are held, about.
TARGET = 1.0
FIRST = 100
ATTEMPTS = 3
# Batches of one row that may fail for a lock before the job gives up: by then the whole table is locked.
MOST_LOCKED = 10

# Does a batch, and gives the seconds of it that went into waiting for another server, or None where there is no such.
Worker = Callable[[list[Any]], "float | None"]


class BatchSizer:
    """Grows and shrinks batches so that each takes about a second.

    :param largest: the most rows of a batch
    :param worthwhile: the fewest with which another server's time is spent well, unless largest is less
    """

    def __init__(self, largest: int, worthwhile: int = 1) -> None:
        self._largest = largest
        self._worthwhile = min(worthwhile, largest)
        self.size = max(self._worthwhile, min(FIRST, largest))

    def took(self, size: int, seconds: float, waited: float) -> None:
        """Learn how long a batch of that size took, and how much of it went into waiting for another server."""
        by_database = _fitting(size, seconds - waited)
        altogether = max(self._worthwhile, _fitting(size, seconds))
        self.size = max(1, min(self._largest, by_database, altogether))


class Batches:
    """Works on rows in batches, each in a transaction of its own.

    :param worker: does a batch of ids; is called again with the same ids after TransientDatabaseError or PauseError
    :param leave: gets the id of a row that stays as it is, and why
    :param largest: the most rows of a batch
    :param worthwhile: the fewest with which another server's time is spent well, unless largest is less
    :param progress: gets the number of rows after each batch
    """

    def __init__(
        self,
        worker: Worker,
        leave: Callable[[Any, str], None],
        deadline: Deadline,
        *,
        largest: int,
        worthwhile: int = 1,
        progress: Callable[[int], None],
    ) -> None:
        self._worker = worker
        self._leave = leave
        self._deadline = deadline
        self._progress = progress
        self._sizer = BatchSizer(largest, worthwhile)

    def run(self, things: Iterable[Any]) -> None:
        """Work on all of them: rows by their ids, or records that begin with an id.

        :raises MaintenanceError: a batch failed for another reason than a lock on one of its rows
        """
        remaining = iter(things)
        while batch := list(itertools.islice(remaining, self._sizer.size)):
            started = time.monotonic()
            waited = self._run(batch)
            self._sizer.took(len(batch), time.monotonic() - started, waited)
            self._progress(len(batch))

    def _run(self, batch: list[Any]) -> float:
        """Do a batch; where a lock stands in the way, in ever smaller parts, so that only what is locked stays.

        :returns: the seconds that it waited for another server
        """
        parts, locked, waited = deque([batch]), 0, 0.0
        while parts:
            part = parts.popleft()
            try:
                waited += self._attempt(part)
            except TransientDatabaseError as error:
                if len(part) > 1:
                    parts.extendleft([part[len(part) // 2 :], part[: len(part) // 2]])
                    continue
                locked += 1
                if locked > MOST_LOCKED:
                    raise
                self._leave(part[0], error.cause)
        return waited

    def _attempt(self, part: list[Any]) -> float:
        for attempt in range(1, ATTEMPTS):
            try:
                return self._patiently(part)
            except LockTimeoutError:
                raise
            except TransientDatabaseError:
                self._deadline.sleep(0.1 * attempt)
        return self._patiently(part)

    def _patiently(self, part: list[Any]) -> float:
        """Do a part, again after each pause that another server asks for: its transaction was rolled back before.

        How many pauses there may be is for the worker to say.
        """
        waited = 0.0
        while True:
            try:
                return waited + (self._worker(part) or 0.0)
            except PauseError as error:
                self._deadline.sleep(error.seconds)
                waited += error.seconds


def _fitting(size: int, seconds: float) -> int:
    """The number of rows that take as long as they may, if so many took so many seconds."""
    return int(size * min(4.0, max(0.25, TARGET / max(seconds, 0.001))))
