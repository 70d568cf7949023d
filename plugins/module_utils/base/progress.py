# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a long job is, as lines in the journal (syslog) of the host: a module has no other way out before its end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from . import journal

# Seconds between two lines.
INTERVAL = 5.0
# Seconds that a line which is being written may keep the end of the job waiting.
PATIENCE = 1.0
Thing = TypeVar("Thing")


class Stage:
    """What a job is doing, and how much of it is done.

    :param text: such as "planning", or what is counted, such as "events done"
    :param total: how many there are, where that is known
    """

    def __init__(self, text: str, total: int | None = None) -> None:
        self._text = text
        self._total = total
        self._done: int | None = None if total is None else 0

    def __str__(self) -> str:
        if self._done is None:
            return self._text
        return f"{self._done} {self._text}" if self._total is None else f"{self._done} of {self._total} {self._text}"

    def advance(self, number: int) -> None:
        """Count as many things more."""
        self._done = (self._done or 0) + number


class Progress:
    """Writes a line every few seconds, whatever the job waits for, and none for a job that ends before.

    Lines have counts only. Where there is no syslog they go nowhere.

    :param job_type: the job, after which the lines are tagged, such as ``opentalk-maintenance-event-cleanup``
    """

    def __init__(self, job_type: str) -> None:
        self._job_type = job_type
        self._stage = Stage("planning")
        self._ended = threading.Event()

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Write lines until the block ends."""
        # A thread of its own, as the job's may be in a single long wait; no line is worth a job that goes on for it.
        thread = threading.Thread(target=self._tell, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(PATIENCE)

    def stage(self, text: str, total: int | None = None) -> Callable[[int], None]:
        """Begin a stage; the parameters are those of :class:`Stage`.

        :returns: is to be called with the number of things that were done since
        """
        self._stage = stage = Stage(text, total)
        return stage.advance

    def counted(self, things: Iterable[Thing], text: str) -> Iterator[Thing]:
        """The things, which are counted as they are taken; then the stage is again what it was."""
        before, advance = self._stage, self.stage(text)
        advance(0)
        for thing in things:
            yield thing
            advance(1)
        self._stage = before

    def _tell(self) -> None:
        while not self._ended.wait(INTERVAL):
            journal.write(self._job_type, str(self._stage))
