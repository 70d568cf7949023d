# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which paths may be deleted, and how they are written in a URL."""

from __future__ import annotations

from urllib.parse import quote, unquote

from ...base.errors import SharedFolderError


def guarded(path: str, directory: str) -> list[str]:
    """The segments of a folder's path.

    :param path: as the database has it, below the provider's root
    :param directory: the directory that holds all shared folders; empty for the root itself
    :raises SharedFolderError: the path is not that of a folder inside the directory, and must never be deleted
    """
    # Decoded as well, for servers behind a proxy that decodes a second time.
    _check(unquote(path), unquote(directory))
    return _check(path, directory)


def normal(path: str) -> str:
    """A path without slashes that mean nothing."""
    return "/".join(_segments(path))


def url_path(*segments: str) -> str:
    """A path of a URL: each segment percent-encoded (RFC 3986, 2.1), with a slash before it."""
    return "".join(f"/{quote(segment, safe='')}" for segment in segments)


def identifier(value: object) -> str:
    """An id that is to be a segment of a URL.

    :raises SharedFolderError: it would change the path instead
    """
    text = str(value)
    if text in ("", ".", "..") or not text.isprintable():
        raise SharedFolderError("its record in the database holds an id that cannot be used")
    return text


def _check(path: str, directory: str) -> list[str]:
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
