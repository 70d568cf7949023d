# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a long job is, as lines in the journal (syslog) of the host: a module has no other way out before its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from . import journal

# Seconds between two lines.
INTERVAL = 5.0
Thing = TypeVar("Thing")


class Progress:
    """Writes a line every few seconds, and none for a job that ends before.

    Lines have counts only. Where there is no syslog they go nowhere.

    :param job_type: the job, after which the lines are tagged, such as ``opentalk-maintenance-event-cleanup``
    """

    def __init__(self, job_type: str) -> None:
        self._job_type = job_type
        self._last = time.monotonic()

    def stage(self, text: str, total: int | None = None) -> Callable[[int], None]:
        """Begin to count.

        :param text: what was done to what, such as "events deleted"
        :param total: how many there are, where that is known
        :returns: is to be called with the number of things that were done since
        """
        done = 0

        def advance(number: int) -> None:
            nonlocal done
            done += number
            if time.monotonic() - self._last >= INTERVAL:
                self._write(f"{done} of {total} {text}" if total is not None else f"{done} {text}")

        return advance

    def counted(self, things: Iterable[Thing], text: str) -> Iterator[Thing]:
        """The things, which are counted as they are taken."""
        advance = self.stage(text)
        for thing in things:
            yield thing
            advance(1)

    def _write(self, text: str) -> None:
        self._last = time.monotonic()
        journal.write(self._job_type, text)
