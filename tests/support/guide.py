# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a page of the documentation tells its reader to write and to type, in the order of the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"^(?:\$|root@(\w+):~#) (.*)$")
_TITLE = re.compile(r"# ([\w./-]+)")


@dataclass(frozen=True)
class Written:
    """A file: a block whose first line is a comment with the path.

    :ivar language: the language of the block, such as `yaml`
    """

    language: str
    path: str
    content: str


@dataclass(frozen=True)
class Command:
    """A command of a block with the language `console`.

    :ivar host: the host, where root types it; or empty for the control node
    :ivar shown: what the page shows below it; empty if the page shows nothing
    """

    host: str
    text: str
    shown: str

    @property
    def must_fail(self) -> bool:
        """Whether the page shows a failure."""
        return re.search(r"^fatal: |^Job for \S+ failed", self.shown, re.MULTILINE) is not None


def steps(page: str) -> Iterator[Written | Command]:
    for language, content in _BLOCK.findall(page):
        if language == "console":
            yield from _commands(content)
        elif title := _TITLE.fullmatch(content.partition("\n")[0]):
            yield Written(language, title[1], content)


def _commands(content: str) -> Iterator[Command]:
    host, text, shown = "", "", ""
    for line in content.replace("\\\n", "\0").splitlines(keepends=True):
        if prompt := _PROMPT.match(line):
            if text:
                yield Command(host, text, shown)
            host, text, shown = prompt[1] or "", prompt[2].replace("\0", "\\\n"), ""
        else:
            assert text, f"no prompt before {line}"
            shown += line.replace("\0", "\\\n")
    yield Command(host, text, shown)
