# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes TOML 1.0, for which no package of the collection has a writer. Errors name keys and never values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_INTEGERS = range(-(2**63), 2**63)


def document(values: Mapping[str, Any]) -> str:
    """The text of a TOML document.

    :param values: text, booleans, numbers, lists and further mappings by their keys
    :raises ValueError: there is a value or a key that TOML does not have
    """
    return "".join(f"{line}\n" for line in _table(values, ()))


def _table(values: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """The lines of a table. Its own values come before the tables in it, because a header ends them."""
    inner = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    for key, value in values.items():
        if key not in inner:
            yield f"{_key(key, path)} = {_value(value, (*path, key))}"
    for key, table in inner.items():
        below = (*path, key)
        yield f"[{'.'.join(_key(name, path) for name in below)}]"
        yield from _table(table, below)


def _key(key: Any, path: tuple[str, ...]) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{named(path)} has a key that is not text.")
    return key if _BARE_KEY.fullmatch(key) else _text(key, path)


def _value(value: Any, path: tuple[str, ...]) -> str:
    if isinstance(value, str) or getattr(value, "__ENCRYPTED__", False):  # a vaulted value, before ansible-core 2.19
        return _text(str(value), path)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and int(value) in _INTEGERS:
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else str(float(value))
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(item, path) for item in value)}]"
    if isinstance(value, Mapping):
        pairs = [f"{_key(key, path)} = {_value(item, (*path, key))}" for key, item in value.items()]
        return f"{{{', '.join(pairs)}}}"
    if value is None:
        raise ValueError(f"{named(path)} has no value; give it one, or remove the key.")
    if isinstance(value, int):
        raise ValueError(f"{named(path)} is a number of more than 64 bits, which TOML does not have.")
    raise ValueError(f"{named(path)} is neither text nor a number; put it in quotes.")


def _text(text: str, path: tuple[str, ...]) -> str:
    """A basic string. JSON has the same escapes, but lets DEL stand in a string as it is."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{named(path)} has half of a surrogate pair, which is no text.") from None
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def named(path: tuple[Any, ...]) -> str:
    """The place of a value, for messages."""
    return ".".join(map(str, path)) or "The document"
