# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads what a WebDAV server answers to PROPFIND (RFC 4918, 9.1): things with their paths and properties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

from ...base.errors import SharedFolderError

DAV = "{DAV:}"
OWNCLOUD = "{http://owncloud.org/ns}"
NEXTCLOUD = "{http://nextcloud.org/ns}"
_PREFIXES = {DAV: "d", OWNCLOUD: "oc", NEXTCLOUD: "nc"}
_EPOCH = datetime.fromtimestamp(0, timezone.utc)


@dataclass
class Resource:
    """One thing in an answer.

    :ivar path: the names in its URL path, decoded
    :ivar properties: the texts of the properties that the server knows, by their names with namespaces
    """

    path: tuple[str, ...] = ()
    properties: dict[str, str] = field(default_factory=dict)
    is_folder: bool = False

    @property
    def written(self) -> datetime | None:
        """The latest time that the server knows of it, whether that of its creation or of its last change."""
        texts = (self.properties.get(name, "") for name in (f"{DAV}getlastmodified", f"{DAV}creationdate"))
        return latest(*map(moment, texts), moment(self.properties.get(f"{NEXTCLOUD}creation_time", "")))


def query(*names: str) -> bytes:
    """The body of a PROPFIND that asks for these properties."""
    spaces = "".join(f' xmlns:{prefix}="{space[1:-1]}"' for space, prefix in _PREFIXES.items())
    wanted = "".join(
        f"<{prefix}:{name.removeprefix(space)}/>"
        for name in names
        for space, prefix in _PREFIXES.items()
        if name.startswith(space)
    )
    return f'<?xml version="1.0" encoding="utf-8"?><d:propfind{spaces}><d:prop>{wanted}</d:prop></d:propfind>'.encode()


def read(content: bytes) -> list[Resource]:
    """The things in a multi-status answer.

    :raises SharedFolderError: it is no such answer, or not whole
    """
    reader = _Reader()
    parser = ElementTree.XMLParser(target=reader)
    try:
        parser.feed(content)
        parser.close()
    except (ElementTree.ParseError, ValueError):
        raise SharedFolderError("the server's answer is not the list that was asked for") from None
    return reader.resources


def below(resources: Sequence[Resource], names: Sequence[str]) -> dict[str, Resource]:
    """The things directly inside of a folder, by name.

    :param resources: the answer to a PROPFIND of that folder with depth 1, which has the folder, too
    :param names: the last names in the URL path of the folder, decoded
    :raises SharedFolderError: the answer is not about that folder
    """
    folder = min(resources, key=lambda resource: len(resource.path), default=Resource())
    if not folder.is_folder or folder.path[len(folder.path) - len(names) :] != tuple(names):
        raise SharedFolderError("the server's answer is not the list that was asked for")
    return {resource.path[-1]: resource for resource in resources if resource.path[:-1] == folder.path}


def moment(text: str) -> datetime | None:
    """A time in UTC, as RFC 9110 or RFC 3339 writes it, or in seconds since 1970; None if it is unknown."""
    text = text.strip()
    try:
        if text.isdecimal():
            found = datetime.fromtimestamp(int(text[:15]), timezone.utc)
        elif text[:4].isdecimal():
            found = datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
        else:
            found = parsedate_to_datetime(text)
        found = found.replace(tzinfo=timezone.utc) if found.tzinfo is None else found.astimezone(timezone.utc)
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None
    # Servers say 1970 for what they do not know.
    return found if found > _EPOCH else None


def latest(*moments: datetime | None) -> datetime | None:
    """The latest of the known times; None if none is known."""
    return max(filter(None, moments), default=None)


class _Reader:
    """The target of a parser, which keeps no tree."""

    def __init__(self) -> None:
        self.resources: list[Resource] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self._resource = Resource()
        self._status = ""
        self._found: dict[str, str] = {}
        self._is_folder = False

    def start(self, tag: str, attributes: Any) -> None:
        if not self._open and tag != f"{DAV}multistatus":
            raise ValueError(tag)
        self._open.append(tag)
        self._text = []
        if tag == f"{DAV}response":
            self._resource = Resource()
        elif tag == f"{DAV}propstat":
            self._status, self._found, self._is_folder = "", {}, False

    def data(self, text: str) -> None:
        self._text.append(text)

    def end(self, tag: str) -> None:
        self._open.pop()
        parent, text = (self._open or [""])[-1], "".join(self._text)
        if parent == f"{DAV}prop":
            self._found[tag] = text
        elif (parent, tag) == (f"{DAV}resourcetype", f"{DAV}collection"):
            self._is_folder = True
        elif (parent, tag) == (f"{DAV}propstat", f"{DAV}status"):
            self._status = text
        elif (parent, tag) == (f"{DAV}response", f"{DAV}href"):
            self._resource.path = tuple(unquote(name) for name in urlsplit(text.strip()).path.split("/") if name)
        elif tag == f"{DAV}propstat" and self._status.split()[1:2] == ["200"]:
            self._resource.properties.update(self._found)
            self._resource.is_folder |= self._is_folder
        elif tag == f"{DAV}response":
            self.resources.append(self._resource)

    def doctype(self, *declaration: Any) -> None:
        # It may define entities that grow without bounds. No server sends one.
        raise ValueError("doctype")

    def close(self) -> None:
        pass
