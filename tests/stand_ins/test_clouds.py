# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-ins for Nextcloud and OpenCloud, which the other tests rely on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

import pytest
import requests

from support import nextcloud as nextcloud_stand_in
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


def send(
    server: CloudServer, method: str, path: str, *, password: str = PASSWORD, body: bytes = b"", **headers: str
) -> requests.Response:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.request(
        method, server.url + path, auth=(USER.encode(), password.encode()), headers=headers, data=body, timeout=HANGS
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
    cloud.has_trash = False
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


ASKED = (
    b'<?xml version="1.0"?><d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns" xmlns:nc="http://nextcloud.org/ns">'
    b"<d:prop><d:resourcetype/><d:getlastmodified/><nc:creation_time/><oc:fileid/><nc:trashbin-original-location/>"
    b"<nc:trashbin-deletion-time/><oc:trashbin-original-location/><oc:trashbin-delete-timestamp/></d:prop></d:propfind>"
)


def listed(server: CloudServer, path: str) -> dict[str, dict[str, str]]:
    """The known properties of a folder and of what is directly inside of it, by the last name in the path."""
    answer = send(server, "PROPFIND", path, body=ASKED, Depth="1")
    assert answer.status_code == 207 and answer.headers["Date"]
    found = {}
    for response in ElementTree.fromstring(answer.content):
        known, unknown = response.findall("{DAV:}propstat")
        assert known.findtext("{DAV:}status") == "HTTP/1.1 200 OK" and "404" in unknown.findtext("{DAV:}status", "")
        values = {element.tag.partition("}")[2]: element.text or "" for element in known.findall("{DAV:}prop/*")}
        values["folder"] = str(known.find(".//{DAV:}collection") is not None)
        found[unquote(response.findtext("{DAV:}href", "")).rstrip("/").rpartition("/")[2]] = values
    return found


def test_lists_a_folder_with_times_and_ids(cloud: CloudServer) -> None:
    for path in ("top/a b", "top/a b/inner", "top/ü", "other"):
        cloud.make_folder(path)
    cloud.files.add("top/file")
    cloud.make_older(["top/a b"], timedelta(days=3))
    cloud.times["top/ü"] = None
    found = listed(cloud, dav(cloud, "top"))
    assert {name: values["folder"] for name, values in found.items()} == {
        "top": "True", "a b": "True", "ü": "True", "file": "False",
    }  # fmt: skip
    age = cloud.now() - parsedate_to_datetime(found["a b"]["getlastmodified"])
    assert timedelta(days=3) <= age < timedelta(days=3, seconds=HANGS)
    assert "getlastmodified" not in found["ü"] and len({values["fileid"] for values in found.values()}) == 4
    assert found["a b"]["fileid"] == cloud.item("top/a b")
    assert found["ü"].get("creation_time") == ("0" if isinstance(cloud, NextcloudServer) else None)
    assert send(cloud, "PROPFIND", dav(cloud, "no"), Depth="1").status_code == 404
    assert [request.operation for request in cloud.requests] == ["ListFolder"] * 2


def trash(server: CloudServer, name: str = "") -> str:
    if isinstance(server, OpenCloudServer):
        return f"/dav/spaces/trash-bin/{quote(server.drive_id, safe='')}/{quote(name)}"
    return f"/remote.php/dav/trashbin/{quote(USER, safe='')}/trash/{quote(name)}"


def test_deleted_folders_are_in_the_trash(cloud: CloudServer) -> None:
    items = []
    for _unused in range(2):
        cloud.make_folder("top/a b/inner")
        items.append(cloud.item("top/a b"))
        assert send(cloud, "DELETE", dav(cloud, "top/a b")).status_code == 204
    assert len(set(items)) == 2 and [entry.item for entry in cloud.trash] == items
    top, *names = listed(cloud, trash(cloud))
    found = listed(cloud, trash(cloud))
    assert names == [entry.name for entry in cloud.trash] and len(names) == 2
    for name, entry in zip(names, cloud.trash, strict=True):
        assert found[name]["trashbin-original-location"] == "top/a b"
        seconds = found[name].get("trashbin-deletion-time") or found[name]["trashbin-delete-timestamp"]
        assert int(seconds) == entry.at.timestamp()
        if isinstance(cloud, OpenCloudServer):
            assert entry.item == f"{cloud.drive_id}!{name}"
        else:
            assert name == f"a b.d{seconds}" and found[name]["fileid"] == entry.item
    assert send(cloud, "DELETE", trash(cloud, "no")).status_code == 404
    assert send(cloud, "DELETE", trash(cloud)).status_code == 403
    assert send(cloud, "DELETE", trash(cloud, names[0])).status_code == 204
    assert [entry.name for entry in cloud.trash] == names[1:]
    cloud.make_folder("b")
    cloud.skips_trash = True
    assert send(cloud, "DELETE", dav(cloud, "b"), X_NC_Skip_Trashbin="true").status_code == 204
    cloud.has_trash = False
    assert send(cloud, "PROPFIND", trash(cloud), Depth="1").status_code == 404
    assert send(cloud, "DELETE", dav(cloud, "top")).status_code == 204
    assert len(cloud.trash) == 1


def test_tells_share_links(cloud: CloudServer) -> None:
    record = cloud.shared_folder("a/b c")
    cloud.shared_folder("a")
    if isinstance(cloud, NextcloudServer):
        shares = "/ocs/v2.php/apps/files_sharing/api/v1/shares?format=json&path="
        answer = send(cloud, "GET", f"{shares}%2Fa%2Fb%20c", **OCS)
        assert [share["id"] for share in answer.json()["ocs"]["data"]] == [
            record["write_share_id"],
            record["read_share_id"],
        ]
        assert status(send(cloud, "GET", f"{shares}%2Fno", **OCS)) == 404
        assert send(cloud, "GET", f"{shares}%2Fa").status_code == 412
    else:
        assert isinstance(cloud, OpenCloudServer)
        drives = {
            drive["driveType"]: drive["id"] for drive in send(cloud, "GET", "/graph/v1.0/me/drives").json()["value"]
        }
        assert drives["personal"] == cloud.drive_id and len(drives) == 2
        path = share_path(record["write"]).rpartition("/")[0]
        links = [share["id"] for share in send(cloud, "GET", path).json()["value"] if "link" in share]
        assert links == [record[access]["permission_id"] for access in ("write", "read")]
        assert send(cloud, "GET", path.replace("items/", "items/x")).status_code == 404
    before = dict(cloud.shares)
    assert send(cloud, "DELETE", dav(cloud, "a/b c")).status_code == 204
    assert cloud.shares == before and "a/b c" not in cloud.links.values()
    if isinstance(cloud, NextcloudServer):
        assert status(send(cloud, "GET", f"{shares}%2Fa%2Fb%20c", **OCS)) == 404


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


def test_folder_that_is_locked(cloud: CloudServer) -> None:
    record = cloud.shared_folder("a/b")
    cloud.locked.add("a/b")
    assert send(cloud, "DELETE", dav(cloud, "a/b")).status_code == 423
    assert cloud.folders == {"a", "a/b"}
    link = share_path(record.get("write_share_id") or record["write"])
    answer = send(cloud, "DELETE", link, **OCS)
    if isinstance(cloud, NextcloudServer):
        # It says the same of a link that is not there. Only the question for the link tells.
        assert (answer.status_code, status(answer)) == (404, 404) and len(cloud.shares) == 2
        assert status(send(cloud, "GET", link, **OCS)) == 200
        listed = "/ocs/v2.php/apps/files_sharing/api/v1/shares?format=json&path=%2Fa%2Fb"
        assert status(send(cloud, "GET", listed, **OCS)) == 404
    else:
        assert answer.status_code == 204 and len(cloud.shares) == 1
        # A lock on something inside of a folder does not keep the folder.
        assert send(cloud, "DELETE", dav(cloud, "a")).status_code == 204
        assert cloud.folders == set()


def test_links_of_a_folder_in_the_trash(cloud: CloudServer) -> None:
    record = cloud.shared_folder("a/b")
    links = [record[access] for access in record if access != "type"]
    assert send(cloud, "DELETE", dav(cloud, "a")).status_code == 204
    cloud.make_folder("a/b")  # another folder of the same path
    assert len(cloud.shares) == 2 and cloud.links == {}
    answer = send(cloud, "DELETE", share_path(links[0]), **OCS)
    if isinstance(cloud, NextcloudServer):
        assert answer.status_code == 404 and answer.headers["Content-Type"].startswith("text/html")
        assert status(send(cloud, "GET", share_path(links[0]), **OCS)) == 404 and len(cloud.shares) == 2
    else:
        assert answer.status_code == 204 and len(cloud.shares) == 1
    assert send(cloud, "DELETE", trash(cloud, cloud.trash[0].name)).status_code == 204
    assert cloud.shares == {} and cloud.folders == {"a", "a/b"}


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


@pytest.mark.parametrize("off", [nextcloud_stand_in.DISABLED, nextcloud_stand_in.APP_OFF])
@pytest.mark.parametrize("http_status_always_200", [False, True])
def test_nextcloud_while_nobody_can_share(nextcloud: NextcloudServer, off: str, http_status_always_200: bool) -> None:
    """It says 404 to all questions about share links, as if they were gone."""
    record = nextcloud.shared_folder("a")
    nextcloud.sharing_off, nextcloud.http_status_always_200 = off, http_status_always_200
    link = share_path(record["write_share_id"])
    for method, path in (("DELETE", link), ("GET", link), ("GET", link.replace(f"/{record['write_share_id']}", ""))):
        answer = send(nextcloud, method, path, **OCS)
        assert (answer.status_code, status(answer)) == (200 if http_status_always_200 else 404, 404)
    assert len(nextcloud.shares) == 2


def test_nextcloud_refuses_accounts_and_hosts(nextcloud: NextcloudServer) -> None:
    record = nextcloud.shared_folder("a")
    nextcloud.user_is_disabled = True
    refused = send(nextcloud, "PROPFIND", dav(nextcloud), Depth="0")
    assert refused.status_code == 503
    message = ElementTree.fromstring(refused.content).findtext("{http://sabredav.org/ns}message", "")
    assert message.endswith("LoginException: User disabled")
    assert send(nextcloud, "DELETE", share_path(record["write_share_id"]), **OCS).status_code == 401
    nextcloud.user_is_disabled, nextcloud.distrusts = False, True
    refused = send(nextcloud, "PROPFIND", dav(nextcloud), Depth="0")
    assert refused.status_code == 400 and refused.headers["Content-Type"].startswith("text/html")
    assert nextcloud.folders == {"a"} and len(nextcloud.shares) == 2


def test_opencloud_of_another_account_and_with_malformed_ids(opencloud: OpenCloudServer) -> None:
    write = opencloud.shared_folder("a")["write"]
    for changed in ({"drive_id": "drive"}, {"item_id": "item"}, {"item_id": opencloud.drive_id}):
        answer = send(opencloud, "DELETE", share_path(write, **changed))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalidRequest")
    opencloud.owns_drive = False
    assert send(opencloud, "DELETE", share_path(write)).status_code == 500
    assert send(opencloud, "PROPFIND", dav(opencloud), Depth="0").status_code == 404
    drives = send(opencloud, "GET", "/graph/v1.0/me/drives").json()["value"]
    assert opencloud.drive_id not in {drive["id"] for drive in drives}
    assert len(opencloud.shares) == 2 and opencloud.folders == {"a"}


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
