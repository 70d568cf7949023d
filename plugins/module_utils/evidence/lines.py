# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines of audit logs: their fields, and the form that each must have."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from .moments import STAMP
from .sums import Key

_ID = re.compile(r"[0-9A-Za-z._:-]{1,80}")
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TABLE = re.compile(r"\w[\w.]{0,126}")
DUE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_ORIGIN = {"event": NAME, "job": NAME, "run": _ID, "host": _ID}


class DamagedLine(Exception):
    """A line that no job wrote in this form."""


def moment(line: bytes) -> str | None:
    try:
        return parse(line)["time"]
    except DamagedLine:
        return None


def parse(line: bytes) -> dict[str, Any]:
    """The fields of a line.

    :raises DamagedLine: it is no line of a job
    """
    if not line.endswith(b"\n"):
        raise DamagedLine("it has no end")
    try:
        values = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise DamagedLine("it is no JSON") from None
    if not isinstance(values, dict):
        raise DamagedLine("it is no JSON object")
    text(values, "time", STAMP)
    origin = tuple(values.get(name) for name in _ORIGIN)
    if not (all(isinstance(value, str) for value in origin) and _is_origin(origin)):
        raise DamagedLine(f"one of the fields {', '.join(_ORIGIN)} is missing or has another form")
    return values


@functools.lru_cache(maxsize=64)
def _is_origin(values: tuple[str, ...]) -> bool:
    """Whether these fields have the right form. Those of neighbouring lines are mostly the same."""
    return all(form.fullmatch(value) for form, value in zip(_ORIGIN.values(), values, strict=True))


def text(line: dict[str, Any], name: str, form: re.Pattern[str], default: str | None = None) -> str:
    value = line.get(name, default)
    if not (isinstance(value, str) and form.fullmatch(value)):
        raise DamagedLine(f"the field {name} is missing or has another form")
    return value


def key(line: dict[str, Any]) -> Key:
    return text(line, "kind", NAME), text(line, "id", _ID)


def number(line: dict[str, Any], name: str) -> int:
    value = line.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DamagedLine(f"the field {name} is no number")
    return value


def dictionary(line: dict[str, Any], name: str) -> dict[str, Any]:
    value = line.get(name, {})
    if not isinstance(value, dict):
        raise DamagedLine(f"the field {name} is no object")
    return value


def counts(line: dict[str, Any], name: str) -> dict[str, int]:
    values = dictionary(line, name)
    for key in values:
        if not _TABLE.fullmatch(key):
            raise DamagedLine(f"the field {name} has another form")
        number(values, key)
    return values
