# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared folders on both providers: which are deleted, which never, and what a server may answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import http_session

from support.builders import Builder
from support.cloud_server import CloudServer
from support.recording_server import Request
from support.world import World

PROVIDERS = ["nextcloud", "opencloud"]
INSTALLATIONS = [(52, "nextcloud"), *((67, provider) for provider in PROVIDERS)]
FAIL = "fail_on_shared_folder_deletion_error"
LONG_AGO = datetime.now(timezone.utc) - timedelta(days=90)


class Cloud:
    """An installation with a cloud server, and events that ended long ago."""

    def __init__(self, world: World, server: CloudServer) -> None:
        self.world, self.server = world, server
        world.cloud = server
        server.make_folder(server.directory)
        self.build = Builder(world.connection)
        self._owner = self.build.user()

    def event(self, path: str, record: dict[str, Any]) -> str:
        event = self.build.event(self._owner, starts_at=LONG_AGO, ends_at=LONG_AGO)
        return self.build.shared_folder(event, path=path, record=record)

    def folder(self, name: str) -> str:
        """An event with a shared folder inside the directory."""
        path = f"{self.server.directory}/{name}"
        return self.event(path, self.server.shared_folder(path))

    def run(self, **options: Any) -> dict[str, Any]:
        return self.world.run("event_cleanup", **options)

    def left_behind(self, run: dict[str, Any]) -> dict[str, str]:
        return {left["event_id"]: left["reason"] for left in run["shared_folders_left_behind"]}


@pytest.fixture
def open_installation(open_world: Callable[..., World], open_cloud: Callable[..., CloudServer]) -> Callable[..., Cloud]:
    return lambda provider="nextcloud", version=67, **options: Cloud(
        open_world(version), open_cloud(provider, **options)
    )


def deletes_folder(request: Request) -> bool:
    return request.operation == "DeleteFolder"


def deletes_share(request: Request) -> bool:
    return request.operation == "DeleteShare"


# What is deleted


ODD_NAMES = [
    "Größe & Übung", "two  spaces ", "100%", "a%20b", "a%2Fb", "#1?x=y", "quo'te\"s", "back\\slash", "semi;colon,+plus",
    "日本語 🎉", "...", "..x", "deep/er/still", "*", "<b>", "~",
]  # fmt: skip


@pytest.mark.parametrize("base", ["", "/cloud"])
@pytest.mark.parametrize(("version", "provider"), INSTALLATIONS)
def test_odd_names_and_nothing_beside_them(
    open_installation: Callable[..., Cloud], version: int, provider: str, base: str
) -> None:
    cloud = open_installation(provider, version, base=base)
    directory = cloud.server.directory
    for name in ODD_NAMES:
        cloud.folder(name)
    # Where these end up with one of the names when it is decoded once too often, or not at all.
    neighbours = {"a b", "a/b", "100%25", "Gr%C3%B6%C3%9Fe & %C3%9Cbung", "two spaces", "deep/er/other", "x"}
    for name in neighbours:
        cloud.server.shared_folder(f"{directory}/{name}")
    run = cloud.run()
    assert cloud.left_behind(run) == {}
    assert run["done"]["shared_folders"]["count"] == len(ODD_NAMES)
    left = {folder.removeprefix(f"{directory}/") for folder in cloud.server.folders}
    assert left == neighbours | {"a", "deep", "deep/er", directory, "opentalk"}
    assert sorted(set(cloud.server.shares.values())) == sorted(f"{directory}/{name}" for name in neighbours)
    assert cloud.world.ids("events") == set()


@pytest.mark.parametrize(("version", "provider"), INSTALLATIONS)
def test_share_links_go_before_the_folder(open_installation: Callable[..., Cloud], version: int, provider: str) -> None:
    cloud = open_installation(provider, version)
    cloud.folder("one")
    cloud.run()
    assert [request.operation for request in cloud.server.writes] == ["DeleteShare", "DeleteShare", "DeleteFolder"]


@pytest.mark.parametrize(("version", "provider"), INSTALLATIONS)
@pytest.mark.parametrize("fail", [False, True])
def test_what_is_already_gone_is_a_success(
    open_installation: Callable[..., Cloud], version: int, provider: str, fail: bool
) -> None:
    cloud = open_installation(provider, version)
    events = [cloud.folder(name) for name in ("one", "two", "three")]
    one, two = (f"{cloud.server.directory}/{name}" for name in ("one", "two"))
    cloud.server.folders.discard(one)
    cloud.server.shares = {share: path for share, path in cloud.server.shares.items() if path != two}
    preview = cloud.run(check_mode=True)
    assert any("to be deleted: 3, of which are already gone: 1" in line for line in preview["log"])
    run = cloud.run(**{FAIL: fail})
    assert {item["event_id"] for item in run["done"]["shared_folders"]["items"]} == set(events)
    assert cloud.server.folders == {"opentalk", cloud.server.directory}
    assert cloud.server.shares == {}


@pytest.mark.parametrize("http_status_always_200", [False, True])
def test_status_of_the_share_api_is_in_the_body(
    open_installation: Callable[..., Cloud], http_status_always_200: bool
) -> None:
    cloud = open_installation()
    cloud.server.http_status_always_200 = http_status_always_200  # type: ignore[attr-defined]
    gone, refused = cloud.folder("gone"), cloud.folder("refused")
    cloud.server.shares = {share: path for share, path in cloud.server.shares.items() if path.endswith("refused")}
    answer = b'{"ocs": {"meta": {"status": "failure", "statuscode": 403}, "data": []}}'
    status = 200 if http_status_always_200 else 403
    cloud.server.fail(
        status,
        lambda r: deletes_share(r) and r.path.partition("?")[0].endswith(tuple(cloud.server.shares)),
        body=answer,
    )
    run = cloud.run()
    assert cloud.left_behind(run) == {
        refused: "the server answered the deletion of a share link with status 403",
    }
    assert [item["event_id"] for item in run["done"]["shared_folders"]["items"]] == [gone]
    assert f"{cloud.server.directory}/refused" in cloud.server.folders


# What is never deleted


GUARDED = [
    "", "/", "//", ".", "..", "../x", "opentalk", "opentalk/", "opentalk/meetings", "/opentalk/meetings/",
    "opentalk/meetings/.", "opentalk/meetings/..", "opentalk/meetings/../x", "opentalk/meetings/x/../..", "x",
    "opentalk/meetings/./x", "opentalk/meetings2/x", "opentalk/x", "meetings/x", "opentalk/meetings/%2e%2e",
    "opentalk/meetings/..%2f..", "Opentalk/Meetings/x", "opentalk/meetings/a\nb", "opentalk%2Fmeetings/x",
]  # fmt: skip


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize(("version", "provider"), INSTALLATIONS)
def test_paths_outside_the_directory_are_never_sent(
    open_installation: Callable[..., Cloud], version: int, provider: str, fail: bool
) -> None:
    cloud = open_installation(provider, version)
    for path in ("x", "opentalk/x", "opentalk/meetings2/x"):
        cloud.server.make_folder(path)
    record = cloud.server.shared_folder("shared")
    events = {cloud.event(path, record): path for path in GUARDED}
    before, rows = (set(cloud.server.folders), dict(cloud.server.shares)), cloud.world.rows()

    preview = cloud.run(check_mode=True)
    assert cloud.left_behind(preview).keys() == events.keys()
    assert preview["plan"]["shared_folders"]["count"] == 0
    run = cloud.run(**{FAIL: fail})
    assert cloud.server.requests == []
    assert (cloud.server.folders, cloud.server.shares) == before
    if fail:
        assert run["failed"] and FAIL in run["msg"]
        assert cloud.world.rows() == rows
    else:
        assert {left["event_id"]: left["path"] for left in run["shared_folders_left_behind"]} == events
        assert cloud.world.ids("events") == set()


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("configured", [None, "nextcloud", "opencloud"])
def test_folder_that_the_settings_have_no_server_for(
    open_installation: Callable[..., Cloud], configured: str | None, fail: bool
) -> None:
    """No provider, the other one, and a record that nobody knows."""
    cloud = open_installation(configured or "nextcloud")
    link = {"drive_id": "d$1", "item_id": "d$1!2", "permission_id": "p"}
    records = {
        "nextcloud": {"type": "nextcloud", "write_share_id": "17", "read_share_id": "18"},
        "opencloud": {"type": "opencloud_basic", "write": link, "read": link},
        "sharepoint": {"type": "sharepoint"},
    }
    events = {
        cloud.event(f"{cloud.server.directory}/x", record): provider
        for provider, record in records.items()
        if provider != configured
    }
    if configured is None:
        cloud.world.cloud = None
    cloud.build.asset(cloud.build.room_of(next(iter(events))))
    cloud.world.upload()
    rows, objects = cloud.world.rows(), cloud.world.objects()
    run = cloud.run(**{FAIL: fail})
    assert cloud.server.requests == []
    if fail:
        assert run["failed"] and next(iter(sorted(events))) in run["msg"]
        assert (cloud.world.rows(), cloud.world.objects()) == (rows, objects)
        return
    left = {folder["event_id"]: folder for folder in run["shared_folders_left_behind"]}
    assert {event: folder["provider"] for event, folder in left.items()} == events
    shares = {folder["provider"]: folder["shares"] for folder in left.values()}
    if configured != "nextcloud":
        assert shares["nextcloud"] == {"write": "17", "read": "18"}
    if configured != "opencloud":
        assert shares["opencloud"] == {"write": link, "read": link}
    assert f"could not be deleted: {len(events)}; remove those listed in shared_folders_left_behind" in str(run["log"])
    assert run["warnings"]
    assert cloud.world.ids("events") == set()
    assert cloud.world.objects() == {}


# What a server may answer


PASSING: dict[str, Callable[[CloudServer], None]] = {
    "423": lambda server: server.fail(423, deletes_folder, times=3),
    "429": lambda server: server.fault(lambda request: (429, {"Retry-After": "1"}, b""), deletes_share, times=2),
    "500": lambda server: server.fail(500, deletes_folder, times=4),
    "503": lambda server: server.fail(503, deletes_share, times=4),
    "no answer": lambda server: server.hang(2, deletes_folder, times=1),
    "reset": lambda server: server.reset(deletes_folder, times=2),
}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", PASSING)
def test_passing_fault_is_outlasted(
    open_installation: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch, provider: str, fault: str
) -> None:
    monkeypatch.setattr(http_session, "READ_TIMEOUT", 0.5)
    monkeypatch.setattr(http_session, "BACKOFF", 0.05)
    cloud = open_installation(provider)
    event = cloud.folder("one")
    PASSING[fault](cloud.server)
    run = cloud.run(**{FAIL: True})
    assert [item["event_id"] for item in run["done"]["shared_folders"]["items"]] == [event]
    assert cloud.server.folders == {"opentalk", cloud.server.directory}
    assert cloud.server.shares == {}


LOGIN = {"Location": "/login", "Content-Type": "text/html"}
LASTING: dict[str, tuple[Callable[[CloudServer], None], str]] = {
    "locked": (lambda server: server.fail(423, deletes_folder), "status 423"),
    "overloaded": (lambda server: server.fail(503, lambda request: True), "503"),
    "partly deleted": (lambda server: server.fail(207, deletes_folder), "only a part"),
    "forbidden": (lambda server: server.fail(403, deletes_folder), "403"),
    "redirect to a login page": (lambda server: server.fault(lambda r: (302, LOGIN, b""), lambda r: True), "302"),
    "login page": (lambda server: server.fault(lambda r: (200, LOGIN, b"<html>"), deletes_folder), "200"),
    "wrong password": (lambda server: setattr(server, "password", "another"), "password"),
    "never answers": (lambda server: server.hang(9, deletes_folder), "did not answer in time"),
    "resets": (lambda server: server.reset(deletes_folder), "cannot be reached"),
    "no share API": (lambda server: server.fail(404, deletes_share), "not one of OCS"),
    "wrong directory": (lambda server: server.fail(404, lambda r: not deletes_share(r)), "finds neither"),
}


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("fault", LASTING)
def test_lasting_fault(
    open_installation: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch, fault: str, fail: bool
) -> None:
    monkeypatch.setattr(http_session, "READ_TIMEOUT", 0.2)
    monkeypatch.setattr(http_session, "BACKOFF", 0.01)
    cloud = open_installation()
    event = cloud.folder("one")
    cloud.build.asset(cloud.build.room_of(event))
    cloud.world.upload()
    rows, objects, folders = cloud.world.rows(), cloud.world.objects(), set(cloud.server.folders)
    options = cloud.world.options
    inflict, reason = LASTING[fault]
    inflict(cloud.server)
    run = cloud.run(shared_folder=options["shared_folder"], **{FAIL: fail})
    assert cloud.server.folders == folders
    assert run["done"]["shared_folders"]["count"] == 0
    if fail:
        assert run["failed"] and event in run["msg"] and reason in run["msg"]
        assert (cloud.world.rows(), cloud.world.objects()) == (rows, objects)
        cloud.server.clear_faults()
        assert cloud.run(**{FAIL: True})["done"]["shared_folders"]["count"] == 1
    else:
        (left,) = run["shared_folders_left_behind"]
        assert left["event_id"] == event and left["path"] == f"{cloud.server.directory}/one"
        assert set(left["shares"]) == {"write", "read"}
        assert reason in left["reason"]
        assert "failed" not in run
    assert cloud.world.ids("events") == set()
    assert cloud.world.objects() == {}


@pytest.mark.parametrize(
    "fault",
    [
        lambda server: server.hang(60, deletes_folder),
        lambda server: server.fault(lambda request: (429, {"Retry-After": "3600"}, b""), deletes_folder),
        lambda server: server.fail(500, deletes_folder),
        lambda server: server.drip(0.1, deletes_folder),
    ],
    ids=["hangs", "asks for an hour", "fails", "trickles its answer"],
)
def test_retries_end_at_the_deadline(
    open_installation: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch, fault: Callable[[CloudServer], None]
) -> None:
    monkeypatch.setattr(http_session, "BACKOFF", 1.0)
    cloud = open_installation()
    cloud.folder("one")
    rows = cloud.world.rows()
    fault(cloud.server)
    run = cloud.run(timeout=2)
    assert run["failed"] and "timeout of 2 seconds" in run["msg"]
    assert run["duration"] < 10  # the hour that the server asks for, or the minute that it hangs, is not waited for
    assert cloud.world.rows() == rows


def test_server_that_is_down_is_not_asked_for_every_folder(
    open_installation: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_session, "BACKOFF", 0.01)
    cloud = open_installation()
    events = {cloud.folder(f"folder {number}") for number in range(100)}
    cloud.server.fail(503, lambda request: True)
    run = cloud.run()
    assert cloud.left_behind(run).keys() == events
    assert len(cloud.server.requests) < 100


@pytest.mark.parametrize("parallel", [1, 4, 16])
def test_a_few_requests_at_a_time(open_installation: Callable[..., Cloud], parallel: int) -> None:
    cloud = open_installation()
    events = {cloud.folder(f"folder {number}") for number in range(96)}

    def wait_for_the_others(request: Request) -> None:
        end = time.monotonic() + 10
        while cloud.server.most_parallel < parallel and time.monotonic() < end:
            time.sleep(0.005)

    cloud.server.on_request(wait_for_the_others)
    run = cloud.run(shared_folder_requests=parallel, report_limit=50)
    assert run["done"]["shared_folders"]["count"] == len(events)
    assert len(run["done"]["shared_folders"]["items"]) == 50
    assert cloud.server.folders == {"opentalk", cloud.server.directory}
    assert cloud.server.most_parallel == parallel
    # Two share links and the folder each.
    assert len(cloud.server.requests) == 3 * len(events)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_results_hold_no_secrets(open_installation: Callable[..., Cloud], provider: str) -> None:
    cloud = open_installation(provider)
    cloud.folder("gone")
    cloud.event("elsewhere/x", cloud.server.record(*[cloud.server.share(f"{cloud.server.directory}/gone")] * 2))
    text = str([cloud.run(check_mode=True, diff=True), cloud.run(diff=True)])
    for secret in (cloud.server.password, "planted-password", "https://cloud.example.org"):
        assert secret not in text
