# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The moment at which a job must have ended."""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

from .errors import DeadlineExceeded

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

    def exceeded(self) -> DeadlineExceeded:
        """The error to raise when the timeout has passed."""
        return DeadlineExceeded(
            f"The job did not end within its timeout of {self.timeout:g} seconds and was stopped;"
            " run it again to go on, or set a larger value for the option timeout."
        )


def _throw(error: BaseException) -> NoReturn:
    raise error
