# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP requests that are bounded in time, asked for at the write gate, and repeated where that may help."""

from __future__ import annotations

import functools
import math
import re
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from ..base import packages
from ..base.deadline import Deadline
from ..base.errors import MissingLibraryError, PauseError
from . import authorities
from .write_gate import WriteGate

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
ATTEMPTS = 5
# Seconds before the second attempt; doubled for each one after it.
BACKOFF = 0.25
# Bytes of the largest answer that is read, unless the caller expects more.
LARGEST_ANSWER = 2**20
_PIECE = 2**16


class NoAnswer(Exception):
    """No attempt was answered; the text says why, as a clause that begins with "the server"."""


class UnusableAddress(Exception):
    """Nothing can be sent to the address."""


class HttpSession:
    """Sends requests; may be used by several threads. The connection is opened when it is first used.

    No redirect is followed and no cookie kept, so that every request stands for itself, whichever thread sends it.

    :param system: what the requests go to, for the gate
    :param gate: asked before every request
    :param ca_path: a file of CA certificates, or None for those of the system
    :param auth: as for requests.Session; a callable that returns its argument sends no credentials but those in headers
    :param parallel: the number of threads that will use it
    :param longest_pause: seconds; a longer pause that the server asks for is left to the caller
    """

    def __init__(
        self,
        system: str,
        *,
        deadline: Deadline,
        gate: WriteGate,
        validate_certs: bool,
        ca_path: str | None,
        auth: Any,
        parallel: int = 1,
        longest_pause: float = math.inf,
    ) -> None:
        self._system = system
        self._deadline = deadline
        self._gate = gate
        self._verify = authorities.verification(validate_certs=validate_certs, ca_path=ca_path)
        self._auth = auth
        self._parallel = parallel
        self._longest_pause = longest_pause
        self._opening = threading.Lock()
        self._session: Any = None
        self._resume_at = 0.0

    def request(
        self,
        method: str,
        url: str,
        *,
        try_again: Callable[[Any], bool],
        token_request: bool = False,
        attempts: int | None = None,
        largest: int = LARGEST_ANSWER,
        patience: float = 1.0,
        again_if_late: bool = True,
        **content: Any,
    ) -> Any:
        """Send a request, again where the server asks for it or does not answer.

        :param try_again: whether a later attempt may have a better answer than this one
        :param token_request: whether the request only obtains an access token
        :param attempts: how often it is sent at most, where that is not the usual number
        :param largest: bytes of the largest answer that is expected
        :param patience: how many times the usual seconds it waits for an answer
        :param again_if_late: whether the request is sent again if the server has got it and does not answer in time
        :param content: headers, params and data, as for requests.request
        :returns: the last answer, a requests.Response
        :raises NoAnswer: the server cannot be reached, or does not answer in time
        :raises UnusableAddress: requests cannot work with the URL
        :raises PauseError: the server asked for a pause that is too long, before this request or in answer to it
        :raises DeadlineExceeded: the deadline passed, or would pass before the server wants to be asked again
        :raises MissingLibraryError: the package requests is not installed
        """
        attempts = attempts or ATTEMPTS
        for attempt in range(1, attempts + 1):
            if attempt > 1:
                self._deadline.sleep(BACKOFF * 2 ** (attempt - 2))
            self._wait_for_server()
            try:
                answer = self._send(method, url, token_request, largest, patience, content)
            except _MayPass as error:
                if attempt == attempts or (error.is_late and not again_if_late):
                    raise NoAnswer(str(error)) from None
                continue
            if not try_again(answer):
                break
            self._heed(answer.headers.get("Retry-After"))
        return answer

    def _send(
        self, method: str, url: str, token_request: bool, largest: int, patience: float, content: Mapping[str, Any]
    ) -> Any:
        session = self._open()
        errors = self._requests.exceptions
        self._gate.check(method, self._system, token_request=token_request)
        send = functools.partial(
            _read,
            session.request,
            largest,
            method,
            url,
            timeout=(self._deadline.bound(CONNECT_TIMEOUT), self._deadline.bound(READ_TIMEOUT * patience)),
            verify=self._verify,
            allow_redirects=False,
            stream=True,
            **content,
        )
        try:
            # The timeout is one for each read, which a server that trickles its answer never reaches.
            return self._deadline.run(send)
        except errors.SSLError as error:
            if _concerns_certificates(error):
                raise NoAnswer(
                    "the server's certificate cannot be verified (see the options ca_path and validate_certs)"
                ) from None
            self._deadline.check()
            raise _MayPass("the server broke the TLS connection off") from None
        except errors.ProxyError:
            self._deadline.check()
            raise _MayPass(
                "the proxy that the environment names cannot be reached, or does not reach the server"
            ) from None
        except errors.Timeout as error:
            self._deadline.check()
            is_late = isinstance(error, errors.ReadTimeout)
            raise _MayPass("the server did not answer in time", is_late=is_late) from None
        except (errors.ConnectionError, errors.ChunkedEncodingError):
            self._deadline.check()
            raise _MayPass("the server cannot be reached") from None
        except errors.ContentDecodingError:
            raise NoAnswer("the server's answer has another encoding than it says") from None
        except (errors.RequestException, ValueError):
            raise UnusableAddress from None

    def _open(self) -> Any:
        with self._opening:
            if self._session is None:
                try:
                    from http.cookiejar import DefaultCookiePolicy

                    import requests
                    import urllib3
                except ImportError:
                    raise MissingLibraryError("requests", traceback.format_exc()) from None
                packages.check("requests")
                if self._verify is False:
                    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
                self._requests = requests
                self._session = requests.Session()
                self._session.auth = self._auth
                self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
                for scheme in ("http://", "https://"):
                    self._session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=self._parallel))
            return self._session

    def _heed(self, retry_after: str | None) -> None:
        seconds = _seconds(retry_after)
        if seconds:
            self._resume_at = max(self._resume_at, time.monotonic() + seconds)

    def _wait_for_server(self) -> None:
        # A pause that the server asked for holds for all threads.
        pause = self._resume_at - time.monotonic()
        if pause > min(self._longest_pause, self._deadline.remaining()) and self._deadline.allows(pause):
            raise PauseError(pause)
        if pause > 0:
            self._deadline.sleep(pause)


def _read(request: Callable[..., Any], largest: int, *arguments: Any, **content: Any) -> Any:
    """The answer with its content, as without ``stream``.

    :raises NoAnswer: it is larger than it can be
    """
    answer = request(*arguments, **content)
    with answer:
        pieces, size = [], 0
        for piece in answer.iter_content(_PIECE):
            size += len(piece)
            if size > largest:
                raise NoAnswer(f"the server's answer is larger than {largest} bytes")
            pieces.append(piece)
    answer._content = b"".join(pieces)  # where requests keeps what it has read
    return answer


class _MayPass(Exception):
    """An attempt was not answered, but the next one may be.

    :param is_late: whether the server has got the request
    """

    def __init__(self, text: str, *, is_late: bool = False) -> None:
        super().__init__(text)
        self.is_late = is_late


def _concerns_certificates(error: BaseException) -> bool:
    """Whether a certificate could not be verified, or those to verify it with could not be read.

    Anything else that TLS reports may pass, such as a handshake that a proxy breaks off while it reads its configuration.
    """
    wrapped = [error]
    while wrapped:
        error = wrapped.pop()
        if isinstance(error, ssl.CertificateError) or type(error).__name__ == "CertificateError":
            return True
        if isinstance(error, ssl.SSLError) and error.library in ("PEM", "X509"):
            return True
        reasons = (*error.args, getattr(error, "reason", None), error.__cause__)
        wrapped.extend(reason for reason in reasons if isinstance(reason, BaseException))
    return False


def _seconds(retry_after: str | None) -> float:
    # RFC 9110, 10.2.3: a number of seconds, or a date.
    if not retry_after:
        return 0.0
    if re.fullmatch(r"\s*[0-9]+\s*", retry_after):
        return float(retry_after.strip()[:9])
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(retry_after)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
