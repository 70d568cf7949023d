# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP proxy that can fall silent, as a network does whose cable is cut. Neither side gets an end of the connection."""

from __future__ import annotations

import contextlib
import socket
import threading

from support.limits import HANGS


class SilentProxy:
    """A proxy on the loopback address: `with SilentProxy(port) as proxy: ...`.

    After `silence()` it goes on to accept connections and to read, but passes nothing on and closes nothing.
    """

    def __init__(self, to_port: int) -> None:
        self._to = ("127.0.0.1", to_port)
        self._is_silent = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> None:
        self._is_silent.set()

    def __enter__(self) -> SilentProxy:
        return self

    def __exit__(self, *_: object) -> None:
        for each in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                self._sockets.append(client)
                if not self._is_silent.is_set():
                    server = socket.create_connection(self._to, HANGS)
                    server.settimeout(None)
                    self._sockets.append(server)
                    for pair in ((client, server), (server, client)):
                        threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self._is_silent.is_set():
                    target.sendall(data)
            if not self._is_silent.is_set():
                target.shutdown(socket.SHUT_WR)
