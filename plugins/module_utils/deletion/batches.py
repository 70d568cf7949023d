# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Works on many rows, a batch at a time: sizes of batches, locks of other sessions, and pauses of other servers."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ..base.deadline import Deadline
from ..base.errors import LockTimeoutError, PauseError, TransientDatabaseError

# A batch holds its locks for about this number of seconds.
TARGET = 1.0
FIRST = 100
ATTEMPTS = 3
# If more batches of one row fail because of a lock, the whole table is locked and the job gives up.
MOST_LOCKED = 10

# Does a batch. It returns the seconds that it waited for another server, or None if it waited for none.
Worker = Callable[[list[Any]], "float | None"]


class BatchSizer:
    """Grows and shrinks batches so that each takes about a second.

    :param largest: the most rows of a batch
    :param worthwhile: the fewest rows that keep another server busy; largest takes precedence
    """

    def __init__(self, largest: int, worthwhile: int = 1) -> None:
        self._largest = largest
        self._worthwhile = min(worthwhile, largest)
        self.size = max(self._worthwhile, min(FIRST, largest))

    def took(self, size: int, seconds: float, waited: float) -> None:
        """Adapt the size to a batch that took these seconds, and waited some of them for another server."""
        by_database = _fitting(size, seconds - waited)
        altogether = max(self._worthwhile, _fitting(size, seconds))
        self.size = max(1, min(self._largest, by_database, altogether))


class Batches:
    """Works on rows in batches, each in a transaction of its own.

    :param worker: does a batch of ids; is called again with the same ids after TransientDatabaseError or PauseError
    :param leave: gets the id of a row that stays as it is, and why
    :param largest: the most rows of a batch
    :param worthwhile: the fewest rows that keep another server busy; largest takes precedence
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
        """Do a batch. If another session locks rows, halve the batch until only the locked rows stay.

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
        """Do a part. Repeat it after each pause that another server asks for; its transaction was rolled back.

        The worker bounds the number of pauses.
        """
        waited = 0.0
        while True:
            try:
                return waited + (self._worker(part) or 0.0)
            except PauseError as error:
                self._deadline.sleep(error.seconds)
                waited += error.seconds


def _fitting(size: int, seconds: float) -> int:
    """The number of rows that take TARGET seconds, if this number of rows took these seconds."""
    return int(size * min(4.0, max(0.25, TARGET / max(seconds, 0.001))))
