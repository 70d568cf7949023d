# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps track of whether a cloud works."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ...base.errors import PauseError, SharedFolderError
from .client import CloudClient, RefusedAccountError, UnansweredError

# Seconds until a cloud that did not work is asked again.
LOOK_AGAIN = 60.0
# The most pauses for which a run waits without a success in between.
MOST_PAUSES = 3

Result = TypeVar("Result")


class ServerUnavailableError(SharedFolderError):
    """The cloud is known not to work, so no request was sent."""


class Availability:
    """The verdict on one cloud, for all threads and batches of a run.

    The first request of all goes alone, and asks for a directory that always exists. So a wrong password is sent once.

    If a request fails at every attempt, one more request asks for a directory that always exists. It shows whether the
    whole cloud does not work, or only the first request fails. A cloud that does not work gets only this second request,
    now and then. A cloud that refuses the account gets no more requests.
    """

    def __init__(self, client: CloudClient) -> None:
        self._client = client
        self._lock = threading.RLock()
        self._path = "/"
        self._verdict = ""
        self._look_at = 0.0
        self._pauses = 0
        self._paused_until = 0.0

    def ask(self, path: str, action: Callable[[], Result]) -> Result:
        """Do something that sends requests, unless the cloud is known not to work.

        :param path: the URL path of a directory that always exists
        :raises ServerUnavailableError: the cloud does not work; the action was not tried
        :raises PauseError: the cloud asks for a pause first
        :raises SharedFolderError: the action failed
        """
        self.sign_in(path)
        try:
            result = action()
        except RefusedAccountError as error:
            self._condemn(error)
            raise
        except UnansweredError as error:
            self.doubt(path, error)
            raise
        except PauseError as error:
            self._count_pause(error)
            raise
        self._pauses = 0
        return result

    def sign_in(self, path: str) -> None:
        """Ask for the directory, if the cloud has answered nothing so far; the other threads wait meanwhile.

        :param path: the URL path of a directory that always exists
        :raises SharedFolderError: the cloud does not work
        :raises PauseError: the cloud asks for a pause first
        """
        if not self._verdict and not self._client.accepted:
            with self._lock:
                if not self._verdict and not self._client.accepted:
                    self._sign_in(path)
        if self._verdict:
            raise self._unavailable()

    def look_again(self) -> None:
        """Ask a cloud that did not work whether it works now, if that is due. Call it while nobody waits for locks."""
        with self._lock:
            if self._verdict and time.monotonic() >= self._look_at and self._works(self._path):
                self._verdict = ""

    def doubt(self, path: str, error: SharedFolderError) -> None:
        """Find out whether the whole cloud does not work after a request failed; the error is the verdict then.

        :param path: the URL path of a directory that always exists
        """
        with self._lock:
            self._path = path
            if not self._verdict and not self._works(path):
                self._verdict = self._verdict or str(error)

    def give_up(self, path: str, error: SharedFolderError) -> None:
        """Take the cloud for one that does not work; the parameters are those of :meth:`doubt`."""
        with self._lock:
            self._path, self._verdict, self._look_at = path, str(error), time.monotonic() + LOOK_AGAIN

    @property
    def works(self) -> bool:
        """Whether the cloud works, as far as this is known."""
        return not self._verdict

    def _sign_in(self, path: str) -> None:
        try:
            self._client.find(path)
        except RefusedAccountError as error:
            self._condemn(error)
            raise
        except UnansweredError as error:
            self.give_up(path, error)
            raise
        except PauseError as error:
            self._count_pause(error)
            raise
        except SharedFolderError:  # the cloud answered
            pass

    def _condemn(self, error: SharedFolderError) -> None:
        with self._lock:
            self._verdict, self._look_at = str(error), math.inf

    def _count_pause(self, error: PauseError) -> None:
        # Several threads may meet the same pause. It counts once.
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
        except SharedFolderError:  # the cloud answered
            pass
        return True

    def _unavailable(self) -> ServerUnavailableError:
        return ServerUnavailableError(f"it was not tried, because {self._verdict}")
