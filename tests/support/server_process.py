# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that ends with the tests that started it, even if they are killed.

The server runs below a supervisor: this file, run as a program. The supervisor holds the read end of a pipe to the
tests. The pipe closes even when the tests are killed, and then the supervisor stops the server.
"""

from __future__ import annotations

import argparse
import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

# A server that does not end by then is killed.
STOP_SECONDS = 10.0
# What has not happened by then hangs. The same number as in limits.py, which this file cannot import as a program.
HANGS = 3600.0
# Written to the supervisor before its standard input closes, to keep the scratch directory.
_KEEP = b"keep"


class ServerFailed(RuntimeError):
    """The server did not start; the message has the end of its output."""


def free_port() -> int:
    """A loopback TCP port that was free a moment ago; another process may take it before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """A running server.

    `command` and `env` are those of the program; secrets belong in `env`. `scratch` is a directory that is removed after
    the server ends. `output()` has the standard output and error.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None, scratch: Path | None = None
    ) -> None:
        self.name = name
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        options = ["--scratch", str(scratch)] if scratch else []
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", __file__, *options, "--", *command],
            env=None if env is None else dict(env),
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # an interrupt at the terminal is for the tests: they stop the server in order
        )
        self._stopping = threading.Lock()
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        """The supervisor's process; the server is its only child."""
        return self._supervisor.pid

    @property
    def running(self) -> bool:
        return self._supervisor.poll() is None

    def output(self, limit: int = 4000) -> str:
        """The last `limit` bytes that the server printed."""
        if self._output.closed:
            return ""
        descriptor = self._output.fileno()
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, limit, max(0, size - limit)).decode(errors="replace")

    def wait_until(self, ready: Callable[[], bool], timeout: float = HANGS) -> None:
        """Wait until `ready()` is true. If the server ends or `timeout` seconds pass, stop it and raise `ServerFailed`."""
        deadline = time.monotonic() + timeout
        while self.running:
            if ready() and self.running:
                return
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        problem = f"was not ready after {timeout:g} s" if self.running else "ended at once"
        message = f"{self.name} {problem}; its output ends with:\n{self.output()}"
        self.stop()
        raise ServerFailed(message)

    def stop(self, *, keep_scratch: bool = False) -> None:
        """Stop the server and wait until it has ended. It may be called twice."""
        with self._stopping:
            atexit.unregister(self.stop)
            assert self._supervisor.stdin is not None
            if keep_scratch:
                self._supervisor.stdin.write(_KEEP)
            self._supervisor.stdin.close()
            try:
                self._supervisor.wait(timeout=HANGS)
            except subprocess.TimeoutExpired:
                self._supervisor.kill()
                self._supervisor.wait()
            self._output.close()


def _signal_group(server: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(server.pid, number)
    except ProcessLookupError:
        pass


def _end(server: subprocess.Popen[bytes]) -> None:
    _signal_group(server, signal.SIGTERM)
    try:
        server.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        _signal_group(server, signal.SIGKILL)


def _supervise(command: Sequence[str], scratch: Path | None) -> int:
    """Run `command` until it ends or standard input closes; return its exit status."""
    # The server gets a process group of its own, so that processes that it starts end with it.
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def end_in_background(_number: int | None = None, _frame: FrameType | None = None) -> None:
        threading.Thread(target=_end, args=(server,), daemon=True).start()

    said: list[bytes] = []

    def end_with_standard_input() -> None:
        while heard := os.read(0, 4096):
            said.append(heard)
        _end(server)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end_in_background)
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    try:
        return server.wait()
    finally:
        _signal_group(server, signal.SIGKILL)
        if scratch and _KEEP not in said:
            shutil.rmtree(scratch, ignore_errors=True)


def _main() -> int:
    parser = argparse.ArgumentParser(description="Run a server until standard input closes.")
    parser.add_argument("--scratch", type=Path, help="directory to remove at the end")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    return _supervise(arguments.command, arguments.scratch)


if __name__ == "__main__":
    sys.exit(_main())
