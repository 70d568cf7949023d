# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths in UTF-8, whatever the locale is: so they are in options, in settings and in what people see."""

from __future__ import annotations

import os

_UTF_8 = ("utf-8", "surrogateescape")


def native(path: str) -> str:
    """The path as functions of the operating system take it, which encode it as the locale says."""
    return os.fsdecode(path.encode(*_UTF_8))


def readable(path: str) -> str:
    """The path that a function of the operating system gave, as it is to be read."""
    return os.fsencode(path).decode(*_UTF_8)


def environment() -> dict[str, str]:
    """The environment of the process, whose values are UTF-8, too."""
    return {name.decode(*_UTF_8): value.decode(*_UTF_8) for name, value in os.environb.items()}
