# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The progress of a long job, as lines in the journal (syslog) of the host."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from . import journal

# Seconds between two lines.
INTERVAL = 5.0
# Seconds that the end of the job waits for a line that is being written.
PATIENCE = 1.0
Thing = TypeVar("Thing")


class Stage:
    """One stage of a job, and the number of things that are done.

    :param text: the stage, such as "planning", or the things that are counted, such as "events done"
    :param total: the number of all things, if it is known
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
        """Add a number to the things that are done."""
        self._done = (self._done or 0) + number


class Progress:
    """Writes a line every few seconds, also while the job waits for something. A short job has no line.

    Lines name the stage and have counts, nothing else.

    :param job_type: the job, for the tag of the lines
    """

    def __init__(self, job_type: str) -> None:
        self._job_type = job_type
        self._stage = Stage("planning")
        self._ended = threading.Event()

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """Write lines until the block ends."""
        # A thread of its own, because the job's thread may be in one long wait. It must not keep the process alive.
        thread = threading.Thread(target=self._write_lines, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(PATIENCE)

    def stage(self, text: str, total: int | None = None) -> Callable[[int], None]:
        """Begin a stage; the parameters are those of :class:`Stage`.

        :returns: a function to call with the number of things that were done since the last call
        """
        self._stage = stage = Stage(text, total)
        return stage.advance

    def counted(self, things: Iterable[Thing], text: str) -> Iterator[Thing]:
        """Yield the things and count them, in a stage of their own. After them the earlier stage goes on."""
        before, advance = self._stage, self.stage(text)
        advance(0)
        for thing in things:
            yield thing
            advance(1)
        self._stage = before

    def _write_lines(self) -> None:
        while not self._ended.wait(INTERVAL):
            journal.write(self._job_type, str(self._stage))
