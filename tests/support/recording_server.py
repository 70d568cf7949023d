# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP servers for tests. They record every request, and fail if a test wants it."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import struct
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from support.limits import HANGS

if TYPE_CHECKING:
    from typing_extensions import Self

READING = frozenset({"GET", "HEAD", "PROPFIND", "OPTIONS"})
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"})


@dataclass
class Request:
    """A request as the server received it; `at` is the time in seconds of the monotonic clock."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes = field(repr=False)
    headers: Message = field(repr=False, default_factory=Message)
    operation: str = ""
    at: float = field(default_factory=time.monotonic, compare=False)


Predicate = Callable[[Request], bool]
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class _Fault:
    action: Callable[[Request], Answer | None]
    when: Predicate
    times: int | None


class Reset(Exception):
    """The server resets the connection without an answer."""


class Drip(Exception):
    """The server sends the answer one byte at a time.

    :param seconds: the time between two bytes
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class Flood(Exception):
    """The server sends an answer without an end, as fast as the client reads it."""


# "Internal error" (RFC 8446, 6).
_ALERT = bytes.fromhex("15 0303 0002 02 50")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    handshakes_to_break = 0

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.handshakes_to_break <= 0:
            super().finish_request(request, client_address)
            return
        self.handshakes_to_break -= 1
        os.read(request.fileno(), 65536)
        if self.handshakes_to_break % 2:
            os.write(request.fileno(), _ALERT)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that was killed
            super().handle_error(request, client_address)


class RecordingServer(ABC):
    """An HTTP server: `with TheServer() as server: ...`; clients use `server.url`.

    `under_way` is the number of requests that wait for their answer. `most_parallel` is its largest value so far.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._faults: list[_Fault] = []
        self._callback: Callable[[Request], None] | None = None
        self._closed = threading.Event()
        self._resumed = threading.Event()
        self.requests: list[Request] = []
        self.most_parallel = 0
        self.under_way = 0
        self.flooded = 0
        self.callback_errors: list[BaseException] = []
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._resumed.set()
        self._server.shutdown()
        self._server.server_close()

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on; clients use the new `url`."""
        # The handshake is left to the thread of the connection.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = self.url.replace("http://", "https://")

    def break_handshakes(self, times: int) -> None:
        """Break off the next TLS handshakes, in turn with and without an alert."""
        self._server.handshakes_to_break = times

    @property
    def writes(self) -> list[Request]:
        with self._lock:
            return [request for request in self.requests if request.method not in READING]

    def clear(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self.requests.clear()
            self.most_parallel = 0

    def on_request(self, callback: Callable[[Request], None] | None) -> None:
        """Call this with each request before it is answered."""
        self._callback = callback

    def clear_faults(self) -> None:
        with self._lock:
            self._faults.clear()
            self._resumed.set()
            self._resumed = threading.Event()
        self._callback = None

    def fault(self, action: Callable[[Request], Answer | None], when: Predicate, times: int | None = None) -> None:
        """Let `action` answer the next `times` matching requests. If it returns None, the server answers as usual."""
        with self._lock:
            self._faults.append(_Fault(action, when, times))

    def fail(self, status: int, when: Predicate, *, body: bytes = b"", times: int | None = None) -> None:
        self.fault(lambda request: (status, {"Content-Type": "application/xml"}, body), when, times)

    def hang(self, seconds: float, when: Predicate, times: int | None = None) -> None:
        self.fault(lambda request: time.sleep(seconds), when, times)

    def ignore(self, when: Predicate, times: int | None = None) -> None:
        """Accept requests, but neither carry them out nor answer. When the faults are cleared, their connections break."""

        def action(request: Request) -> Answer | None:
            self._resumed.wait()
            raise Reset

        self.fault(action, when, times)

    def reset(self, when: Predicate, times: int | None = None) -> None:
        def action(request: Request) -> Answer | None:
            raise Reset

        self.fault(action, when, times)

    def drip(self, seconds: float, when: Predicate) -> None:
        """Answer with one byte every so many seconds, without an end."""

        def action(request: Request) -> Answer | None:
            raise Drip(seconds)

        self.fault(action, when)

    def flood(self, when: Predicate, status: int = 200) -> None:
        """Answer without an end; `flooded` is the number of bytes that were sent."""

        def action(request: Request) -> Answer | None:
            raise Flood(status)

        self.fault(action, when)

    def operation(self, request: Request) -> str:
        """The name of the request in the protocol."""
        return request.method

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """Status, headers and body of the answer, if no fault gives another one. Several threads call this."""

    def _respond(self, request: Request) -> Answer:
        with self._lock:
            self.under_way += 1
            self.most_parallel = max(self.most_parallel, self.under_way)
        try:
            return self._recorded(request)
        finally:
            with self._lock:
                self.under_way -= 1

    def _recorded(self, request: Request) -> Answer:
        request.operation = self.operation(request)
        with self._lock:
            self.requests.append(request)
            fault = next((fault for fault in self._faults if fault.when(request)), None)
            if fault and fault.times is not None:
                fault.times -= 1
                if not fault.times:
                    self._faults.remove(fault)
        if self._callback:
            try:
                self._callback(request)
            except BaseException as error:
                self.callback_errors.append(error)
                raise
        return (fault.action(request) if fault else None) or self.answer(request)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                parts = urlsplit(self.path)
                query = parse_qs(parts.query, keep_blank_values=True)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    status, headers, content = server._respond(
                        Request(self.command, self.path, query, body, self.headers)
                    )
                except Reset:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    self.connection.close()
                    return
                except Drip as drip:
                    self.close_connection = True
                    with contextlib.suppress(OSError):
                        self.send_response_only(200)
                        self.flush_headers()
                        while not server._closed.wait(drip.seconds):
                            self.wfile.write(b"x")
                    return
                except Flood as flood:
                    self.close_connection = True
                    with contextlib.suppress(OSError):
                        self.send_response_only(flood.args[0])
                        self.send_header("Content-Type", "application/json")
                        self.end_headers()
                        while not server._closed.is_set():
                            server.flooded += self.wfile.write(b" " * 65536)
                    return
                try:
                    self.send_response_only(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    if "Content-Length" not in headers:
                        self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(b"" if self.command == "HEAD" else content)
                except OSError:
                    self.close_connection = True

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PROPFIND = handle_any

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


class RecordingProxy(RecordingServer):
    """Passes requests on to the server at `upstream` unchanged."""

    def __init__(self, upstream: str) -> None:
        super().__init__()
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)

    def answer(self, request: Request) -> Answer:
        connection = http.client.HTTPConnection(*self._upstream, timeout=HANGS)
        try:
            connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in _HOP_BY_HOP and name.lower() != "expect":
                    connection.putheader(name, value)
            if request.body or request.method in ("PUT", "POST"):
                connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
            if request.method == "HEAD" and answer.getheader("Content-Length"):
                kept["Content-Length"] = answer.getheader("Content-Length") or "0"
            return answer.status, kept, answer.read()
        finally:
            connection.close()
