# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Nextcloud: share links over the OCS share API, folders over WebDAV."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

from support.cloud_server import NC, OC, XML, CloudServer, Deleted, error
from support.recording_server import Answer, Request

_SHARES = "/ocs/v2.php/apps/files_sharing/api/v1/shares/"
_PAGE = {"Content-Type": "text/html; charset=UTF-8"}
# What it says about share links while sharing is disabled, and while the app files_sharing is switched off.
DISABLED, APP_OFF = "Share API is disabled", "Invalid query, please check the syntax."


class NextcloudServer(CloudServer):
    """A Nextcloud server with one user.

    With `sharing_off`, which is one of the texts above, nobody can ask for share links. With `http_status_always_200` only the
    body of an answer of the share API has the real status. The user may be disabled, and the server `distrusts` the host name of
    the requests.
    """

    provider = "nextcloud"
    share_api = "/ocs/"
    trash_bin = "/remote.php/dav/trashbin/"
    http_status_always_200 = False
    sharing_off = ""
    user_is_disabled = False
    distrusts = False

    def __init__(self, username: str, password: str, *, base: str = "") -> None:
        super().__init__(username, password, base=base)
        self._share_ids = map(str, itertools.count(17))
        self._item_ids = map(str, itertools.count(1001))

    def share(self, path: str) -> str:
        with self._lock:
            # A database may record ids that were not given here.
            share_id = next(share_id for share_id in self._share_ids if share_id not in self.shares)
            self._share(share_id, path)
            return share_id

    def record(self, write: str, read: str) -> dict[str, Any]:
        return {"type": "nextcloud", "write_share_id": write, "read_share_id": read}

    def answer_user(self, request: Request, path: str, raw: str) -> Answer:
        if path.startswith(self.share_api):
            return self.refuse_login(request) if self.user_is_disabled else self._share_api(request, path)
        if self.user_is_disabled:
            return 503, XML, error("ServiceUnavailable", "OC\\User\\LoginException: User disabled")
        trash = f"{self.trash_bin}{self.username}/trash"
        if path == trash or path.startswith(f"{trash}/"):
            return self.webdav_trash(request, trash, path.removeprefix(trash).strip("/"))
        root = f"/remote.php/dav/files/{self.username}"
        if path != root and not path.startswith(f"{root}/"):
            return 404, {}, b""
        return self.webdav(request, root, path.removeprefix(root).strip("/"))

    def new_item(self) -> str:
        return next(self._item_ids)

    def name_of_deleted(self, path: str, at: datetime) -> str:
        return f"{path.rpartition('/')[2]}.d{int(at.timestamp())}"

    def deleted_properties(self, entry: Deleted) -> dict[str, str]:
        return {
            f"{NC}trashbin-filename": entry.path.rpartition("/")[2],
            f"{NC}trashbin-original-location": entry.path,
            f"{NC}trashbin-deletion-time": str(int(entry.at.timestamp())),
            f"{OC}fileid": entry.item,
        }

    def _properties(self, path: str) -> dict[str, str]:
        return {**super()._properties(path), f"{NC}creation_time": "0"}

    def answer(self, request: Request) -> Answer:
        if self.distrusts:
            return 400, _PAGE, b"<!DOCTYPE html><html><body>Access through untrusted domain</body></html>"
        return super().answer(request)

    def refuse_login(self, request: Request) -> Answer:
        if self.operation(request) not in ("DeleteShare", "FindShare", "ListShares"):
            return super().refuse_login(request)
        return _ocs(request, 401, 997, "Current user is not logged in")

    def _share_api(self, request: Request, path: str) -> Answer:
        if request.headers.get("OCS-APIRequest") != "true":
            return 412, {"Content-Type": "application/json"}, b'{"message":"CSRF check failed"}'
        status = 200 if self.http_status_always_200 else None
        if self.sharing_off or not f"{path}/".startswith(_SHARES):
            return _ocs(request, status or 404, 404, self.sharing_off or APP_OFF)
        if request.method == "GET" and path == _SHARES.rstrip("/"):
            return self._list_shares(request, request.query.get("path", [""])[0].strip("/"))
        if request.method not in ("DELETE", "GET"):
            return 405, {}, b""
        share, is_read = path.removeprefix(_SHARES), request.method == "GET"
        is_there = share in self.shares and self._shared_folder_exists(share)
        if share not in self.shares or (is_read and not is_there):
            return _ocs(request, status or 404, 404, "Wrong share ID, share does not exist")
        if is_read:
            return _ocs(request, 200, 200, "OK", [{"id": share, "path": f"/{self.shares[share]}"}])
        if not is_there:
            return 404, _PAGE, b"<!DOCTYPE html><html><body>File not found</body></html>"
        if self.shares[share] in self.locked:
            return _ocs(request, status or 404, 404, "Could not delete share")
        del self.shares[share]
        return _ocs(request, 200, 200, "OK")

    def _list_shares(self, request: Request, path: str) -> Answer:
        if path not in self.folders or path in self.locked:
            status = 200 if self.http_status_always_200 else 404
            return _ocs(request, status, 404, "Wrong path, file/folder doesn't exist")
        links = [share for share, folder in self.shares.items() if folder == path and self._shared_folder_exists(share)]
        shares = [{"id": share, "path": f"/{path}"} for share in links]
        return _ocs(request, 200, 200, "OK", shares)


def _ocs(request: Request, http_status: int, status: int, message: str, data: Sequence[object] = ()) -> Answer:
    meta = {"status": "ok" if status == 200 else "failure", "statuscode": status, "message": message}
    if request.query.get("format") == ["json"]:
        content = json.dumps({"ocs": {"meta": meta, "data": list(data)}}).encode()
        return http_status, {"Content-Type": "application/json; charset=utf-8"}, content
    root = ElementTree.Element("ocs")
    element = ElementTree.SubElement(root, "meta")
    for name, value in meta.items():
        ElementTree.SubElement(element, name).text = str(value)
    ElementTree.SubElement(root, "data")
    return http_status, {"Content-Type": "text/xml; charset=UTF-8"}, ElementTree.tostring(root, xml_declaration=True)
