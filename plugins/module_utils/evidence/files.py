# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of an audit log: the current one, and those that logrotate renamed and compressed."""

from __future__ import annotations

import contextlib
import os
import re
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from ..base.paths import native, readable

# audit.log.1, audit.log.2.gz, audit.log-20261101.xz
_ROTATED = re.compile(r"[.-]\d[\d.-]*?(\.[a-z]\w*)?")
_LIBRARIES = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}
_UNKNOWN = (".zst", ".lz4", ".lzo", ".Z", ".zip")
# Far more than any line has.
_LONGEST = 1_000_000


class UnreadableError(Exception):
    """A file cannot be read, or not to its end."""


def find(path: str) -> list[str]:
    """The paths of an audit log and of its rotated files that are there, sorted.

    :raises UnreadableError: the directory cannot be read
    """
    directory, name = os.path.split(readable(os.path.abspath(native(path))))
    try:
        names = sorted(map(readable, os.listdir(native(directory))))
    except OSError as error:
        raise UnreadableError(f"its directory cannot be read ({error.strerror})") from None
    found = [
        each for each in names if each == name or (each.startswith(name) and _ROTATED.fullmatch(each[len(name) :]))
    ]
    return [os.path.join(directory, each) for each in found]


def lines(path: str) -> Iterator[bytes]:
    """The lines of a file, with their ends, in constant memory. What is longer than any line is given in pieces.

    :raises UnreadableError: the file cannot be read, or not to its end
    """
    suffix = os.path.splitext(path)[1]
    damaged: tuple[type[Exception], ...] = (EOFError, zlib.error)
    opened: Callable[..., Any] = open
    place = native(path)
    if not os.path.isfile(place):
        raise UnreadableError("it is no file")
    if suffix in _UNKNOWN:
        raise UnreadableError(f"files with the ending {suffix} cannot be read here; decompress it beside the others")
    try:
        if suffix in _LIBRARIES:
            library = import_module(_LIBRARIES[suffix])
            opened, damaged = library.open, (*damaged, getattr(library, "LZMAError", zlib.error))
        with opened(place, "rb") as file:
            while line := file.readline(_LONGEST):
                yield line
    except ImportError:
        raise UnreadableError(f"this Python lacks the module {_LIBRARIES[suffix]}") from None
    except OSError as error:
        raise UnreadableError(error.strerror or "its compressed data are damaged") from None
    except damaged:
        raise UnreadableError("its compressed data are cut off or damaged") from None


def in_order(paths: list[str], moment: Callable[[bytes], str | None]) -> list[str]:
    """The files in the order of their first lines.

    :param moment: gives the moment of a line, or None for a damaged line
    """

    def first(path: str) -> str:
        with contextlib.suppress(UnreadableError):
            for line in lines(path):
                if found := moment(line):
                    return found
        return ""

    return sorted(paths, key=lambda path: (first(path), path))
