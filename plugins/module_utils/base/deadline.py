# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The moment at which a job must have ended, and nearer moments at which a wait must have ended."""

from __future__ import annotations

import contextlib
import functools
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, TypeVar

from .errors import DeadlineExceeded, MaintenanceError, OutsideTimeoutError

Result = TypeVar("Result")


class Deadline:
    """The end of a job's timeout, on the monotonic clock.

    :param timeout: seconds from now
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._started = time.monotonic()

    def elapsed(self) -> float:
        """Seconds since the job began."""
        return time.monotonic() - self._started

    def remaining(self) -> float:
        """Seconds that are left, never below zero."""
        return max(0.0, self.timeout - self.elapsed())

    def allows(self, seconds: float) -> bool:
        """Whether the job may wait so many seconds, at least when no batch holds locks."""
        return seconds < self.remaining()

    def expired(self) -> bool:
        return self.remaining() <= 0

    def check(self) -> None:
        """:raises DeadlineExceeded: when the timeout has passed"""
        if self.expired():
            raise self.exceeded()

    def bound(self, seconds: float) -> float:
        """The timeout of one request in seconds: at most the given seconds, and at most those that are left.

        :raises DeadlineExceeded: when none are left
        """
        self.check()
        return min(seconds, self.remaining())

    def sleep(self, seconds: float) -> None:
        """Wait.

        :raises DeadlineExceeded: at once, when the wait would outlast the job's timeout
        """
        if seconds >= self.remaining():
            raise self.exceeded()
        time.sleep(seconds)

    def run(self, function: Callable[[], Result]) -> Result:
        """Call a function in a thread of its own, because it may not end in time.

        :returns: the function's result; an error of the function is raised here
        :raises DeadlineExceeded: the timeout passed first; the thread goes on until the process ends
        """
        self.check()
        results: queue.SimpleQueue[Callable[[], Result]] = queue.SimpleQueue()

        def work() -> None:
            try:
                result = function()
            except BaseException as error:
                results.put(functools.partial(_throw, error))
            else:
                results.put(lambda: result)

        threading.Thread(target=work, daemon=True).start()
        try:
            give = results.get(timeout=self.remaining())
        except queue.Empty:
            raise self.exceeded() from None
        return give()

    def exceeded(self) -> MaintenanceError:
        """The error to raise when the timeout has passed."""
        return DeadlineExceeded(
            f"The job did not end within its timeout of {self.timeout:g} seconds and was stopped;"
            " run it again to go on, or set a larger value for the option timeout."
        )


class Budget(Deadline):
    """The job's deadline for other servers. It is nearer while a batch holds locks on rows.

    :param deadline: the job's deadline
    :param seconds: that the other servers have, together, for one batch
    """

    def __init__(self, deadline: Deadline, seconds: float) -> None:
        self.seconds = seconds
        self._job = deadline
        self._ends = math.inf

    @contextlib.contextmanager
    def limited(self) -> Iterator[None]:
        """Give the other servers only that number of seconds until the end of the block.

        :raises OutsideTimeoutError: from every wait that would last longer
        """
        self._ends = time.monotonic() + self.seconds
        try:
            yield
        finally:
            self._ends = math.inf

    def remaining(self) -> float:
        return min(self._job.remaining(), max(0.0, self._ends - time.monotonic()))

    def allows(self, seconds: float) -> bool:
        return self._job.allows(seconds)

    def exceeded(self) -> MaintenanceError:
        if self._ends - time.monotonic() >= self._job.remaining():
            return self._job.exceeded()
        return OutsideTimeoutError(self.seconds)


def _throw(error: BaseException) -> NoReturn:
    raise error
