# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for OpenCloud: share links over the Graph API, folders of a space over WebDAV."""

from __future__ import annotations

import json
import re
import secrets
import string
import uuid
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from support.cloud_server import OC, XML, CloudServer, Deleted, error
from support.recording_server import Answer, Request

_ID_CHARACTERS = frozenset("$!")


class OpenCloudServer(CloudServer):
    """An OpenCloud server with one user and one space (drive), which is another user's if not `owns_drive`."""

    provider = "opencloud"
    share_api = "/graph/"
    trash_bin = "/dav/spaces/trash-bin/"
    end_of_deleted = "/"
    owns_drive = True

    def __init__(self, username: str, password: str, *, base: str = "") -> None:
        super().__init__(username, password, base=base)
        self.drive_id = f"{uuid.uuid4()}${uuid.uuid4()}"

    def share(self, path: str) -> dict[str, str]:
        with self._lock:
            permission_id = "".join(secrets.choice(string.ascii_letters) for _unused in range(15))
            self._share(permission_id, path)
            return {"drive_id": self.drive_id, "item_id": self.item(path), "permission_id": permission_id}

    def record(self, write: dict[str, str], read: dict[str, str]) -> dict[str, Any]:
        return {"type": "opencloud_basic", "write": write, "read": read}

    def answer_user(self, request: Request, path: str, raw: str) -> Answer:
        if path.startswith(self.share_api):
            return self._graph(request, path, raw)
        trash, root = f"{self.trash_bin}{self.drive_id}", f"/dav/spaces/{self.drive_id}"
        if not _ID_CHARACTERS.isdisjoint("".join(raw.split("/")[3:5])):
            return 400, {}, b""
        if not self.owns_drive:
            return 404, XML, error("NotFound")
        if path == trash or path.startswith(f"{trash}/"):
            return self.webdav_trash(request, trash, path.removeprefix(trash).strip("/"))
        if path != root and not path.startswith(f"{root}/"):
            return 404, {}, b""
        return self.webdav(request, root, path.removeprefix(root).strip("/"))

    def new_item(self) -> str:
        return f"{self.drive_id}!{uuid.uuid4()}"

    def name_of_deleted(self, path: str, at: datetime) -> str:
        return self.item(path).rpartition("!")[2]

    def deleted_properties(self, entry: Deleted) -> dict[str, str]:
        return {
            f"{OC}trashbin-original-filename": entry.path.rpartition("/")[2],
            f"{OC}trashbin-original-location": entry.path,
            f"{OC}trashbin-delete-datetime": format_datetime(entry.at),
            f"{OC}trashbin-delete-timestamp": str(int(entry.at.timestamp())),
        }

    def _graph(self, request: Request, path: str, raw: str) -> Answer:
        if not _ID_CHARACTERS.isdisjoint(raw):
            return _problem(400, "invalidRequest")
        match request.method, path.split("/")[1:]:
            case _, ["graph", "v1beta1", "drives", drive, "items", item, "permissions", *_unused] if not (
                re.fullmatch(r"[^$!]+\$[^$!]+", drive) and re.fullmatch(r"[^$!]+\$[^$!]+![^$!]+", item)
            ):
                return _problem(400, "invalidRequest")
            case _, ["graph", "v1beta1", "drives", self.drive_id, *_unused] if not self.owns_drive:
                return _problem(500, "generalException")
            case "DELETE", ["graph", "v1beta1", "drives", drive, "items", item, "permissions", permission]:
                if permission in self.shares and (drive, item) == (self.drive_id, self._shared_items[permission]):
                    del self.shares[permission]
                    return 204, {}, b""
            case "GET", ["graph", "v1beta1", "drives", drive, "items", item, "permissions"]:
                if drive == self.drive_id and item in map(self.item, self.folders):
                    shares = [share for share in self.shares if self._shared_items[share] == item]
                    links = [{"id": share, "link": {"type": "view"}} for share in shares]
                    return _json(200, {"value": [*links, {"id": "u:someone", "grantedToV2": {}}]})
            case "GET", ["graph", "v1.0", "me", "drives"]:
                shared = {"id": "x$y", "driveType": "virtual"}
                own = self.drive_id if self.owns_drive else "a$b"
                return _json(200, {"value": [shared, {"id": own, "driveType": "personal"}]})
            case method, _ if method not in ("DELETE", "GET"):
                return _problem(405, "notAllowed")
        return _problem(404, "itemNotFound")


def _problem(status: int, code: str) -> Answer:
    return _json(status, {"error": {"code": code}})


def _json(status: int, content: object) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()
