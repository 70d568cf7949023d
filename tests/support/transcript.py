# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares what a page shows below a command with what came.

`...` on a line of its own stands for any lines, and within a line for any text. Beside that only these may differ: moments,
durations, versions of programs and packages, and the width of columns and banners.
"""

from __future__ import annotations

import re

GAP = "..."
_SAME = (
    (re.compile(r"(?:\w{3} )?\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?(?: UTC)?"), "<moment>"),
    # As systemctl shows it; and the duration of a job.
    (re.compile(r"(?:\d+(?:h|min|s|ms|days?|weeks?|months?) ?)+(?: ?left| ago)|\b\d+\.\d+s\b"), "<duration>"),
    (re.compile(r"\b\d+(?:\.\d+)+(?:\.post\d+)?\b"), "<version>"),
    (re.compile(r"\*{3,}"), "***"),
    (re.compile(r"-{3,}(?=\s|$)"), "---"),
    (re.compile(r"[ \t]+"), " "),
)


def difference(shown: str, came: str) -> str:
    """The first lines of the page that did not come where they should have; empty if all did."""
    rest = _lines(came)
    *segments, end = _segments(_lines(shown))
    for number, segment in enumerate(segments):
        places = range(len(rest) - len(segment) + 1) if number else range(1)
        place = next((place for place in places if _fits(segment, rest[place:])), None)
        if place is None:
            return "\n".join(segment)
        rest = rest[place + len(segment) :]
    from_here = rest if not segments else rest[max(0, len(rest) - len(end)) :]
    return "" if len(from_here) == len(end) and _fits(end, from_here) else "\n".join(end) or "(nothing more)"


def _segments(lines: list[str]) -> list[list[str]]:
    """The lines between the gaps; a gap at the beginning or at the end has an empty segment beside it."""
    found: list[list[str]] = [[]]
    for line in lines:
        if line == GAP:
            found.append([])
        else:
            found[-1].append(line)
    return found


def _fits(segment: list[str], lines: list[str]) -> bool:
    """Whether the lines begin with those of the segment."""
    return len(segment) <= len(lines) and all(
        re.fullmatch(".*".join(map(re.escape, shown.split(GAP))), came)
        for shown, came in zip(segment, lines, strict=False)
    )


def _lines(text: str) -> list[str]:
    for pattern, placeholder in _SAME:
        text = pattern.sub(placeholder, text)
    return [line.rstrip() for line in text.strip("\n").split("\n")]
