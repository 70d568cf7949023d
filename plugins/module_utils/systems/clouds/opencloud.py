# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shared folders on OpenCloud: https://docs.opencloud.eu/ (Graph API for share links, WebDAV for folders)."""

from __future__ import annotations

from typing import Any

from ...base.errors import SharedFolderError
from .paths import identifier, url_path
from .shared_folder import GONE, SharedFolder, SharedFolderProvider


class OpenCloud(SharedFolderProvider):
    """Folders in the spaces (drives) of an OpenCloud server."""

    name = "opencloud"

    def root(self, folder: SharedFolder) -> str:
        drives = {identifier(share.get("drive_id", "")) for share in _links(folder)}
        if len(drives) != 1:
            raise SharedFolderError("its record in the database does not name the drive that it is on")
        return "/dav/spaces" + url_path(*drives)

    def share_paths(self, folder: SharedFolder) -> list[str]:
        paths = []
        for link in _links(folder):
            drive, item, permission = (
                identifier(link.get(key, "")) for key in ("drive_id", "item_id", "permission_id")
            )
            paths.append("/graph/v1beta1" + url_path("drives", drive, "items", item, "permissions", permission))
        return paths

    def delete_share(self, path: str) -> None:
        status = self.client.request("DELETE", path)
        if status not in (204, GONE):
            raise SharedFolderError(f"the server answered the deletion of a share link with HTTP status {status}")


def _links(folder: SharedFolder) -> list[dict[str, Any]]:
    return [share for share in folder.shares.values() if isinstance(share, dict)]
