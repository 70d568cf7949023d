# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the README tells its reader to type."""

from __future__ import annotations

import re
import shlex

from support.collection import ROOT


def blocks(section: str, language: str) -> list[str]:
    """The code blocks in that language of one section, those below it included."""
    _before, _title, rest = (ROOT / "README.md").read_text().partition(f"\n## {section}\n")
    return re.findall(rf"^```{language}\n(.*?)^```$", rest.partition("\n## ")[0], re.MULTILINE | re.DOTALL)


def commands(section: str) -> list[list[str]]:
    """The words of each command of one section."""
    lines = [line for block in blocks(section, "console") for line in block.splitlines()]
    return [shlex.split(line.removeprefix("$ ")) for line in lines if line.startswith("$ ")]
