# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text that is shown."""

from __future__ import annotations


def one_line(text: str) -> str:
    """The text with a question mark for each character that breaks lines, steers terminals or cannot be encoded."""
    return "".join(character if character.isprintable() else "?" for character in text)
