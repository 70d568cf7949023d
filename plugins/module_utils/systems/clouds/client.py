# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to a cloud. They are authenticated, bounded in time, and repeated if that may help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...base.deadline import Deadline
from ...base.errors import SharedFolderError
from ..http_session import LARGEST_ANSWER, HttpSession, NoAnswer, UnusableAddress
from ..settings import SharedFolderSettings
from ..write_gate import WriteGate

# RFC 4918, 11.3, and RFC 6585, 4
_LOCKED, _TOO_MANY_REQUESTS = 423, 429

# Bytes: a hundred thousand folders, each with a kibibyte or two.
LARGEST_LISTING = 2**28

# The longest pause in seconds for which a batch waits while it holds its locks.
LONGEST_PAUSE = 2.0

_ADVICE = "check section [shared_folder] of the controller's settings or the option shared_folder"


class UnansweredError(SharedFolderError):
    """One request failed at every attempt. Either the whole cloud does not work, or only this request fails."""


class RefusedAccountError(SharedFolderError):
    """No request can succeed with these settings."""


class CloudClient:
    """Sends requests to one cloud. Several threads may use it at the same time.

    :param gate: asked before every request
    :param ca_path: a file of CA certificates, or None for those of the system
    :param parallel: the number of threads that will use it
    """

    def __init__(
        self,
        settings: SharedFolderSettings,
        *,
        deadline: Deadline,
        gate: WriteGate,
        validate_certs: bool,
        ca_path: str | None,
        parallel: int,
    ) -> None:
        self._url = settings.url.rstrip("/")
        self._session = HttpSession(
            "the shared folders",
            deadline=deadline,
            gate=gate,
            validate_certs=validate_certs,
            ca_path=ca_path,
            auth=(settings.username.encode(), settings.password.encode()),
            parallel=parallel,
            longest_pause=LONGEST_PAUSE,
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        status_of: Callable[[Any], int] = lambda answer: answer.status_code,
        attempts: int | None = None,
    ) -> int:
        """Send a request, and return the status of the last answer; see :meth:`ask`."""
        return self.ask(method, path, headers=headers, status_of=status_of, attempts=attempts)[0]

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        status_of: Callable[[Any], int] = lambda answer: answer.status_code,
        attempts: int | None = None,
        largest: int = LARGEST_ANSWER,
    ) -> tuple[int, Any]:
        """Send a request. Send it again if the cloud is busy or did not answer.

        :param path: the path of the URL, percent-encoded, with a slash at its beginning
        :param body: the content to send
        :param status_of: finds the status in an answer, if it is not the HTTP status
        :param attempts: the most times that the request is sent, if it is not the usual number
        :param largest: bytes of the largest answer that is expected
        :returns: the status of the last answer, and the answer
        :raises UnansweredError: the cloud cannot be reached, does not answer, or failed every time
        :raises RefusedAccountError: the cloud refuses the credentials, or its address cannot be used
        :raises SharedFolderError: the thing at the path stays locked
        :raises PauseError: the cloud asks for a pause that is longer than LONGEST_PAUSE
        :raises DeadlineExceeded: the deadline passed, or would pass before the end of a pause
        :raises MissingLibraryError: the package requests is not installed
        """
        try:
            answer = self._session.request(
                method,
                self._url + path,
                headers=dict(headers or {}),
                data=body,
                try_again=lambda answer: _may_pass(status_of(answer)),
                attempts=attempts,
                largest=largest,
            )
        except NoAnswer as error:
            raise UnansweredError(str(error)) from None
        except UnusableAddress:
            raise RefusedAccountError(f"the address of the server cannot be used; {_ADVICE}") from None
        status = status_of(answer)
        if status == 401:
            raise RefusedAccountError(f"the server refused the user name or the password; {_ADVICE}")
        if _may_pass(status):
            kind = SharedFolderError if status == _LOCKED else UnansweredError
            raise kind(f"the server answered every time with status {status}")
        return status, answer

    def list_folder(self, path: str, body: bytes) -> tuple[int, Any]:
        """Ask for properties of a folder and of what is directly inside of it (RFC 4918, 9.1).

        :param body: says which properties
        :returns: status and answer; the errors are those of :meth:`ask`
        """
        return self.ask(
            "PROPFIND",
            path,
            headers={"Depth": "1", "Content-Type": "application/xml; charset=utf-8"},
            body=body,
            largest=LARGEST_LISTING,
        )

    def find(self, path: str, *, attempts: int | None = None) -> int:
        """Look for a folder (RFC 4918, 9.1); parameters, result and errors are those of :meth:`request`."""
        return self.request("PROPFIND", path, headers={"Depth": "0"}, attempts=attempts)


def _may_pass(status: int) -> bool:
    return status in (_LOCKED, _TOO_MANY_REQUESTS) or 500 <= status < 600
