# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shared folders on OpenCloud: https://docs.opencloud.eu/ (Graph API for share links, WebDAV for folders)."""

from __future__ import annotations

from typing import Any

from ...base.errors import SharedFolderError
from .paths import identifier, normal, url_path
from .shared_folder import GONE, Copy, SharedFolder, SharedFolderProvider
from .webdav import DAV, OWNCLOUD, Resource, moment, query

_SPACES = "/dav/spaces"
_TRASH = tuple(f"{OWNCLOUD}trashbin-{name}" for name in ("original-location", "delete-timestamp", "delete-datetime"))
_DRIVES = "/graph/v1.0/me/drives"
# Answers about share links: "invalidRequest" for a malformed id, and any failure, among them that of another account.
_MALFORMED, _FAILURE = 400, 500


class OpenCloud(SharedFolderProvider):
    """Folders in the spaces (drives) of an OpenCloud server."""

    name = "opencloud"
    trash_query = query(f"{DAV}resourcetype", *_TRASH)
    trash_end = "/"

    def root(self, folder: SharedFolder) -> str:
        if folder.found:
            return _SPACES + url_path(identifier(folder.found.drive))
        drives = {identifier(share.get("drive_id", "")) for share in _links(folder)}
        if len(drives) != 1:
            raise SharedFolderError("its record in the database does not name the drive that it is on")
        return _SPACES + url_path(*drives)

    def share_paths(self, folder: SharedFolder) -> list[str]:
        paths = []
        for link in _links(folder):
            drive, item, permission = (
                identifier(link.get(key, "")) for key in ("drive_id", "item_id", "permission_id")
            )
            paths.append(_permissions(drive, item) + url_path(permission))
        return paths

    def trash(self, folder: SharedFolder) -> str:
        return f"{_SPACES}/trash-bin{self.root(folder).removeprefix(_SPACES)}"

    def as_copy(self, name: str, found: Resource) -> Copy:
        location, at, spelled = (found.properties.get(name, "") for name in _TRASH)
        return Copy(name, normal(location), moment(at) or moment(spelled), name)

    def own_drive(self) -> str:
        # The controller makes all folders in the account's personal drive.
        status, answer = self.client.ask("GET", _DRIVES)
        drives = [drive for drive in _values(status, answer) if drive.get("driveType") == "personal"]
        if len(drives) != 1:
            raise SharedFolderError(
                f"the server names {len(drives)} personal drives of the account (HTTP status {status}), but it must be one"
            )
        return identifier(drives[0].get("id", ""))

    def find_shares(self, folder: SharedFolder) -> dict[str, Any]:
        drive, item = (folder.found.drive, folder.found.item) if folder.found else ("", "")
        if not item:
            raise SharedFolderError("the server did not tell its id, by which its share links are found")
        status, answer = self.client.ask("GET", _permissions(drive, identifier(item)))
        if status not in (200, GONE) or (status == GONE and self._exists(folder)):
            raise SharedFolderError(f"the server answered the question for its share links with HTTP status {status}")
        links = (str(permission.get("id", "")) for permission in _values(status, answer) if "link" in permission)
        return {link: {"drive_id": drive, "item_id": item, "permission_id": link} for link in links}

    def delete_share(self, folder: SharedFolder, path: str) -> None:
        status = self.client.request("DELETE", path, final=(_FAILURE,))
        if status == _FAILURE:
            self._check_drive(folder)
            status = self.client.request("DELETE", path)
        if status == _MALFORMED:
            raise SharedFolderError(
                "the server does not take the ids of a share link in its record in the database for ids (HTTP status 400)"
            )
        if status not in (204, GONE):
            raise SharedFolderError(f"the server answered the deletion of a share link with HTTP status {status}")

    def _check_drive(self, folder: SharedFolder) -> None:
        """:raises SharedFolderError: the folder's drive is another account's, whose share links the server does not delete"""
        status, answer = self.client.ask("GET", _DRIVES)
        own = {str(drive.get("id", "")) for drive in _values(status, answer)}
        if status == 200 and self.root(folder) not in {_SPACES + url_path(drive) for drive in own}:
            raise SharedFolderError(
                "its drive belongs to another account than the one in section [shared_folder] of the controller's settings, which"
                " must be the account that made the folder (the server answers with HTTP status 500)"
            )


def _permissions(drive: str, item: str) -> str:
    return "/graph/v1beta1" + url_path("drives", drive, "items", item, "permissions")


def _values(status: int, answer: Any) -> list[dict[str, Any]]:
    """The things in an answer of the Graph API; none if it is no list of things."""
    try:
        values = answer.json()["value"] if status == 200 else []
    except (ValueError, LookupError, TypeError, RecursionError):
        raise SharedFolderError("the server's answer is not one of the Graph API") from None
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _links(folder: SharedFolder) -> list[dict[str, Any]]:
    return [share for share in folder.shares.values() if isinstance(share, dict)]
