# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A shared folder, and the base class of the providers of shared folders."""

from __future__ import annotations

import functools
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar
from unicodedata import is_normalized

from ...base.errors import SharedFolderError
from .availability import Availability
from .client import CloudClient
from .paths import directory_names, guarded, identifier, url_path
from .webdav import DAV, NEXTCLOUD, OWNCLOUD, Resource, below, moment, query, read

GONE = 404
MULTI_STATUS = 207
# Clouds that do not know it ignore it.
SKIP_TRASH = {"X-NC-Skip-Trashbin": "true"}
# A time after all others, for a deletion of which the cloud does not tell the time.
UNKNOWN = datetime.max.replace(tzinfo=timezone.utc)
# Seconds for times that a cloud rounds.
_SLACK = 2.0
ITEM = f"{OWNCLOUD}fileid"
_KINDS = query(f"{DAV}resourcetype")
_LISTED = query(f"{DAV}resourcetype", f"{DAV}getlastmodified", f"{DAV}creationdate", f"{NEXTCLOUD}creation_time", ITEM)


@dataclass(frozen=True, slots=True)
class Found:
    """The place of a folder that was found on the cloud. Its share links are asked of the cloud when it is deleted.

    :ivar drive: the id of its drive, on OpenCloud
    :ivar item: the id of the folder, on OpenCloud
    """

    drive: str = ""
    item: str = ""


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """A folder that an event shares with its participants.

    :ivar provider: ``nextcloud`` or ``opencloud``
    :ivar path: the path, relative to the provider's root
    :ivar shares: the ids of the share links by access; each is a string, or a mapping of ids
    :ivar is_needed: whether an event that stays has the same folder, or one inside it
    :ivar found: where it was found, if it is not from a record in the database
    """

    event_id: str
    provider: str
    path: str
    shares: dict[str, Any]
    is_needed: bool = False
    found: Found | None = None

    @classmethod
    def from_record(cls, event_id: str, path: str, record: str) -> SharedFolder:
        """A folder as the controller records it.

        :param record: the value of ``event_shared_folders.provider_data`` as JSON, whatever it is
        """
        data = _parsed(record)
        names = ("write_share_id", "read_share_id") if data.get("type") == "nextcloud" else ("write", "read")
        shares = {access: _share(data.get(name)) for access, name in zip(("write", "read"), names, strict=True)}
        provider = (_identifier(data.get("type")) or "unknown").partition("_")[0]
        return cls(event_id, provider, path, shares)

    def as_item(self, **facts: Any) -> dict[str, Any]:
        """The folder in a plan, with further facts."""
        return {"event_id": self.event_id, "provider": self.provider, "path": self.path, **facts}

    @property
    def items(self) -> set[str]:
        """The ids that the folder may have in the trash bin, on OpenCloud without the drive."""
        ids = [share.get("item_id", "") for share in self.shares.values() if isinstance(share, dict)]
        ids += [self.found.item] if self.found else []
        return {str(item).rpartition("!")[2] for item in ids} - {""}

    def as_left_behind(self, reason: str) -> dict[str, Any]:
        """The folder in the list of folders that somebody must remove by hand."""
        return {**self.as_item(), "shares": self.shares, "reason": reason}

    def as_warning(self, reason: str) -> str:
        """The same as a sentence for logs."""
        path, shares = (json.dumps(value, ensure_ascii=False) for value in (self.path, self.shares))
        return f"Shared folder of event {self.event_id} left behind: {self.provider}, {path}, shares {shares}: {reason}"


@dataclass(frozen=True)
class Copy:
    """A folder in the trash bin.

    :ivar name: the last part of its URL path, decoded
    :ivar location: the path that it had, without superfluous slashes
    :ivar at: when it was deleted, UTC; None if that is unknown
    :ivar item: the id of the folder, which it keeps; empty if the cloud does not tell
    """

    name: str
    location: str
    at: datetime | None
    item: str


@dataclass(frozen=True)
class Directory:
    """What a cloud lists directly inside of a directory.

    :ivar drive: the id of the directory's drive, on OpenCloud
    :ivar entries: the things in the directory, by name; None if there is no such directory
    :ivar now: the cloud's clock when it answered, UTC; None if it does not tell
    """

    drive: str
    entries: dict[str, Resource] | None
    now: datetime | None


class SharedFolderProvider(ABC):
    """Deletes shared folders on one cloud. Several threads may use it at the same time.

    :cvar name: the name of the provider in the settings and in the database
    :cvar trash_query: the body of a question for what is in the trash bin
    :cvar trash_end: what follows the name in the URL path of a thing in the trash bin
    :param directory: the directory that holds all shared folders
    """

    name: ClassVar[str]
    trash_query: ClassVar[bytes]
    trash_end: ClassVar[str] = ""

    def __init__(self, client: CloudClient, directory: str) -> None:
        self.client = client
        self._directory = directory
        self._availability = Availability(client)
        self._confirmed: set[str] = set()
        self._lacks_directory = False

    @property
    def lacks_directory(self) -> str:
        """The directory that holds all shared folders, if it is known that the cloud has no such directory; otherwise empty."""
        return self._directory if self._lacks_directory else ""

    def sign_in(self, folder: SharedFolder) -> None:
        """Send the first request of all, if none has been answered. Call it while nobody waits for locks.

        :param folder: one that is to be deleted
        :raises SharedFolderError: the cloud does not work
        :raises PauseError: the cloud asks for a pause first
        """
        self._availability.sign_in(self._outer(folder))

    def check(self, folder: SharedFolder) -> None:
        """:raises SharedFolderError: the folder can never be deleted here; no request is sent for this check"""
        if folder.provider != self.name:
            raise SharedFolderError(f"it is on {folder.provider}, but the settings name {self.name}")
        guarded(folder.path, self._directory)
        self.root(folder)
        self.share_paths(folder)

    def delete(self, folder: SharedFolder, *, skip_trash: bool = False) -> datetime | None:
        """Delete the share links, then the folder. If one does not exist, it counts as deleted.

        :param skip_trash: whether to ask the cloud to make no copy in the trash bin; not every cloud does that
        :returns: a time of the cloud's clock shortly before the deletion, UNKNOWN if the cloud does not tell the time; None if
            there was no folder
        :raises SharedFolderError: a part of the folder or a share link may still exist
        :raises PauseError: the cloud asks for a pause first
        """
        self.check(folder)
        return self._availability.ask(self._outer(folder), functools.partial(self._delete, folder, skip_trash))

    def copies(self, folder: SharedFolder) -> list[Copy]:
        """What is in the trash bin into which the folder goes; nothing if there is no trash bin.

        :raises SharedFolderError: the cloud does not say it
        :raises PauseError: the cloud asks for a pause first
        """
        return self._availability.ask(self._outer(folder), functools.partial(self._copies, folder))

    def delete_copy(self, folder: SharedFolder, copy: Copy) -> None:
        """Delete a folder in the trash bin for ever. If it does not exist, it counts as deleted.

        :raises SharedFolderError: it may still exist
        :raises PauseError: the cloud asks for a pause first
        """
        self._availability.ask(self._outer(folder), functools.partial(self._delete_copy, folder, copy))

    def exists(self, folder: SharedFolder) -> bool:
        """Whether the folder exists.

        :raises SharedFolderError: the cloud does not say it
        :raises PauseError: the cloud asks for a pause first
        """
        self.check(folder)
        return self._availability.ask(self._outer(folder), functools.partial(self._exists, folder))

    def place(self, folder: SharedFolder) -> tuple[str, ...]:
        """The account's root and the names of the folder that this one is directly inside of."""
        return self.root(folder), *guarded(folder.path, self._directory)[:-1]

    def which_exist(self, folders: Sequence[SharedFolder]) -> dict[str, bool]:
        """Whether folders exist that are all in the same place, with one request.

        :returns: the answers by the ids of their events; a folder of which the list tells nothing is left out
        :raises SharedFolderError: the cloud gives no list
        :raises PauseError: the cloud asks for a pause first
        """
        return self._availability.ask(self._outer(folders[0]), functools.partial(self._which_exist, folders))

    def list_directory(self) -> Directory:
        """List the directory.

        :raises SharedFolderError: the cloud gives no list, or does not know the account
        :raises PauseError: the cloud asks for a pause first
        """
        names = directory_names(self._directory)
        drive = self.own_drive()
        root = self.root(SharedFolder("", self.name, "", {}, found=Found(drive)))
        status, answer = self.client.list_folder(root + url_path(*names) + "/", _LISTED)
        now = moment(answer.headers.get("Date", ""))
        if status == GONE and names:
            self._confirm_root(root)
            return Directory(drive, None, now)
        if status != MULTI_STATUS:
            raise SharedFolderError(f"the server answered with HTTP status {status}")
        return Directory(drive, below(read(answer.content), names), now)

    def look_again(self) -> None:
        """Ask a cloud that did not work whether it works now, if that is due. Call it while nobody waits for locks."""
        self._availability.look_again()

    def works(self, folder: SharedFolder, reason: str) -> bool:
        """Ask the cloud whether it works, after it did not answer in time about this folder.

        :param reason: the reason to give for all folders from now on if it does not
        """
        self._availability.doubt(self._outer(folder), SharedFolderError(reason))
        return self._availability.works

    def give_up(self, folder: SharedFolder, reason: str) -> None:
        """Take the cloud for one that does not work; the parameters are those of :meth:`works`."""
        self._availability.give_up(self._outer(folder), SharedFolderError(reason))

    def _delete(self, folder: SharedFolder, skip_trash: bool) -> datetime | None:
        if folder.found:
            folder = replace(folder, shares=self.find_shares(folder))
        for path in self.share_paths(folder):
            self.delete_share(folder, path)
        root = self.root(folder)
        path, headers = root + url_path(*guarded(folder.path, self._directory)), SKIP_TRASH if skip_trash else {}
        began = time.monotonic()
        status, answer = self.client.ask("DELETE", path, headers=headers)
        if status == GONE:
            self._confirm(root)
            return None
        if status == 204:
            self._confirmed.add(root)
            now = moment(answer.headers.get("Date", ""))
            return now - timedelta(seconds=time.monotonic() - began + _SLACK) if now else UNKNOWN
        partly = "deleted only a part of it" if status == MULTI_STATUS else f"answered with HTTP status {status}"
        raise SharedFolderError(f"the server {partly}")

    def _copies(self, folder: SharedFolder) -> list[Copy]:
        status, answer = self.client.list_folder(self.trash(folder) + "/", self.trash_query)
        if status == GONE:
            return []
        if status != MULTI_STATUS:
            raise SharedFolderError(f"the server answered the question for the trash bin with HTTP status {status}")
        return [self.as_copy(name, found) for name, found in below(read(answer.content), ()).items()]

    def _delete_copy(self, folder: SharedFolder, copy: Copy) -> None:
        status = self.client.request("DELETE", self.trash(folder) + url_path(identifier(copy.name)) + self.trash_end)
        if status not in (204, GONE):
            raise SharedFolderError(f"the server answered with HTTP status {status}")

    def _exists(self, folder: SharedFolder) -> bool:
        root = self.root(folder)
        status = self.client.find(root + url_path(*guarded(folder.path, self._directory)))
        if status == GONE:
            self._confirm(root)
        elif status != MULTI_STATUS:
            raise SharedFolderError(f"the server answered with HTTP status {status}")
        return status != GONE

    def _which_exist(self, folders: Sequence[SharedFolder]) -> dict[str, bool]:
        root, *names = self.place(folders[0])
        # The same question about each folder costs less than further attempts.
        status, answer = self.client.list_folder(root + url_path(*names) + "/", _KINDS, attempts=1)
        if status == GONE:
            self._confirm(root)
            return dict.fromkeys((folder.event_id for folder in folders), False)
        if status != MULTI_STATUS:
            raise SharedFolderError(f"the server answered with HTTP status {status}")
        there = below(read(answer.content), names)
        self._confirmed.add(root)
        last = {folder.event_id: guarded(folder.path, self._directory)[-1] for folder in folders}
        # A cloud may write a name in a list in its composed form.
        return {event: name in there for event, name in last.items() if name in there or is_normalized("NFC", name)}

    @abstractmethod
    def root(self, folder: SharedFolder) -> str:
        """The URL path to which the folder's path is relative.

        :raises SharedFolderError: the folder's record lacks a part of it
        """

    @abstractmethod
    def share_paths(self, folder: SharedFolder) -> list[str]:
        """The URL paths of the folder's share links.

        :raises SharedFolderError: the folder's record holds an id that cannot be used
        """

    @abstractmethod
    def trash(self, folder: SharedFolder) -> str:
        """The URL path of the trash bin into which the folder goes."""

    @abstractmethod
    def as_copy(self, name: str, found: Resource) -> Copy:
        """A thing that the cloud lists in a trash bin."""

    @abstractmethod
    def own_drive(self) -> str:
        """The id of the drive in which the controller makes folders; empty if the provider has no drives.

        :raises SharedFolderError: the cloud does not tell
        """

    @abstractmethod
    def find_shares(self, folder: SharedFolder) -> dict[str, Any]:
        """The share links of a folder that was found on the cloud, in the form of ``SharedFolder.shares``.

        :raises SharedFolderError: the cloud does not tell
        """

    @abstractmethod
    def delete_share(self, folder: SharedFolder, path: str) -> None:
        """Delete a share link. A link that does not exist counts as deleted.

        :param path: the URL path of the link
        :raises SharedFolderError: the link may still exist
        """

    def _confirm(self, root: str) -> None:
        # A wrong address answers "not found", too. The answer is only believed if the directory or the root is found.
        if root in self._confirmed:
            return
        outer = self._outer_path()
        for path in filter(None, (outer, "/")):
            if self.client.find(root + path) == MULTI_STATUS:
                self._lacks_directory |= path != (outer or "/")
                self._confirmed.add(root)
                return
        raise SharedFolderError(
            "the server finds neither the folder nor the directory that should hold it;"
            " check url, username and directory in section [shared_folder] of the controller's settings"
        )

    def _confirm_root(self, root: str) -> None:
        if self.client.find(root + "/") != MULTI_STATUS:
            raise SharedFolderError(
                "the server does not find the account's root; check url and username in section [shared_folder] of the"
                " controller's settings"
            )

    def _outer(self, folder: SharedFolder) -> str:
        return self.root(folder) + (self._outer_path() or "/")

    def _outer_path(self) -> str:
        return url_path(*filter(None, self._directory.split("/")))


def _parsed(record: str) -> dict[str, Any]:
    """The members of a JSON object; none if it is something else, or nested too deeply for Python."""
    try:
        # PostgreSQL's numbers may be too large for Python's.
        data = json.loads(record, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _share(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, dict):
        return {key: _identifier(part) for key, part in value.items()}
    return _identifier(value)


def _identifier(value: Any) -> str:
    """The id; empty, which is no id that can be used, if the value is neither text nor a number."""
    return value if isinstance(value, str) else ""
