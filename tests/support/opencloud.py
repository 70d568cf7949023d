# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for OpenCloud: share links over the Graph API, folders of a space over WebDAV."""

from __future__ import annotations

import json
import secrets
import string
import uuid
from typing import Any

from support.cloud_server import CloudServer
from support.recording_server import Answer, Request

_ID_CHARACTERS = frozenset("$!")


class OpenCloudServer(CloudServer):
    """An OpenCloud server with one user and one space (drive)."""

    provider = "opencloud"
    share_api = "/graph/"

    def __init__(self, username: str, password: str, *, base: str = "") -> None:
        super().__init__(username, password, base=base)
        self.drive_id = f"{uuid.uuid4()}${uuid.uuid4()}"
        self._items: dict[str, str] = {}

    def share(self, path: str) -> dict[str, str]:
        with self._lock:
            assert path in self.folders, path
            permission_id = "".join(secrets.choice(string.ascii_letters) for _unused in range(15))
            self.shares[permission_id] = path
            return {"drive_id": self.drive_id, "item_id": self._item(path), "permission_id": permission_id}

    def record(self, write: dict[str, str], read: dict[str, str]) -> dict[str, Any]:
        return {"type": "opencloud_basic", "write": write, "read": read}

    def answer_user(self, request: Request, path: str, raw: str) -> Answer:
        if path.startswith(self.share_api):
            return self._graph(request, path, raw)
        root = f"/dav/spaces/{self.drive_id}"
        if not _ID_CHARACTERS.isdisjoint("".join(raw.split("/")[3:4])):
            return 400, {}, b""
        if path != root and not path.startswith(f"{root}/"):
            return 404, {}, b""
        return self.webdav(request, root, path.removeprefix(root).strip("/"))

    def _item(self, path: str) -> str:
        return self._items.setdefault(path, f"{self.drive_id}!{uuid.uuid4()}")

    def _graph(self, request: Request, path: str, raw: str) -> Answer:
        if not _ID_CHARACTERS.isdisjoint(raw):
            return _problem(400, "invalidRequest")
        if request.method != "DELETE":
            return _problem(405, "notAllowed")
        match path.split("/")[1:]:
            case ["graph", "v1beta1", "drives", drive, "items", item, "permissions", permission]:
                folder = self.shares.get(permission)
                if folder is not None and drive == self.drive_id and item == self._item(folder):
                    del self.shares[permission]
                    return 204, {}, b""
        return _problem(404, "itemNotFound")


def _problem(status: int, code: str) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps({"error": {"code": code}}).encode()
