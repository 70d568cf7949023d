# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shared folders on Nextcloud.

Shares: https://docs.nextcloud.com/server/latest/developer_manual/client_apis/OCS/ocs-share-api.html;
folders: https://docs.nextcloud.com/server/latest/developer_manual/client_apis/WebDAV/basic.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ...base.errors import SharedFolderError
from .client import LOCKED, CloudClient
from .paths import identifier, normal, url_path
from .shared_folder import GONE, ITEM, Copy, SharedFolder, SharedFolderProvider
from .webdav import DAV, NEXTCLOUD, Resource, moment, query

_HEADERS = {"OCS-APIRequest": "true"}
_SHARES = "/ocs/v2.php/apps/files_sharing/api/v1/shares"
# Status codes of OCS that differ from HTTP, and what they are in HTTP.
_OCS = {100: 200, 996: 500, 997: 401}

_TRASH = f"{NEXTCLOUD}trashbin-original-location", f"{NEXTCLOUD}trashbin-deletion-time"


class Nextcloud(SharedFolderProvider):
    """A user's folders on a Nextcloud server.

    :param username: the user's id, which is part of the path
    """

    name = "nextcloud"
    trash_query = query(f"{DAV}resourcetype", *_TRASH, ITEM)

    def __init__(self, client: CloudClient, directory: str, username: str) -> None:
        super().__init__(client, directory)
        self._root = "/remote.php/dav/files" + url_path(username)
        self._trash = "/remote.php/dav/trashbin" + url_path(username, "trash")

    def root(self, folder: SharedFolder) -> str:
        return self._root

    def share_paths(self, folder: SharedFolder) -> list[str]:
        return [_share_path(share) for share in folder.shares.values() if share is not None]

    def trash(self, folder: SharedFolder) -> str:
        return self._trash

    def as_copy(self, name: str, found: Resource) -> Copy:
        location, at = (found.properties.get(name, "") for name in _TRASH)
        return Copy(name, normal(location), moment(at), found.properties.get(ITEM, ""))

    def own_drive(self) -> str:
        return ""

    def find_shares(self, folder: SharedFolder) -> dict[str, Any]:
        path = quote("/" + normal(folder.path), safe="")
        status, answer = self.client.ask(
            "GET", f"{_SHARES}?format=json&reshares=true&path={path}", headers=_HEADERS, status_of=_status
        )
        if status == GONE and not self._exists(folder):
            return {}
        try:
            if status == 200:
                return {str(share["id"]): str(share["id"]) for share in answer.json()["ocs"]["data"]}
        except (LookupError, TypeError):
            pass
        if status == GONE:
            raise SharedFolderError(
                "the server answers 404 about its share links although the folder is there, as it does while sharing is"
                " disabled or the app files_sharing is switched off; switch it on"
            )
        raise SharedFolderError(f"the server answered the question for its share links with status {status}")

    def delete_share(self, folder: SharedFolder, path: str) -> None:
        path = f"{path}?format=json"
        status = self.client.request(
            "DELETE", path, headers=_HEADERS, status_of=lambda answer: self._outcome(folder, path, answer)
        )
        if status not in (200, GONE):
            raise SharedFolderError(f"the server answered the deletion of a share link with status {status}")

    def _outcome(self, folder: SharedFolder, path: str, answer: Any) -> int:
        """The status of the deletion of a share link. It is 404 only if the link is really gone.

        The server also says 404 about a link that is there: as OCS while something in the folder is locked, while sharing is
        disabled and while the app files_sharing is switched off, and with a page while the folder is in the trash bin.
        """
        try:
            status = _status(answer)
        except _NotOcsError:
            if answer.status_code != GONE or self._has_share(folder, path):
                raise
            return GONE
        return LOCKED if status == GONE and self._has_share(folder, path) else status

    def _has_share(self, folder: SharedFolder, path: str) -> bool:
        """Whether there is a share link that leads to a folder."""
        if not self._exists(folder):
            return False
        status = self.client.request("GET", path, headers=_HEADERS, status_of=_status)
        if status not in (200, GONE):
            raise SharedFolderError(f"the server answered the question for a share link with status {status}")
        # Without the share API no link is found. Then the question for all links of the folder fails.
        return status == 200 or any(path.startswith(f"{own}?") for own in map(_share_path, self.find_shares(folder)))


def _share_path(share: str) -> str:
    return _SHARES + url_path(identifier(share))


class _NotOcsError(SharedFolderError):
    """An answer that is not one of the share API."""


def _status(answer: Any) -> int:
    # The status in the body counts, whatever the HTTP status is. An answer without one is not from the share API.
    try:
        status = int(answer.json()["ocs"]["meta"]["statuscode"])
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        if 200 <= answer.status_code < 300 or answer.status_code == 404:
            raise _NotOcsError("the server's answer about a share link is not one of OCS") from None
        return answer.status_code
    return _OCS.get(status, status)
