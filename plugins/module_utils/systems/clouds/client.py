# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to a cloud. They are authenticated, bounded in time, and repeated if that may help."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping
from typing import Any

from ...base.deadline import Deadline
from ...base.errors import SharedFolderError
from ..http_session import LARGEST_ANSWER, HttpSession, NoAnswer, UnusableAddress
from ..settings import SharedFolderSettings
from ..write_gate import WriteGate
from .pace import Pace

# RFC 4918, 11.3, and RFC 6585, 4
LOCKED, _TOO_MANY_REQUESTS = 423, 429
# A server that supports no locks answers so, and then only about one thing.
_NOT_IMPLEMENTED = 501
# Nextcloud lets somebody wait up to 31 seconds who gave a wrong password several times. Where a request is the first one, the
# job waits so many times the usual seconds, to learn that.
_PATIENCE = 1.5
# Nextcloud's exceptions about an account that is disabled. Their texts are in the language of the server.
_DISABLED = (b"LoginException", b"DisabledUserException", b"User disabled", b"Account disabled")

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
    :param parallel: the number of threads that will use it, which is the most requests at once
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
        self._accepted = False
        self._pace = Pace(parallel)
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

    @property
    def accepted(self) -> bool:
        """Whether the cloud has answered a request, so that it knows the account."""
        return self._accepted

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        status_of: Callable[[Any], int] = lambda answer: answer.status_code,
        attempts: int | None = None,
        final: Container[int] = (),
    ) -> int:
        """Send a request, and return the status of the last answer; see :meth:`ask`."""
        return self.ask(method, path, headers=headers, status_of=status_of, attempts=attempts, final=final)[0]

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        status_of: Callable[[Any], int] = lambda answer: answer.status_code,
        attempts: int | None = None,
        final: Container[int] = (),
        largest: int = LARGEST_ANSWER,
    ) -> tuple[int, Any]:
        """Send a request. Send it again if the cloud is busy or did not answer.

        The first request of all, in which the cloud learns who asks, is not sent again if its answer is late. A cloud that lets
        somebody wait after wrong passwords would only let them wait longer.

        :param path: the path of the URL, percent-encoded, with a slash at its beginning
        :param body: the content to send
        :param status_of: finds the status in an answer, if it is not the HTTP status; called once for each answer
        :param attempts: the most times that the request is sent, if it is not the usual number
        :param final: statuses that no later attempt would change, although they usually pass
        :param largest: bytes of the largest answer that is expected
        :returns: the status of the last answer, and the answer
        :raises UnansweredError: the cloud cannot be reached, does not answer, or failed every time
        :raises RefusedAccountError: the cloud refuses the credentials, the account or its own name in the URL, or its address
            cannot be used
        :raises SharedFolderError: the thing at the path stays locked
        :raises PauseError: the cloud asks for a pause that is longer than LONGEST_PAUSE
        :raises DeadlineExceeded: the deadline passed, or would pass before the end of a pause
        :raises MissingLibraryError: the package requests is not installed
        """
        status = 0

        def may_pass(answer: Any) -> bool:
            nonlocal status
            status = status_of(answer)
            return _may_pass(status) and status not in final and not _is_disabled(answer)

        first = not self._accepted
        try:
            with self._pace.turn():
                began = time.monotonic()
                answer = self._session.request(
                    method,
                    self._url + path,
                    headers=dict(headers or {}),
                    data=body,
                    try_again=may_pass,
                    attempts=attempts,
                    largest=largest,
                    patience=_PATIENCE if first else 1.0,
                    again_if_late=not first,
                )
                self._pace.took((method, path.split("/")[1], answer.status_code), time.monotonic() - began)
        except NoAnswer as error:
            raise UnansweredError(str(error)) from None
        except UnusableAddress:
            raise RefusedAccountError(f"the address of the server cannot be used; {_ADVICE}") from None
        if status == 401:
            raise RefusedAccountError(f"the server refused the user name or the password; {_ADVICE}")
        if _is_disabled(answer):
            raise RefusedAccountError(f"the account is disabled on the server; enable it there, or {_ADVICE}")
        if first and answer.status_code == 400 and _is_page(answer):
            raise RefusedAccountError(
                "the server refuses all requests to this address with status 400; on Nextcloud its trusted_domains must have the"
                f" host name; {_ADVICE}"
            )
        if _may_pass(status) and status not in final:
            if status not in (LOCKED, _NOT_IMPLEMENTED):
                raise UnansweredError(f"the server answered every time with status {status}")
            self._accepted = True
            raise SharedFolderError(f"the server answered every time with status {status}")
        self._accepted = True
        return status, answer

    def list_folder(self, path: str, body: bytes, *, attempts: int | None = None) -> tuple[int, Any]:
        """Ask for properties of a folder and of what is directly inside of it (RFC 4918, 9.1).

        :param body: says which properties
        :returns: status and answer; the other parameters and the errors are those of :meth:`ask`
        """
        return self.ask(
            "PROPFIND",
            path,
            headers={"Depth": "1", "Content-Type": "application/xml; charset=utf-8"},
            body=body,
            attempts=attempts,
            largest=LARGEST_LISTING,
        )

    def find(self, path: str, *, attempts: int | None = None) -> int:
        """Look for a folder (RFC 4918, 9.1); parameters, result and errors are those of :meth:`request`."""
        return self.request("PROPFIND", path, headers={"Depth": "0"}, attempts=attempts)


def _may_pass(status: int) -> bool:
    return status in (LOCKED, _TOO_MANY_REQUESTS) or 500 <= status < 600


def _is_disabled(answer: Any) -> bool:
    """Whether the answer is an error of Nextcloud's WebDAV server about an account that is disabled."""
    content = answer.content if answer.status_code == 503 else b""
    return b"ServiceUnavailable" in content and any(text in content for text in _DISABLED)


def _is_page(answer: Any) -> bool:
    return str(answer.headers.get("Content-Type", "")).partition(";")[0].strip().lower() == "text/html"
