# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-ins for Nextcloud and OpenCloud, which the other tests rely on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import pytest
import requests

from support.cloud_server import CloudServer
from support.limits import HANGS
from support.nextcloud import NextcloudServer
from support.opencloud import OpenCloudServer
from support.recording_server import Request

USER, PASSWORD = "opentalk@example.org", "pass:word ü"
OCS = {"OCS-APIRequest": "true"}


@pytest.fixture(params=["", "/cloud"])
def nextcloud(request: pytest.FixtureRequest) -> Iterator[NextcloudServer]:
    with NextcloudServer(USER, PASSWORD, base=request.param) as server:
        yield server


@pytest.fixture(params=["", "/cloud"])
def opencloud(request: pytest.FixtureRequest) -> Iterator[OpenCloudServer]:
    with OpenCloudServer(USER, PASSWORD, base=request.param) as server:
        yield server


@pytest.fixture(params=[NextcloudServer, OpenCloudServer])
def cloud(request: pytest.FixtureRequest) -> Iterator[CloudServer]:
    with request.param(USER, PASSWORD) as server:
        yield server


def send(server: CloudServer, method: str, path: str, *, password: str = PASSWORD, **headers: str) -> requests.Response:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.request(
        method, server.url + path, auth=(USER.encode(), password.encode()), headers=headers, timeout=HANGS
    )


def send_raw(server: CloudServer, request_line: str) -> int:
    """The status of the answer to exactly this request line, authenticated."""
    authorization = requests.Request("GET", server.url, auth=(USER.encode(), PASSWORD.encode())).prepare().headers
    content = (
        f"{request_line}\r\nHost: x\r\nAuthorization: {authorization['Authorization']}\r\nConnection: close\r\n\r\n"
    )
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=HANGS) as connection:
        connection.sendall(content.encode())
        return int(connection.makefile("rb").readline().split()[1])


def dav(server: CloudServer, path: str = "") -> str:
    if isinstance(server, OpenCloudServer):
        return f"/dav/spaces/{quote(server.drive_id, safe='')}/{quote(path)}"
    return f"/remote.php/dav/files/{quote(USER, safe='')}/{quote(path)}"


def share_path(share: Any, **changed: str) -> str:
    if isinstance(share, str):
        return f"/ocs/v2.php/apps/files_sharing/api/v1/shares/{share}?format=json"
    ids = {name: quote(value, safe="") for name, value in {**share, **changed}.items()}
    return f"/graph/v1beta1/drives/{ids['drive_id']}/items/{ids['item_id']}/permissions/{ids['permission_id']}"


# Folders, on both


def test_deletes_a_folder_with_all_below_and_its_shares(cloud: CloudServer) -> None:
    cloud.shared_folder("opentalk/Grüße #1?/inner")
    cloud.shared_folder("opentalk/Grüße #1? too")
    assert len(cloud.shares) == 4
    assert send(cloud, "DELETE", dav(cloud, "opentalk/Grüße #1?")).status_code == 204
    assert cloud.folders == {"opentalk", "opentalk/Grüße #1? too"}
    assert set(cloud.shares.values()) == {"opentalk/Grüße #1? too"}
    assert send(cloud, "DELETE", dav(cloud, "opentalk/Grüße #1?")).status_code == 404
    assert send(cloud, "DELETE", dav(cloud, "opentalk/") + "/").status_code == 204
    assert cloud.folders == set()
    assert [request.operation for request in cloud.writes] == ["DeleteFolder"] * 3


def test_finds_folders(cloud: CloudServer) -> None:
    cloud.make_folder("a b/c")
    answer = send(cloud, "PROPFIND", dav(cloud, "a b"), Depth="0")
    assert answer.status_code == 207
    assert ElementTree.fromstring(answer.content).findtext(".//{DAV:}href", "").endswith("/a%20b")
    assert send(cloud, "PROPFIND", dav(cloud), Depth="0").status_code == 207
    assert send(cloud, "PROPFIND", dav(cloud, "c"), Depth="0").status_code == 404
    assert send(cloud, "PROPFIND", dav(cloud, "a b")).status_code == 403
    assert {request.operation for request in cloud.requests} == {"FindFolder"}
    assert cloud.writes == []


def test_wrong_encoding_hits_something_else(cloud: CloudServer) -> None:
    def refill() -> None:
        cloud.folders.clear()
        for folder in ("top/plan", "top/plan#2", "top/plan?2", "top/a b", "top/ü", "top/50%25"):
            cloud.make_folder(folder)

    for name in ("plan#2", "plan?2"):
        refill()
        assert send_raw(cloud, f"DELETE {dav(cloud, 'top/')}{name} HTTP/1.1") == 204
        assert {"top/plan#2", "top/plan?2"} <= cloud.folders
        assert "top/plan" not in cloud.folders
    refill()
    before = set(cloud.folders)
    for name, status in (("a b", 400), ("ü", 400), ("%zz", 400), ("%ff", 400), ("50%25", 404)):
        assert send_raw(cloud, f"DELETE {dav(cloud, 'top/')}{name} HTTP/1.1") == status
    assert cloud.folders == before
    # As it would happen: what climbs out of its directory is deleted.
    assert send_raw(cloud, f"DELETE {dav(cloud, 'top/plan/')}%2e%2e/a%20b HTTP/1.1") == 204
    assert send_raw(cloud, f"DELETE {dav(cloud, 'other/')}../top/plan HTTP/1.1") == 204
    assert before - cloud.folders == {"top/a b", "top/plan"}


def test_protects_the_root_and_other_places(cloud: CloudServer) -> None:
    cloud.make_folder("a")
    assert send(cloud, "DELETE", dav(cloud)).status_code == 403
    assert send(cloud, "DELETE", dav(cloud, "a/") + "../").status_code == 403
    assert send(cloud, "DELETE", "/remote.php/dav/files/other/a").status_code == 404
    assert send(cloud, "DELETE", "/dav/spaces/x%24y/a").status_code == 404
    assert send(cloud, "PUT", dav(cloud, "a")).status_code == 405
    assert cloud.folders == {"a"}


def test_demands_the_password(cloud: CloudServer) -> None:
    record = cloud.shared_folder("a")
    share = record.get("write_share_id") or record["write"]
    for path in (dav(cloud, "a"), share_path(share)):
        assert send(cloud, "DELETE", path, password="wrong", **OCS).status_code == 401
        assert requests.delete(cloud.url + path, headers=OCS, timeout=HANGS).status_code == 401
    assert cloud.folders == {"a"}
    assert len(cloud.shares) == 2


def test_faults_and_the_number_of_requests_at_once(cloud: CloudServer) -> None:
    cloud.make_folder("a")
    cloud.fault(lambda request: (503, {"Retry-After": "1"}, b""), lambda request: True, times=1)
    refused = send(cloud, "DELETE", dav(cloud, "a"))
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert cloud.folders == {"a"}
    assert cloud.most_parallel == 1
    barrier = threading.Barrier(3, timeout=HANGS)

    def meet(request: Request) -> None:
        barrier.wait()

    cloud.on_request(meet)
    threads = [threading.Thread(target=send, args=(cloud, "DELETE", dav(cloud, "a"))) for _unused in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cloud.most_parallel == 3
    assert cloud.folders == set()
    cloud.clear()
    assert cloud.most_parallel == 0


# Shares


def test_nextcloud_deletes_shares(nextcloud: NextcloudServer) -> None:
    record = nextcloud.shared_folder("a")
    write, read = record["write_share_id"], record["read_share_id"]
    assert record == {"type": "nextcloud", "write_share_id": write, "read_share_id": read}
    assert send(nextcloud, "DELETE", share_path(write)).status_code == 412
    assert len(nextcloud.shares) == 2
    done = send(nextcloud, "DELETE", share_path(write), **OCS)
    assert (done.status_code, status(done)) == (200, 200)
    assert nextcloud.shares == {read: "a"}
    gone = send(nextcloud, "DELETE", share_path(write), **OCS)
    assert (gone.status_code, status(gone)) == (404, 404)
    nextcloud.http_status_always_200 = True
    gone = send(nextcloud, "DELETE", share_path(write), **OCS)
    assert (gone.status_code, status(gone)) == (200, 404)
    assert status(send(nextcloud, "DELETE", share_path(read), password="wrong", **OCS)) == 997
    xml = send(nextcloud, "DELETE", share_path(read).removesuffix("?format=json"), **OCS)
    assert ElementTree.fromstring(xml.content).findtext("meta/statuscode") == "200"
    assert nextcloud.shares == {}
    assert nextcloud.folders == {"a"}
    assert {request.operation for request in nextcloud.requests} == {"DeleteShare"}


def status(answer: requests.Response) -> int:
    return int(answer.json()["ocs"]["meta"]["statuscode"])


def test_opencloud_deletes_shares(opencloud: OpenCloudServer) -> None:
    record = opencloud.shared_folder("a")
    other = opencloud.shared_folder("b")["write"]
    assert record["type"] == "opencloud_basic"
    write, read = record["write"], record["read"]
    assert write["item_id"] == read["item_id"] != other["item_id"]
    raw = "/graph/v1beta1/drives/{drive_id}/items/{item_id}/permissions/{permission_id}".format(**write)
    assert send(opencloud, "DELETE", raw).status_code == 400
    assert send(opencloud, "DELETE", f"/dav/spaces/{opencloud.drive_id}/a").status_code == 400
    assert send(opencloud, "DELETE", share_path(write, item_id=other["item_id"])).status_code == 404
    assert send(opencloud, "DELETE", share_path(write, drive_id="x$y")).status_code == 404
    assert len(opencloud.shares) == 4
    assert send(opencloud, "DELETE", share_path(write)).status_code == 204
    assert send(opencloud, "DELETE", share_path(write)).status_code == 404
    assert set(opencloud.shares) == {
        read["permission_id"],
        *(share for share, path in opencloud.shares.items() if path == "b"),
    }
    assert opencloud.folders == {"a", "b"}
