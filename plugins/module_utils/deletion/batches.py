# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Works on many rows, a batch at a time: sizes of batches, rows that must stay, and pauses of other servers."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..base.deadline import Deadline
from ..base.errors import (
    LockTimeoutError,
    OutsideTimeoutError,
    PauseError,
    RowsRefusedError,
    TransientDatabaseError,
)

# A batch holds its locks for about this number of seconds, and seldom for a whole one.
TARGET = 0.4
FIRST = 25
ATTEMPTS = 3
# A row that somebody else holds a lock on is tried so many times.
LOCK_ATTEMPTS = 5
# Seconds after a batch gave way, in which people get the locks that they waited for.
LOCK_PAUSE = 0.1
# If a whole table is locked, the job gives up after this number of rows.
MOST_LOCKED = 10
# If another server answers too late for this number of rows in a row, the job gives up.
MOST_SLOW = 3


class BatchSizer:
    """Grows and shrinks batches so that each takes about TARGET seconds.

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

    def too_large(self, size: int) -> None:
        """Adapt the size to a batch for which another server had too little time."""
        self._worthwhile = self.size = max(1, min(self.size, size // 2))


@dataclass
class Batch:
    """Some rows to work on.

    :ivar things: rows by their ids, or records that begin with an id
    :ivar attempts: the number of earlier attempts that a conflict ended
    :ivar whole: whether it is no part of a batch that failed
    :ivar waited: seconds that the work waited for another server; set by the worker
    """

    things: list[Any]
    attempts: int = 0
    whole: bool = True
    waited: float = 0.0


class Batches:
    """Gives rows in batches, and gives those again that could not be done.

    Iterate over it, and do the work of each batch, with its transaction, in the block of :meth:`attempt`. If a row cannot
    be done, its batch comes again in halves, until only that row is left.

    :param things: rows by their ids, or records that begin with an id
    :param leave: gets the id of a row that stays as it is, and why
    :param largest: the most rows of a batch
    :param worthwhile: the fewest rows that keep another server busy; largest takes precedence
    :param progress: gets the number of rows after each batch
    """

    def __init__(
        self,
        things: Iterable[Any],
        leave: Callable[[Any, str], None],
        deadline: Deadline,
        *,
        largest: int,
        worthwhile: int = 1,
        progress: Callable[[int], None],
    ) -> None:
        self._things = iter(things)
        self._leave = leave
        self._deadline = deadline
        self._progress = progress
        self._sizer = BatchSizer(largest, worthwhile)
        self._pending: deque[Batch] = deque()
        self._locked = 0
        self._slow = 0

    def __iter__(self) -> Iterator[Batch]:
        while True:
            while self._pending:
                yield self._pending.popleft()
            self._locked = 0
            things = list(itertools.islice(self._things, self._sizer.size))
            if not things:
                return
            yield Batch(things)

    def run(self, work: Callable[[list[Any]], object]) -> None:
        """Do all batches.

        :param work: does the things of a batch, with its transaction
        """
        for batch in self:
            with self.attempt(batch):
                work(batch.things)

    @contextlib.contextmanager
    def attempt(self, batch: Batch) -> Iterator[None]:
        """One attempt to do a batch. Its transaction must end with the block.

        :raises MaintenanceError: it failed because of something that concerns all rows
        """
        started, batch.waited = time.monotonic(), 0.0
        try:
            yield
        except PauseError as error:
            # Who asks for the pauses bounds their number.
            self._deadline.sleep(error.seconds)
            self._pending.appendleft(batch)
        except LockTimeoutError as error:
            self._try_locked_again(batch, error)
        except TransientDatabaseError as error:
            batch.attempts += 1
            if batch.attempts >= ATTEMPTS:
                self._split(batch, error.cause)
            else:
                self._deadline.sleep(0.1 * batch.attempts)
                self._pending.appendleft(batch)
        except RowsRefusedError as error:
            self._split(batch, error.cause)
        except OutsideTimeoutError as error:
            self._sizer.too_large(len(batch.things))
            if error.again:
                self._pending.appendleft(batch)
            else:
                self._slow += len(batch.things) == 1
                if self._slow > MOST_SLOW:
                    raise
                self._split(batch, error.cause)
        else:
            self._slow = 0
            if batch.whole:
                self._sizer.took(len(batch.things), time.monotonic() - started, batch.waited)
            self._progress(len(batch.things))

    def _try_locked_again(self, batch: Batch, error: LockTimeoutError) -> None:
        """Give the halves of a batch later, or its only row once more, or leave this row.

        :raises LockTimeoutError: too many rows are locked
        """
        alone = len(batch.things) == 1
        batch.attempts += alone
        if alone and batch.attempts < LOCK_ATTEMPTS:
            self._pending.appendleft(batch)
        else:
            self._locked += alone
            if self._locked > MOST_LOCKED:
                raise error
            self._split(batch, error.cause)
        self._deadline.sleep(LOCK_PAUSE)

    def _split(self, batch: Batch, cause: str) -> None:
        """Give the halves of a batch later, or leave its only row."""
        things = batch.things
        if len(things) == 1:
            self._leave(things[0], cause)
            self._progress(1)
            return
        middle = len(things) // 2
        self._pending.extendleft(Batch(half, whole=False) for half in (things[middle:], things[:middle]))


def _fitting(size: int, seconds: float) -> int:
    """The number of rows that take TARGET seconds, if this number of rows took these seconds."""
    return int(size * min(4.0, max(0.25, TARGET / max(seconds, 0.001))))
