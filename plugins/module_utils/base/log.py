# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Log lines in the format of the OpenTalk controller's job runner."""

from __future__ import annotations

from .text import one_line


class JobLog:
    """Collects lines such as ``[INFO ] Starting job execution``: the level padded to five characters, then the text.

    Lines may hold ids and counts, but no personal data and no secrets.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def _add(self, level: str, text: str) -> None:
        self.lines.append(f"[{level:<5}] {one_line(text)}".rstrip())

    def trace(self, text: str) -> None:
        self._add("TRACE", text)

    def debug(self, text: str) -> None:
        self._add("DEBUG", text)

    def info(self, text: str = "") -> None:
        self._add("INFO", text)

    def warn(self, text: str) -> None:
        self._add("WARN", text)

    def error(self, text: str) -> None:
        self._add("ERROR", text)
