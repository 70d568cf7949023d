# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uses a session while the job waits for something else, because the server ends sessions from which nothing comes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

# Seconds without a statement after which one is sent.
IDLE = 8.0
# The shortest pause between two looks, in seconds.
_PAUSE = 0.5


class Heartbeat:
    """A thread that sends something on a session when the job has not done so for a while.

    :param beat: sends something and returns whether the session still lives; it must end soon, because the job waits for it
    """

    def __init__(self, beat: Callable[[], bool]) -> None:
        self._beat = beat
        self._session = threading.Lock()
        self._used = time.monotonic()
        self._ended = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        """Send nothing more."""
        self._ended.set()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is sent during this block. It begins when an answer that is under way has come."""
        with self._session:
            try:
                yield
            finally:
                self._used = time.monotonic()

    def _run(self) -> None:
        while not self._ended.wait(max(min(_PAUSE, IDLE), self._used + IDLE - time.monotonic())):
            # During a statement of the job nothing has to be sent.
            if not self._session.acquire(blocking=False):
                continue
            try:
                if self._ended.is_set() or time.monotonic() < self._used + IDLE:
                    continue
                if not self._beat():
                    return
                self._used = time.monotonic()
            finally:
                self._session.release()
