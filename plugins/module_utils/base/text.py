# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text for people."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

# Text that YAML reads back as it is, or as the number that it looks like.
_PLAIN = re.compile(r"[\w/][\w./-]*", re.ASCII)
# The password of a URL, which may have a raw "/", and the name before it.
_CREDENTIALS = re.compile(r"(?<=://).*@", re.DOTALL)


def one_line(text: str) -> str:
    """The text on one line, with an escape such as ``\\u202e`` for each character that is not to be seen.

    These are characters that break a line, steer a terminal, change the direction of text, or cannot be encoded.
    """
    return _escaped(text, "")


def visible(value: Any, *, lines: bool = False) -> Any:
    """A result with all its texts and keys as :func:`one_line` gives them.

    :param value: texts, numbers, and lists and mappings of them
    :param lines: whether texts may have several lines
    """
    if isinstance(value, str):
        return value if value.isprintable() else _escaped(value, "\n" if lines else "")
    if isinstance(value, dict):
        return {visible(key): visible(inner, lines=lines) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [visible(inner, lines=lines) for inner in value]
    return value


def as_yaml(value: Any) -> str:
    """Text or JSON on one line of YAML, which gives the exact value when it is read; see :func:`one_line`."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return "".join(
        character if _is_shown(character) else f"\\U{ord(character):08x}"
        for character in json.dumps(value, ensure_ascii=False)
    )


def without_credentials(text: str) -> str:
    """The text without user names and passwords in URLs."""
    return _CREDENTIALS.sub("", text)


def _escaped(text: str, kept: str) -> str:
    return "".join(
        character if character in kept or _is_shown(character) else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def _is_shown(character: str) -> bool:
    # Other spaces than that of ASCII are not printable for Python.
    return character.isprintable() or unicodedata.category(character) == "Zs"
