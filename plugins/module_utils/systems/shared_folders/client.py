# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to a cloud server: authenticated, bounded in time, and repeated where that may help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...engine.deadline import Deadline
from ...engine.errors import SharedFolderError
from ..http_session import HttpSession, NoAnswer, UnusableAddress
from ..settings import SharedFolderSettings
from ..write_gate import WriteGate

# Locked (RFC 4918, 11.3) and Too Many Requests (RFC 6585, 4); they and all of 5xx may pass.
_BUSY = frozenset({423, 429})
# What concerns the server rather than the one folder.
_OVERLOADED = frozenset({429, 502, 503, 504})

_ADVICE = "check section [shared_folder] of the controller's settings or the option shared_folder"


class ServerUnavailableError(SharedFolderError):
    """No request to the server can succeed for the time being."""


class CloudClient:
    """Sends requests to one server; may be used by several threads.

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
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        status_of: Callable[[Any], int] = lambda answer: answer.status_code,
    ) -> int:
        """Send a request, again where the server is busy or did not answer.

        :param path: of the URL, percent-encoded, beginning with a slash
        :param status_of: finds the status in an answer, where that is not the one of HTTP
        :returns: the status of the last answer
        :raises ServerUnavailableError: the server cannot be reached, stays overloaded, or refuses the credentials
        :raises SharedFolderError: what the path names stays locked, or its deletion goes on failing
        :raises DeadlineExceeded: the deadline passed, or would pass before the server wants to be asked again
        :raises MissingLibraryError: the package requests is not installed
        """
        try:
            answer = self._session.request(
                method,
                self._url + path,
                headers=dict(headers or {}),
                try_again=lambda answer: _may_pass(status_of(answer)),
            )
        except NoAnswer as error:
            raise ServerUnavailableError(str(error)) from None
        except UnusableAddress:
            raise ServerUnavailableError(f"the address of the server cannot be used; {_ADVICE}") from None
        status = status_of(answer)
        if status == 401:
            raise ServerUnavailableError(f"the server refused the user name or the password; {_ADVICE}")
        if _may_pass(status):
            kind = ServerUnavailableError if status in _OVERLOADED else SharedFolderError
            raise kind(f"the server answered every time with status {status}")
        return status


def _may_pass(status: int) -> bool:
    return status in _BUSY or 500 <= status < 600
