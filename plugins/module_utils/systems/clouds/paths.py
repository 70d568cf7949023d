# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks whether paths may be deleted, and writes them in URLs."""

from __future__ import annotations

from urllib.parse import quote, unquote

from ...base.errors import SharedFolderError

# Characters. No server has longer paths or ids.
MAX_PATH = 4096
MAX_IDENTIFIER = 1024


def guarded(path: str, directory: str) -> list[str]:
    """The segments of the path of a folder that may be deleted.

    :param path: as in the database, relative to the provider's root
    :param directory: the directory that holds all shared folders; empty for the root itself
    :raises SharedFolderError: the path is not inside the directory, so it must never be deleted
    """
    # A proxy may decode a path a second time, so the decoded path is checked, too.
    _check(unquote(path), unquote(directory))
    return _check(path, directory)


def directory_names(directory: str) -> list[str]:
    """The names in the path of a directory that may be listed; none for the account's root.

    :raises SharedFolderError: the path could be taken for another one
    """
    return guarded(f"{directory}/x", directory)[:-1]


def normal(path: str) -> str:
    """A path without superfluous slashes."""
    return "/".join(_segments(path))


def url_path(*segments: str) -> str:
    """A path of a URL: each segment percent-encoded (RFC 3986, 2.1), with a slash before it."""
    return "".join(f"/{quote(segment, safe='')}" for segment in segments)


def identifier(value: object) -> str:
    """An id as one segment of a URL.

    :raises SharedFolderError: the id would change the path in another way
    """
    text = str(value)
    if text in ("", ".", "..") or len(text) > MAX_IDENTIFIER or not text.isprintable():
        raise SharedFolderError("its record in the database holds an id that cannot be used")
    return text


def _check(path: str, directory: str) -> list[str]:
    if len(path) > MAX_PATH:
        raise SharedFolderError("its path is too long")
    segments, outer = _segments(path), _segments(directory)
    if not segments:
        raise SharedFolderError("its path is empty")
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise SharedFolderError("its path holds control characters")
    if not {".", ".."}.isdisjoint(segments):
        raise SharedFolderError("its path has . or .. segments")
    if segments[: len(outer)] != outer or len(segments) == len(outer):
        raise SharedFolderError("its path is not inside the directory of the settings")
    return segments


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]
