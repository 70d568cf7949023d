# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a page may leave out, and what it may not."""

from __future__ import annotations

import pytest

from support.guide import Command, Written, steps
from support.transcript import difference


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        ("a\n...\nc\n", "a\nb\nb\nc\n"),
        ("...\nb\nc\n...\n", "a\nb\nb\nc\nd\n"),
        ("...\nb\n", "b\na\nb\n"),
        ("a ... c\n", "a b c\n"),
        ("at 2026-11-27 03:08, 1.2s, Python 3.11.2, ***\n", "at  2027-01-01 10:00, 0.123s, Python 3.13.5, *****\n"),
    ],
)
def test_what_may_differ(shown: str, came: str) -> None:
    assert difference(shown, came) == ""


@pytest.mark.parametrize(
    ("shown", "came", "first"),
    [
        ("a\nc\n", "a\nb\nc\n", "a\nc"),
        ("a\n", "a\nb\n", "a"),
        ("a\n...\nb\n", "a\nb\nc\n", "b"),
        ("...\nb\nc\n...\n", "b\na\nc\n", "b\nc"),
        ("...\nb\n...\na\n...\n", "a\nb\n", "a"),
        ("events: 80\n", "events: 81\n", "events: 80"),
    ],
)
def test_what_may_not(shown: str, came: str, first: str) -> None:
    assert difference(shown, came) == first


def test_steps_of_a_page() -> None:
    page = (
        "```ini\n# a/b.ini\n[x]\n```\n```text\nfree\n```\n```console\n$ one \\\n  two\nout\nroot@alpha:~# three\n```\n"
    )
    assert list(steps(page)) == [
        Written("ini", "a/b.ini", "# a/b.ini\n[x]\n"),
        Command("", "one \\\n  two", "out\n"),
        Command("alpha", "three", ""),
    ]
