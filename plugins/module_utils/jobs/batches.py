# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Working on many rows a batch at a time, however long that takes and whatever is locked."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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

    def took(self, size: int, seconds: float) -> None:
        """Learn how long a batch of that size took."""
        factor = min(4.0, max(0.25, TARGET / max(seconds, 0.001)))
        self.size = max(self._smallest, min(self._largest, int(size * factor)))


class Batches:
    """Works on rows in batches, each in a transaction of its own.

    :param workers: each does a batch of ids, all at the same time in threads of their own; one may be called again with
        the same ids when it raised TransientDatabaseError
    :param leave: is told the id of a row that is left as it is, and why
    :param largest: the most rows of a batch
    :param smallest: the fewest, unless largest is less
    :param progress: is told the number of rows after each batch
    """

    def __init__(
        self,
        workers: Sequence[Callable[[list[Any]], None]],
        leave: Callable[[Any, str], None],
        deadline: Deadline,
        *,
        largest: int,
        smallest: int = 1,
        progress: Callable[[int], None],
    ) -> None:
        self._workers = workers
        self._leave = leave
        self._deadline = deadline
        self._progress = progress
        self._sizer = BatchSizer(largest, smallest)
        self._lock = threading.Lock()
        self._failed = threading.Event()

    def run(self, things: Iterable[Any]) -> None:
        """Work on all of them: rows by their ids, or records that begin with an id.

        :raises MaintenanceError: a batch failed for another reason than a lock on one of its rows; what other workers
            had begun was finished
        """
        remaining = iter(things)
        if len(self._workers) == 1:
            while batch := self._take(remaining):
                self._timed(self._run, batch)
            return
        with ThreadPoolExecutor(len(self._workers)) as executor:
            shares = [executor.submit(self._share, worker, remaining) for worker in self._workers]
        # What stood in each other's way does not when one is done after the other.
        for batch in [batch for share in shares for batch in share.result()]:
            self._run(batch)
            self._progress(len(batch))

    def _share(self, worker: Callable[[list[Any]], None], remaining: Iterator[Any]) -> list[list[Any]]:
        """One worker's share; gives the batches for which a lock stood in the way."""
        postponed = []
        try:
            while not self._failed.is_set() and (batch := self._take(remaining)):
                try:
                    self._timed(worker, batch)
                except TransientDatabaseError:
                    postponed.append(batch)
        except BaseException:
            self._failed.set()
            raise
        return postponed

    def _take(self, remaining: Iterator[Any]) -> list[Any]:
        with self._lock:
            return list(itertools.islice(remaining, self._sizer.size))

    def _timed(self, work: Callable[[list[Any]], None], batch: list[Any]) -> None:
        started = time.monotonic()
        work(batch)
        with self._lock:
            self._sizer.took(len(batch), time.monotonic() - started)
            self._progress(len(batch))

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
                return self._workers[0](part)
            except LockTimeoutError:
                raise
            except TransientDatabaseError:
                self._deadline.sleep(0.1 * attempt)
        return self._workers[0](part)
