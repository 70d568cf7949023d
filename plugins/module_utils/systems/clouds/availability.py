# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a cloud server works, as far as a run knows by now."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ...base.errors import PauseError, SharedFolderError
from .client import CloudClient, RefusedAccountError, UnansweredError

# Seconds until a server that did not work is looked at again.
LOOK_AGAIN = 60.0
# So many pauses that the server asks for are waited for, with no success in between.
MOST_PAUSES = 3

Result = TypeVar("Result")


class ServerUnavailableError(SharedFolderError):
    """The server is known not to work, and was not asked."""


class Availability:
    """The verdict on one server, for all threads and batches of a run.

    A request that fails however often it is sent may be about one thing or about the server: one further request, for
    something that is always there, tells which. A server that does not work is not asked for anything else, but looked
    at again now and then; one that refuses the account is left alone.
    """

    def __init__(self, client: CloudClient) -> None:
        self._client = client
        self._lock = threading.RLock()
        self._verdict = ""
        self._look_at = 0.0
        self._pauses = 0
        self._paused_until = 0.0

    def ask(self, path: str, action: Callable[[], Result]) -> Result:
        """Do something that takes requests, unless the server is known not to work.

        :param path: of the URL of a directory that is always there
        :raises ServerUnavailableError: the server does not work; nothing was tried
        :raises PauseError: the server wants to be left alone first
        :raises SharedFolderError: it failed
        """
        self._check(path)
        try:
            result = action()
        except RefusedAccountError as error:
            self._condemn(error)
            raise
        except UnansweredError as error:
            self._doubt(path, error)
            raise
        except PauseError as error:
            self._count_pause(error)
            raise
        self._pauses = 0
        return result

    def _check(self, path: str) -> None:
        with self._lock:
            if self._verdict and time.monotonic() >= self._look_at and self._works(path):
                self._verdict = ""
            if self._verdict:
                raise self._unavailable()

    def _doubt(self, path: str, error: SharedFolderError) -> None:
        with self._lock:
            if not self._verdict and not self._works(path):
                self._verdict = self._verdict or str(error)

    def _condemn(self, error: SharedFolderError) -> None:
        with self._lock:
            self._verdict, self._look_at = str(error), math.inf

    def _count_pause(self, error: PauseError) -> None:
        # Several threads meet the same pause.
        with self._lock:
            now = time.monotonic()
            if now >= self._paused_until:
                self._pauses += 1
                self._paused_until = now + error.seconds
            if self._pauses > MOST_PAUSES:
                self._verdict, self._look_at = "the server asks for one pause after the other", now + LOOK_AGAIN
                raise self._unavailable() from None

    def _works(self, path: str) -> bool:
        self._look_at = time.monotonic() + LOOK_AGAIN
        try:
            self._client.find(path, attempts=1)
        except RefusedAccountError as error:
            self._condemn(error)
            return False
        except (UnansweredError, PauseError):
            return False
        except SharedFolderError:  # an answer, at least
            pass
        return True

    def _unavailable(self) -> ServerUnavailableError:
        return ServerUnavailableError(f"it was not tried, because {self._verdict}")
