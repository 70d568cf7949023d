# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of the stand-ins for clouds: folders, share links, Basic auth and WebDAV."""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
import time
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

from support.recording_server import Answer, RecordingServer, Request

# The characters of a path, by RFC 3986, 3.3.
_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})+")
_KIND, _FOLDER = "{DAV:}resourcetype", "folder"
XML = {"Content-Type": "application/xml; charset=utf-8"}

OC, NC = "{http://owncloud.org/ns}", "{http://nextcloud.org/ns}"
for _prefix, _space in (("d", "DAV:"), ("oc", OC[1:-1]), ("nc", NC[1:-1])):
    ElementTree.register_namespace(_prefix, _space)


@dataclass
class Deleted:
    """A folder in the trash bin.

    :ivar name: the last part of its URL path
    :ivar path: where it was
    :ivar folders: all that was in it, by path, and itself
    :ivar items: the ids of these
    """

    name: str
    path: str
    at: datetime
    item: str
    folders: set[str] = field(default_factory=set)
    items: set[str] = field(default_factory=set)


class CloudServer(RecordingServer):
    """A cloud with one user.

    `folders` are paths without a slash at either end; `shares` are the ids of share links, each with its folder. `files` are
    paths of files. `times` are the times of the last change of some of these, or None if the server does not tell; of all others
    it tells the current time. Its clock is ahead by `ahead`, and `tells_time` says whether its answers have the time.

    With `has_trash` it moves deleted folders to its `trash`, unless a request says otherwise and it `skips_trash`. Share links
    of folders in the trash bin stay. It deletes no folder whose path is `locked`. Each wrong login is answered after
    `login_delay` seconds.

    :param base: the path before all other paths, as behind a reverse proxy: "/cloud"
    """

    provider: ClassVar[str]
    share_api: ClassVar[str]
    trash_bin: ClassVar[str]
    directory = "opentalk/meetings"
    tells_time = True
    has_trash = True
    skips_trash = False
    login_delay = 0.0

    def __init__(self, username: str, password: str, *, base: str = "") -> None:
        super().__init__()
        self.username, self.password, self._base = username, password, base
        self.url += base
        self.folders: set[str] = set()
        self.shares: dict[str, str] = {}
        self.locked: set[str] = set()
        self.files: set[str] = set()
        self.times: dict[str, datetime | None] = {}
        self.ahead = timedelta()
        self.trash: list[Deleted] = []
        self._items: dict[str, str] = {}
        self._shared_items: dict[str, str] = {}

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

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + self.ahead

    def make_older(self, paths: Iterable[str], age: timedelta) -> None:
        """Let folders seem to have been changed last so long ago."""
        self.times.update(dict.fromkeys(paths, self.now() - age))

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
        shares = request.path.startswith(self._base + self.share_api)
        trash = request.path.startswith(self._base + self.trash_bin)
        match request.method, request.headers.get("Depth"):
            case "DELETE", _:
                return "DeleteShare" if shares else "DeleteTrash" if trash else "DeleteFolder"
            case "PROPFIND", depth:
                return "ListTrash" if trash else "ListFolder" if depth == "1" else "FindFolder"
            case "GET", _ if shares:
                return "FindShare" if re.search(r"/shares/[^/?]+", request.path) else "ListShares"
        return request.method

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
        if not self._authenticated(request):
            time.sleep(self.login_delay)
            return self.refuse_login(request)
        with self._lock:
            status, headers, content = self.answer_user(
                request, path.removeprefix(self._base), raw.removeprefix(self._base)
            )
            date = {"Date": format_datetime(self.now().replace(microsecond=0), usegmt=True)} if self.tells_time else {}
            return status, {**date, **headers}, content

    @abstractmethod
    def answer_user(self, request: Request, path: str, raw: str) -> Answer:
        """The answer to a request of the user.

        :param path: the path, decoded and without dot segments
        :param raw: the path as it arrived
        """

    def refuse_login(self, request: Request) -> Answer:
        """The answer to a request of somebody else. Other requests are answered at the same time."""
        return 401, {**XML, "WWW-Authenticate": 'Basic realm="cloud"'}, error("NotAuthenticated")

    def webdav(self, request: Request, root: str, path: str) -> Answer:
        """The answer to a WebDAV request for the folder at `path` below `root`, the URL path of all folders."""
        if request.method not in ("DELETE", "PROPFIND"):
            return 405, XML, error("MethodNotAllowed")
        if path and path not in self.folders | self.files:
            return 404, XML, error("NotFound")
        if request.method == "PROPFIND":
            return self._found(request, root, path)
        if not path:
            return 403, XML, error("Forbidden")
        if path in self.locked:
            return 423, XML, error("Locked")
        self.delete(path, to_trash=not (self.skips_trash and request.headers.get("X-NC-Skip-Trashbin") == "true"))
        return 204, {}, b""

    def webdav_trash(self, request: Request, root: str, name: str) -> Answer:
        """The answer to a WebDAV request for the trash bin, or for the deleted folder with that name in it."""
        entries = {entry.name: entry for entry in self.trash}
        if not self.has_trash or (name and name not in entries):
            return 404, XML, error("NotFound")
        if request.method == "DELETE" and name:
            self.trash.remove(entries[name])
            self._forget_shares(entries[name].items)
            return 204, {}, b""
        if request.method != "PROPFIND" or name or request.headers.get("Depth") != "1":
            return 403, XML, error("Forbidden")
        found = [self.deleted_properties(entry) for entry in self.trash]
        paths = [f"{self._base}{root}/{entry.name}{self.end_of_deleted}" for entry in self.trash]
        return (
            207,
            XML,
            _multi_status(request, [(f"{self._base}{root}/", {_KIND: _FOLDER}), *zip(paths, found, strict=True)]),
        )

    end_of_deleted = ""

    @abstractmethod
    def name_of_deleted(self, path: str, at: datetime) -> str:
        """The name that a folder has in the trash bin."""

    @abstractmethod
    def deleted_properties(self, entry: Deleted) -> dict[str, str]:
        """What the server tells about a deleted folder, by the names of WebDAV properties."""

    def item(self, path: str) -> str:
        """The id of the folder, which it keeps in the trash bin."""
        return self._items.setdefault(path, self.new_item())

    @abstractmethod
    def new_item(self) -> str:
        """An id for a folder."""

    def _found(self, request: Request, root: str, path: str) -> Answer:
        depth = request.headers.get("Depth")
        if depth not in ("0", "1"):
            return 403, XML, error("Forbidden")
        inside = [other for other in self.folders | self.files if posixpath.dirname(other) == path and other != path]
        shown = [path, *(sorted(inside) if depth == "1" else ())]
        things = [(f"{self._base}{root}/{other}", self._properties(other)) for other in shown]
        return 207, XML, _multi_status(request, things)

    def _properties(self, path: str) -> dict[str, str]:
        changed = self.times.get(path, self.now())
        return {
            _KIND: "" if path in self.files else _FOLDER,
            f"{OC}fileid": self.item(path),
            **({"{DAV:}getlastmodified": format_datetime(changed, usegmt=True)} if changed else {}),
        }

    def delete(self, path: str, *, to_trash: bool = True) -> None:
        """Delete a folder with all that is in it."""

        def goes(other: str) -> bool:
            return other == path or other.startswith(f"{path}/")

        at, going = self.now().replace(microsecond=0), set(filter(goes, self.folders))
        items = set(map(self.item, going))
        if self.has_trash and to_trash:
            name = self.name_of_deleted(path, at)
            while name in {entry.name for entry in self.trash}:
                at += timedelta(seconds=1)
                name = self.name_of_deleted(path, at)
            self.trash.append(Deleted(name, path, at, self.item(path), going, items))
        else:
            self._forget_shares(items)
        self.folders.difference_update(going)
        self.files.difference_update(set(filter(goes, self.files)))
        for item in list(filter(goes, self._items)):
            del self._items[item]

    @property
    def links(self) -> dict[str, str]:
        """The share links that lead to a folder, each with its folder."""
        return {share: path for share, path in self.shares.items() if self._shared_folder_exists(share)}

    def restore(self, folders: Iterable[str], shares: dict[str, str]) -> None:
        """Have exactly these folders and share links, and nothing in the trash bin."""
        self.folders, self.shares = set(folders), dict(shares)
        self.trash.clear()
        self._shared_items.update((share, self.item(path)) for share, path in shares.items() if path in self.folders)

    def _share(self, share: str, path: str) -> None:
        assert path in self.folders and share not in self.shares, (share, path)
        self.shares[share] = path
        self._shared_items[share] = self.item(path)

    def _shared_folder_exists(self, share: str) -> bool:
        """Whether the folder of a share link is there, and not only one that has the same path now."""
        path = self.shares[share]
        return path in self.folders and self._shared_items.get(share, self.item(path)) == self.item(path)

    def _forget_shares(self, items: set[str]) -> None:
        for share, item in list(self._shared_items.items()):
            if item in items:
                self.shares.pop(share, None)

    def _authenticated(self, request: Request) -> bool:
        scheme, _unused, credentials = request.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(credentials, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return False
        return scheme.lower() == "basic" and given == f"{self.username}:{self.password}"


def error(exception: str, message: str = "") -> bytes:
    root = ElementTree.Element("{DAV:}error")
    ElementTree.SubElement(root, "{http://sabredav.org/ns}exception").text = f"Sabre\\DAV\\Exception\\{exception}"
    ElementTree.SubElement(root, "{http://sabredav.org/ns}message").text = message
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _multi_status(request: Request, things: Iterable[tuple[str, dict[str, str]]]) -> bytes:
    """An answer with the properties that the request asks for, or with all of them if it names none."""
    wanted = [element.tag for element in ElementTree.fromstring(request.body).iter()] if request.body else []
    root = ElementTree.Element("{DAV:}multistatus")
    for path, properties in things:
        response = ElementTree.SubElement(root, "{DAV:}response")
        ElementTree.SubElement(response, "{DAV:}href").text = quote(path)
        known = {name: text for name, text in properties.items() if name in wanted or not request.body}
        unknown = dict.fromkeys(name for name in wanted[2:] if name not in properties)
        for status, values in (("200 OK", known), ("404 Not Found", unknown)):
            found = ElementTree.SubElement(response, "{DAV:}propstat")
            listed = ElementTree.SubElement(found, "{DAV:}prop")
            for name, text in values.items():
                element = ElementTree.SubElement(listed, name)
                if text == _FOLDER:
                    ElementTree.SubElement(element, "{DAV:}collection")
                else:
                    element.text = text
            ElementTree.SubElement(found, "{DAV:}status").text = f"HTTP/1.1 {status}"
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
