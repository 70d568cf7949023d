# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of the stand-ins for clouds: folders, share links, Basic auth and WebDAV."""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
from abc import abstractmethod
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

from support.recording_server import Answer, RecordingServer, Request

# The characters of a path, by RFC 3986, 3.3.
_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})+")
_XML = {"Content-Type": "application/xml; charset=utf-8"}

ElementTree.register_namespace("d", "DAV:")


class CloudServer(RecordingServer):
    """A cloud with one user.

    `folders` are paths without a slash at either end; `shares` are the ids of share links, each with its folder.

    :param base: the path before all other paths, as behind a reverse proxy: "/cloud"
    """

    provider: ClassVar[str]
    share_api: ClassVar[str]
    directory = "opentalk/meetings"

    def __init__(self, username: str, password: str, *, base: str = "") -> None:
        super().__init__()
        self.username, self.password, self._base = username, password, base
        self.url += base
        self.folders: set[str] = set()
        self.shares: dict[str, str] = {}

    @property
    def settings(self) -> dict[str, str]:
        """The controller's settings for this server."""
        return {
            "provider": self.provider,
            "url": self.url,
            "username": self.username,
            "password": self.password,
            "directory": self.directory,
        }

    def make_folder(self, path: str) -> None:
        """Make a folder and all folders above it."""
        names = path.strip("/").split("/")
        with self._lock:
            self.folders.update("/".join(names[: depth + 1]) for depth in range(len(names)))

    @abstractmethod
    def share(self, path: str) -> Any:
        """Make a share link of an existing folder, and return its id in the provider's form."""

    @abstractmethod
    def record(self, write: Any, read: Any) -> dict[str, Any]:
        """The value of `event_shared_folders.provider_data` for these share links."""

    def shared_folder(self, path: str) -> dict[str, Any]:
        """Make a folder with both of its share links, and return its `provider_data`."""
        self.make_folder(path)
        return self.record(self.share(path), self.share(path))

    def operation(self, request: Request) -> str:
        if request.method == "DELETE":
            return "DeleteShare" if request.path.startswith(self._base + self.share_api) else "DeleteFolder"
        return "FindFolder" if request.method == "PROPFIND" else request.method

    def answer(self, request: Request) -> Answer:
        raw = urlsplit(request.path).path
        if not request.path.isascii() or not _PATH.fullmatch(raw):
            return 400, {}, b""
        try:
            path = posixpath.normpath(unquote(raw, errors="strict"))
        except UnicodeDecodeError:
            return 400, {}, b""
        if not path.startswith(self._base + "/"):
            return 404, {}, b""
        with self._lock:
            if not self._authenticated(request):
                return self.refuse_login(request)
            return self.answer_user(request, path.removeprefix(self._base), raw.removeprefix(self._base))

    @abstractmethod
    def answer_user(self, request: Request, path: str, raw: str) -> Answer:
        """The answer to a request of the user.

        :param path: the path, decoded and without dot segments
        :param raw: the path as it arrived
        """

    def refuse_login(self, request: Request) -> Answer:
        return 401, {**_XML, "WWW-Authenticate": 'Basic realm="cloud"'}, _error("NotAuthenticated")

    def webdav(self, request: Request, root: str, path: str) -> Answer:
        """The answer to a WebDAV request for the folder at `path` below `root`, the URL path of all folders."""
        if request.method not in ("DELETE", "PROPFIND"):
            return 405, _XML, _error("MethodNotAllowed")
        if path and path not in self.folders:
            return 404, _XML, _error("NotFound")
        if request.method == "PROPFIND":
            if request.headers.get("Depth") != "0":
                return 403, _XML, _error("Forbidden")
            return 207, _XML, _multi_status(f"{self._base}{root}/{path}")
        if not path:
            return 403, _XML, _error("Forbidden")
        self._delete(path)
        return 204, {}, b""

    def _delete(self, path: str) -> None:
        def goes(other: str) -> bool:
            return other == path or other.startswith(f"{path}/")

        self.folders.difference_update(set(filter(goes, self.folders)))
        for share in [share for share, folder in self.shares.items() if goes(folder)]:
            del self.shares[share]

    def _authenticated(self, request: Request) -> bool:
        scheme, _unused, credentials = request.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(credentials, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return False
        return scheme.lower() == "basic" and given == f"{self.username}:{self.password}"


def _error(exception: str) -> bytes:
    root = ElementTree.Element("{DAV:}error")
    ElementTree.SubElement(root, "{http://sabredav.org/ns}exception").text = f"Sabre\\DAV\\Exception\\{exception}"
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _multi_status(path: str) -> bytes:
    root = ElementTree.Element("{DAV:}multistatus")
    response = ElementTree.SubElement(root, "{DAV:}response")
    ElementTree.SubElement(response, "{DAV:}href").text = quote(path)
    found = ElementTree.SubElement(response, "{DAV:}propstat")
    kind = ElementTree.SubElement(ElementTree.SubElement(found, "{DAV:}prop"), "{DAV:}resourcetype")
    ElementTree.SubElement(kind, "{DAV:}collection")
    ElementTree.SubElement(found, "{DAV:}status").text = "HTTP/1.1 200 OK"
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
