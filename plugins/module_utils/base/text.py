# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text for people."""

from __future__ import annotations


def one_line(text: str) -> str:
    """The text with a question mark for each character that breaks a line, controls a terminal or cannot be encoded."""
    return "".join(character if character.isprintable() else "?" for character in text)
