# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a shared folder is, and what any provider of shared folders can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from ...engine.errors import SharedFolderError
from .client import CloudClient
from .paths import guarded, url_path

GONE = 404
MULTI_STATUS = 207


@dataclass(frozen=True)
class SharedFolder:
    """A folder that an event shares with its participants.

    :ivar provider: ``nextcloud`` or ``opencloud``
    :ivar path: below the provider's root
    :ivar shares: the ids of the share links, by access: a string, or a mapping of ids
    """

    event_id: str
    provider: str
    path: str
    shares: dict[str, Any]

    @classmethod
    def from_record(cls, event_id: str, path: str, data: Any) -> SharedFolder:
        """A folder as the controller records it.

        :param data: the value of ``event_shared_folders.provider_data``
        """
        data = data if isinstance(data, dict) else {}
        if data.get("type") == "nextcloud":
            shares = {"write": data.get("write_share_id"), "read": data.get("read_share_id")}
        else:
            shares = {"write": data.get("write"), "read": data.get("read")}
        return cls(event_id, str(data.get("type", "unknown")).partition("_")[0], path, shares)

    def as_item(self) -> dict[str, Any]:
        """The folder in a plan."""
        return {"event_id": self.event_id, "provider": self.provider, "path": self.path}

    def as_left_behind(self, reason: str) -> dict[str, Any]:
        """The folder in the list of what somebody must remove by hand."""
        return {**self.as_item(), "shares": self.shares, "reason": reason}


class SharedFolderProvider(ABC):
    """Deletes shared folders on one server; may be used by several threads.

    :cvar name: as in the settings and in the database
    :param directory: the directory that holds all shared folders
    """

    name: ClassVar[str]

    def __init__(self, client: CloudClient, directory: str) -> None:
        self.client = client
        self._directory = directory
        self._confirmed: set[str] = set()

    def check(self, folder: SharedFolder) -> None:
        """:raises SharedFolderError: the folder can never be deleted here; no request is sent to find out"""
        if folder.provider != self.name:
            raise SharedFolderError(f"it is on {folder.provider}, but the settings name {self.name}")
        guarded(folder.path, self._directory)
        self.root(folder)
        self.share_paths(folder)

    def delete(self, folder: SharedFolder) -> None:
        """Delete the share links, then the folder; what is already gone counts as deleted.

        :raises SharedFolderError: something of it may still be there
        """
        self.check(folder)
        for path in self.share_paths(folder):
            self.delete_share(path)
        root = self.root(folder)
        status = self.client.request("DELETE", root + url_path(*guarded(folder.path, self._directory)))
        if status == GONE:
            self._confirm(root)
        elif status == 204:
            self._confirmed.add(root)
        else:
            partly = "deleted only a part of it" if status == MULTI_STATUS else f"answered with HTTP status {status}"
            raise SharedFolderError(f"the server {partly}")

    def exists(self, folder: SharedFolder) -> bool:
        """Whether the folder is there.

        :raises SharedFolderError: the server does not tell
        """
        self.check(folder)
        root = self.root(folder)
        status = self._find(root + url_path(*guarded(folder.path, self._directory)))
        if status == GONE:
            self._confirm(root)
        elif status != MULTI_STATUS:
            raise SharedFolderError(f"the server answered with HTTP status {status}")
        return status != GONE

    @abstractmethod
    def root(self, folder: SharedFolder) -> str:
        """The URL path below which the folder's path lies.

        :raises SharedFolderError: the folder's record lacks what it takes
        """

    @abstractmethod
    def share_paths(self, folder: SharedFolder) -> list[str]:
        """The URL paths of the folder's share links.

        :raises SharedFolderError: the folder's record holds an id that cannot be used
        """

    @abstractmethod
    def delete_share(self, path: str) -> None:
        """Delete a share link; one that is already gone counts as deleted.

        :raises SharedFolderError: it may still be there
        """

    def _confirm(self, root: str) -> None:
        # "Not found" is what a wrong address answers as well: believed only where the root itself is found.
        if root in self._confirmed:
            return
        for path in (root + "/", root + url_path(*filter(None, self._directory.split("/")))):
            if self._find(path) == MULTI_STATUS:
                self._confirmed.add(root)
                return
        raise SharedFolderError(
            "the server finds neither the folder nor the directory that should hold it;"
            " check url, username and directory in section [shared_folder] of the controller's settings"
        )

    def _find(self, path: str) -> int:
        # RFC 4918, 9.1
        return self.client.request("PROPFIND", path, headers={"Depth": "0"})
