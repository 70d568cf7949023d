# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to a cloud server: authenticated, bounded in time, and repeated where that may help."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any

from ...engine.deadline import Deadline
from ...engine.errors import MissingLibraryError, SharedFolderError
from ..settings import SharedFolderSettings
from ..write_gate import WriteGate

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
ATTEMPTS = 5
# Seconds before the second attempt; doubled for each one after it.
BACKOFF = 0.25
# Locked (RFC 4918, 11.3) and Too Many Requests (RFC 6585, 4); they and all of 5xx may pass.
_BUSY = frozenset({423, 429})
# What concerns the server rather than the one folder.
_OVERLOADED = frozenset({429, 502, 503, 504})

_ADVICE = "check section [shared_folder] of the controller's settings or the option shared_folder"


class ServerUnavailableError(SharedFolderError):
    """No request to the server can succeed for the time being."""


class CloudClient:
    """Sends requests to one server; may be used by several threads. The session is opened when it is first used.

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
        self._settings = settings
        self._url = settings.url.rstrip("/")
        self._deadline = deadline
        self._gate = gate
        self._verify: bool | str = (ca_path or True) if validate_certs else False
        self._parallel = parallel
        self._opening = threading.Lock()
        self._session: Any = None
        self._resume_at = 0.0

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
        last: SharedFolderError | None = None
        for attempt in range(ATTEMPTS):
            if attempt:
                self._deadline.sleep(BACKOFF * 2 ** (attempt - 1))
            self._wait_for_server()
            try:
                return self._attempt(method, path, headers, status_of)
            except _TryAgain as again:
                last = again.error
        assert last is not None
        raise last

    def _attempt(
        self, method: str, path: str, headers: Mapping[str, str] | None, status_of: Callable[[Any], int]
    ) -> int:
        session = self._open()
        errors = self._requests.exceptions
        try:
            answer = self._send(session, method, path, headers)
        except errors.SSLError:
            raise ServerUnavailableError(
                "the server's certificate cannot be verified (see the options ca_path and validate_certs)"
            ) from None
        except errors.Timeout:
            self._deadline.check()
            raise _TryAgain(ServerUnavailableError("the server did not answer in time")) from None
        except (errors.ConnectionError, errors.ChunkedEncodingError):
            self._deadline.check()
            raise _TryAgain(ServerUnavailableError("the server cannot be reached")) from None
        except (errors.RequestException, ValueError):
            raise ServerUnavailableError(f"the address of the server cannot be used; {_ADVICE}") from None
        status = status_of(answer)
        if status == 401:
            raise ServerUnavailableError(f"the server refused the user name or the password; {_ADVICE}")
        if status in _BUSY or 500 <= status < 600:
            self._heed(answer.headers.get("Retry-After"))
            kind = ServerUnavailableError if status in _OVERLOADED else SharedFolderError
            raise _TryAgain(kind(f"the server answered every time with status {status}"))
        return status

    def _open(self) -> Any:
        with self._opening:
            if self._session is None:
                try:
                    import requests
                    import urllib3
                except ImportError:
                    raise MissingLibraryError("requests", traceback.format_exc()) from None
                if self._verify is False:
                    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
                self._requests = requests
                self._session = requests.Session()
                self._session.auth = (self._settings.username.encode(), self._settings.password.encode())
                # Without cookies every request stands for itself, whichever thread sends it.
                self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
                for scheme in ("http://", "https://"):
                    self._session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=self._parallel))
            return self._session

    def _send(self, session: Any, method: str, path: str, headers: Mapping[str, str] | None) -> Any:
        self._gate.check(method, "the shared folders")
        return session.request(
            method,
            self._url + path,
            headers=dict(headers or {}),
            timeout=(self._deadline.bound(CONNECT_TIMEOUT), self._deadline.bound(READ_TIMEOUT)),
            verify=self._verify,
            allow_redirects=False,
        )

    def _heed(self, retry_after: str | None) -> None:
        seconds = _seconds(retry_after)
        if seconds:
            self._resume_at = max(self._resume_at, time.monotonic() + seconds)

    def _wait_for_server(self) -> None:
        # A pause that the server asked for holds for all threads.
        pause = self._resume_at - time.monotonic()
        if pause > 0:
            self._deadline.sleep(pause)


def _seconds(retry_after: str | None) -> float:
    # RFC 9110, 10.2.3: a number of seconds, or a date.
    if not retry_after:
        return 0.0
    if retry_after.strip().isdigit():
        return float(retry_after.strip()[:9])
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


class _TryAgain(Exception):
    """An attempt failed in a way that may pass; holds the error to raise when it was the last one."""

    def __init__(self, error: SharedFolderError) -> None:
        self.error = error
