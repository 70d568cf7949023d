# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The moment at which a job must have ended."""

from __future__ import annotations

import time

from .errors import DeadlineExceeded


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
        """The smaller of the seconds given and the seconds left, for the timeout of one request.

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

    def exceeded(self) -> DeadlineExceeded:
        """The error to raise when the timeout has passed."""
        return DeadlineExceeded(
            f"The job did not end within its timeout of {self.timeout:g} seconds and was stopped;"
            " run it again to go on, or set a larger value for the option timeout."
        )
