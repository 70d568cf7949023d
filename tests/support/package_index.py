# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A package index that asks for a password: https://packaging.python.org/en/latest/specifications/simple-repository-api/"""

from __future__ import annotations

import base64
import re
from pathlib import Path

from support.recording_server import Answer, RecordingServer, Request

PASSWORD = "planted-index-password"


class PackageIndex(RecordingServer):
    """Serves a directory of wheels: `with PackageIndex(wheels) as index: ...`. `simple` is its URL, with the password.

    `shown` has the commands of processes with the password in their arguments or environment, at the time of a request.
    """

    def __init__(self, wheels: Path) -> None:
        super().__init__()
        self.simple = f"{self.url.replace('://', f'://user:{PASSWORD}@')}/simple"
        self.shown: set[str] = set()
        self._wheels = wheels
        self._authorization = "Basic " + base64.b64encode(f"user:{PASSWORD}".encode()).decode()

    def answer(self, request: Request) -> Answer:
        if request.headers["Authorization"] != self._authorization:
            return 401, {"WWW-Authenticate": 'Basic realm="packages"'}, b""
        self.shown |= _processes_that_show(PASSWORD)
        name = request.path.rstrip("/").rpartition("/")[2]
        if name.endswith(".whl"):
            return 200, {"Content-Type": "application/zip"}, (self._wheels / name).read_bytes()
        links = [f'<a href="/wheels/{wheel}">{wheel}</a>' for wheel in self._names() if _project(wheel) == name]
        return 200 if links else 404, {"Content-Type": "text/html"}, "\n".join(links).encode()

    def _names(self) -> list[str]:
        return [path.name for path in self._wheels.glob("*.whl")]


def _project(wheel: str) -> str:
    return re.sub(r"[-_.]+", "-", wheel.partition("-")[0]).lower()


def _processes_that_show(text: str) -> set[str]:
    """The commands of all processes that have the text in their arguments or environment."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:  # it has ended
            continue
        if text.encode() in command + environment:
            found.add(command.replace(b"\0", b" ").decode(errors="replace"))
    return found
