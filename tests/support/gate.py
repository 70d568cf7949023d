# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds jobs in the middle of their work, for as long as a test needs to look around."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from support.limits import HANGS
from support.recording_server import Request
from support.s3_proxy import S3Proxy


class Gate:
    """Closed: requests of one operation of the storage wait. `waiting` is their number."""

    def __init__(self) -> None:
        self.waiting = 0
        self._open = threading.Event()
        self._lock = threading.Lock()

    def open(self) -> None:
        self._open.set()

    def pass_through(self) -> None:
        with self._lock:
            self.waiting += 1
        self._open.wait(HANGS)
        with self._lock:
            self.waiting -= 1


@contextmanager
def closed_gate(proxy: S3Proxy, operation: str = "DeleteObjects") -> Iterator[Gate]:
    """A gate that is closed until it is opened, or the block ends."""
    gate = Gate()

    def hold(request: Request) -> None:
        if request.operation == operation:
            gate.pass_through()

    proxy.on_request(hold)
    try:
        yield gate
    finally:
        gate.open()
        proxy.on_request(None)
