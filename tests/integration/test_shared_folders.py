# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared folders on both providers: folders that are deleted, folders that never are, and answers of a cloud."""

from __future__ import annotations

import json
import syslog
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import http_session
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.clouds import availability, client, pace
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.database import Database

from support import nextcloud
from support.builders import Builder
from support.cloud_server import CloudServer
from support.recording_server import Answer, Request
from support.world import World

PROVIDERS = ["nextcloud", "opencloud"]
INSTALLATIONS = [(52, "nextcloud"), *((67, provider) for provider in PROVIDERS)]
FAIL = "fail_on_shared_folder_deletion_error"
LONG_AGO = datetime.now(timezone.utc) - timedelta(days=90)
IN_A_YEAR = datetime.now(timezone.utc) + timedelta(days=365)


class Cloud:
    """An installation with a cloud, and events that ended long ago."""

    def __init__(self, world: World, server: CloudServer) -> None:
        self.world, self.server = world, server
        world.cloud = server
        server.make_folder(server.directory)
        self.build = Builder(world.connection)
        self.owner = self.build.user()

    def event(self, path: str, record: dict[str, Any]) -> str:
        event = self.build.event(self.owner, starts_at=LONG_AGO, ends_at=LONG_AGO)
        return self.build.shared_folder(event, path=path, record=record)

    def folder(self, name: str) -> str:
        """Make an event with a shared folder inside the directory, and return its id."""
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
    assert cloud.server.links == {}


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


@pytest.mark.parametrize("off", [nextcloud.DISABLED, nextcloud.APP_OFF])
@pytest.mark.parametrize("http_status_always_200", [False, True])
def test_server_on_which_nobody_can_share_does_not_say_that_a_link_is_gone(
    open_installation: Callable[..., Cloud], http_status_always_200: bool, off: str
) -> None:
    cloud = open_installation()
    cloud.server.http_status_always_200 = http_status_always_200  # type: ignore[attr-defined]
    cloud.server.sharing_off = off  # type: ignore[attr-defined]
    there, gone = cloud.folder("there"), cloud.folder("gone")
    cloud.server.folders.discard(f"{cloud.server.directory}/gone")
    run = cloud.run()
    left = cloud.left_behind(run)
    assert left.keys() == {there} and "sharing is disabled or the app files_sharing is switched off" in left[there]
    assert [item["event_id"] for item in run["done"]["shared_folders"]["items"]] == [gone]
    assert len(cloud.server.links) == 2 and f"{cloud.server.directory}/there" in cloud.server.folders


@pytest.mark.parametrize("made_anew", [False, True])
@pytest.mark.parametrize(("version", "provider"), INSTALLATIONS)
def test_folder_that_is_in_the_trash_already(
    open_installation: Callable[..., Cloud], version: int, provider: str, made_anew: bool
) -> None:
    """Nextcloud answers the deletion of its links with a page, and keeps them as long as they lie there."""
    cloud = open_installation(provider, version)
    events = {cloud.folder(name) for name in ("one", "two")}
    path = f"{cloud.server.directory}/one"
    cloud.server.delete(path)
    if made_anew:
        cloud.server.make_folder(path)
    run = cloud.run(**{FAIL: True})
    assert not run.get("failed"), run["msg"]
    assert {item["event_id"] for item in run["done"]["shared_folders"]["items"]} == events
    assert cloud.server.folders == {"opentalk", cloud.server.directory} and cloud.server.links == {}
    assert len(cloud.server.shares) == (2 if provider == "nextcloud" else 0)
    assert cloud.world.ids("events") == set()


@pytest.mark.parametrize("lasts", [False, True])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_folder_that_is_locked(
    open_installation: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch, provider: str, lasts: bool
) -> None:
    """Nextcloud says of its links what it says of links that are gone."""
    monkeypatch.setattr(http_session, "BACKOFF", 0.01)
    cloud = open_installation(provider)
    locked = cloud.folder("locked")
    free = {cloud.folder("free")} if lasts else set()
    path = f"{cloud.server.directory}/locked"
    cloud.server.locked.add(path)

    def unlock(request: Request) -> None:
        if len(cloud.server.writes) > 3:
            cloud.server.locked.clear()

    if not lasts:
        cloud.server.on_request(unlock)
    run = cloud.run(shared_folder_requests=1)
    deleted = {item["event_id"] for item in run["done"]["shared_folders"]["items"]}
    if lasts:
        assert cloud.left_behind(run) == {locked: "the server answered every time with status 423"}
        assert deleted == free and path in cloud.server.folders
        assert len(cloud.server.links) == (2 if provider == "nextcloud" else 0)
    else:
        assert deleted == {locked} and cloud.server.shares == {}


def test_folder_on_the_drive_of_another_account(open_installation: Callable[..., Cloud]) -> None:
    """OpenCloud answers 500 about its links, which no later attempt changes."""
    cloud = open_installation("opencloud")
    event = cloud.folder("one")
    cloud.server.owns_drive = False  # type: ignore[attr-defined]
    run = cloud.run()
    assert "its drive belongs to another account" in cloud.left_behind(run)[event]
    assert [request.operation for request in cloud.server.writes] == ["DeleteShare"]
    # Any other failure of the server may pass.
    event = cloud.folder("two")
    cloud.server.owns_drive = True  # type: ignore[attr-defined]
    cloud.server.fail(500, deletes_share, times=2)
    assert [item["event_id"] for item in cloud.run()["done"]["shared_folders"]["items"]] == [event]


def test_ids_that_opencloud_does_not_take(open_installation: Callable[..., Cloud]) -> None:
    cloud = open_installation("opencloud")
    path = f"{cloud.server.directory}/one"
    record = cloud.server.shared_folder(path)
    event = cloud.event(path, {**record, "write": {**record["write"], "item_id": "item"}})
    other = cloud.folder("two")
    run = cloud.run()
    assert "does not take the ids of a share link" in cloud.left_behind(run)[event]
    assert [item["event_id"] for item in run["done"]["shared_folders"]["items"]] == [other]
    assert path in cloud.server.folders and len(cloud.server.links) == 2


@pytest.mark.parametrize(("version", "provider"), INSTALLATIONS)
def test_directory_that_is_absent_is_said_once(
    open_installation: Callable[..., Cloud], version: int, provider: str
) -> None:
    cloud = open_installation(provider, version)
    events = {cloud.folder(f"folder {number}") for number in range(6)}
    preview, there = cloud.run(check_mode=True), "The cloud has no directory"
    assert there not in str(preview["log"])
    cloud.server.folders = {"opentalk"}
    preview = cloud.run(check_mode=True)
    run = cloud.run(batch_size=2)
    assert {item["event_id"] for item in run["done"]["shared_folders"]["items"]} == events
    for result in (preview, run):
        assert sum(f'[WARN ] {there} "{cloud.server.directory}"' in line for line in result["log"]) == 1


@pytest.mark.parametrize(("version", "provider"), INSTALLATIONS)
def test_preview_asks_once_for_all_folders_in_one_place(
    open_installation: Callable[..., Cloud], version: int, provider: str
) -> None:
    """It asks folder by folder where a list is refused, and for names that a list may write in another way."""
    cloud = open_installation(provider, version)
    for number in range(30):
        cloud.folder(f"folder {number}")
    decomposed = unicodedata.normalize("NFD", "Grüße")
    for name in ("deep/er", decomposed):
        cloud.folder(name)
    gone = {f"folder {number}" for number in range(4)} | {decomposed}
    cloud.server.folders -= {f"{cloud.server.directory}/{name}" for name in gone}
    told = "to be deleted: 32, of which are already gone: 5"

    def asked(run: dict[str, Any]) -> Counter[str]:
        assert any(told in line for line in run["log"]) and cloud.left_behind(run) == {} and cloud.server.writes == []
        requests, cloud.server.requests = cloud.server.requests, []
        return Counter(request.operation for request in requests)

    # The first request, the folder deep inside, and the one with the decomposed name.
    assert asked(cloud.run(check_mode=True)) == {"ListFolder": 1, "FindFolder": 3}
    for status in (403, 503):
        cloud.server.fail(status, lambda request: request.operation == "ListFolder")
        requests = asked(cloud.run(check_mode=True))
        assert requests["ListFolder"] == 1 and requests["FindFolder"] >= 1 + 32
        cloud.server.clear_faults()


# What is never deleted


GUARDED = [
    "", "/", "//", ".", "..", "../x", "opentalk", "opentalk/", "opentalk/meetings", "/opentalk/meetings/",
    "opentalk/meetings/.", "opentalk/meetings/..", "opentalk/meetings/../x", "opentalk/meetings/x/../..", "x",
    "opentalk/meetings/./x", "opentalk/meetings2/x", "opentalk/x", "meetings/x", "opentalk/meetings/%2e%2e",
    "opentalk/meetings/..%2f..", "opentalk/meetings/%2F", "opentalk/meetings/%00", "opentalk/meetings/a%0a",
    "opentalk/meetings/x%2f..", "opentalk/meetings/%2e%2e%2fx",
    "Opentalk/Meetings/x", "opentalk/meetings/a\nb", "opentalk%2Fmeetings/x",
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
        shown = {event: path.replace("\n", "\\n") for event, path in events.items()}
        assert {left["event_id"]: left["path"] for left in run["shared_folders_left_behind"]} == shown
        assert cloud.world.ids("events") == set()


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize(("version", "provider"), INSTALLATIONS)
def test_folder_that_an_event_needs_which_stays(
    open_installation: Callable[..., Cloud], version: int, provider: str, fail: bool
) -> None:
    cloud = open_installation(provider, version)
    stays = "opentalk/meetings/stays/a"
    future = cloud.build.event(cloud.owner, starts_at=IN_A_YEAR, ends_at=IN_A_YEAR)
    cloud.build.shared_folder(future, path=f"/{stays}/", record=cloud.server.shared_folder(stays))
    needed = {
        cloud.event(path, cloud.server.record(*[cloud.server.share(stays)] * 2)): path
        for path in (stays, "opentalk/meetings/stays", "opentalk//meetings/stays/a/")
    }
    before, rows = (set(cloud.server.folders), dict(cloud.server.shares)), cloud.world.rows()
    # Folders beside it and below it go, and so does one that several events have that all go.
    free = {} if fail else {cloud.folder(name): name for name in ("stays/a/b", "stays/ab", "stay", "stay/x", "both")}
    if not fail:
        free[cloud.event("opentalk/meetings/both", cloud.server.shared_folder("opentalk/meetings/both"))] = "both"

    preview = cloud.run(check_mode=True)
    run = cloud.run(batch_size=1, **{FAIL: fail})
    assert cloud.left_behind(preview).keys() == needed.keys()
    assert {item["event_id"] for item in preview["plan"]["shared_folders"]["items"]} == free.keys()
    assert (cloud.server.folders, cloud.server.shares) == before
    if fail:
        assert run["failed"] and "an event that stays" in run["msg"]
        assert cloud.server.writes == [] and cloud.world.rows() == rows
        return
    assert cloud.left_behind(run) == dict.fromkeys(needed, "an event that stays has the same folder, or one inside it")
    assert run["done"]["shared_folders"]["count"] == len(free)
    assert cloud.world.ids("events") == {future}


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("configured", [None, "nextcloud", "opencloud"])
def test_folder_that_the_settings_have_no_server_for(
    open_installation: Callable[..., Cloud], configured: str | None, fail: bool
) -> None:
    """The settings name no provider or the other one, or the record has an unknown provider."""
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
    "login page for share links": (
        lambda server: server.fault(lambda r: (200, LOGIN, b"<html>"), deletes_share),
        "link",
    ),
    "locked": (lambda server: server.fail(423, deletes_folder), "status 423"),
    "overloaded": (lambda server: server.fail(503, lambda request: True), "503"),
    "partly deleted": (lambda server: server.fail(207, deletes_folder), "only a part"),
    "forbidden": (lambda server: server.fail(403, deletes_folder), "403"),
    "redirect to a login page": (lambda server: server.fault(lambda r: (302, LOGIN, b""), lambda r: True), "302"),
    "login page": (lambda server: server.fault(lambda r: (200, LOGIN, b"<html>"), deletes_folder), "200"),
    "wrong password": (lambda server: setattr(server, "password", "another"), "password"),
    "never answers": (lambda server: server.hang(9, deletes_folder), "did not answer in time"),
    "resets": (lambda server: server.reset(deletes_folder), "cannot be reached"),
    "wrong directory": (lambda server: server.fail(404, lambda r: not deletes_share(r)), "finds neither"),
}


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("fault", LASTING)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_lasting_fault(
    open_installation: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch, provider: str, fault: str, fail: bool
) -> None:
    monkeypatch.setattr(http_session, "READ_TIMEOUT", 0.2)
    monkeypatch.setattr(http_session, "BACKOFF", 0.01)
    cloud = open_installation(provider)
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


def test_404_without_the_form_of_the_share_api_says_nothing(open_installation: Callable[..., Cloud]) -> None:
    cloud = open_installation()
    event = cloud.folder("one")
    cloud.server.fail(404, deletes_share)
    assert "not one of OCS" in cloud.left_behind(cloud.run())[event]


BAD: dict[str, Callable[[CloudServer, Callable[[Request], bool]], None]] = {
    "500": lambda server, when: server.fail(500, when),
    "501": lambda server, when: server.fail(501, when),
    "503": lambda server, when: server.fail(503, when),
    "hangs": lambda server, when: server.fault(lambda request: time.sleep(1) or (500, {}, b""), when),
    "resets": lambda server, when: server.reset(when),
}


@pytest.mark.parametrize("fault", BAD)
def test_one_folder_that_fails_keeps_no_other_from_going(
    open_installation: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(http_session, "READ_TIMEOUT", 0.2)
    monkeypatch.setattr(http_session, "BACKOFF", 0.01)
    cloud = open_installation()
    events = [cloud.folder(f"folder {number}") for number in range(30)]
    BAD[fault](cloud.server, lambda request: deletes_folder(request) and request.path.endswith("folder%203"))
    run = cloud.run()
    assert cloud.left_behind(run).keys() == {events[3]}
    assert run["done"]["shared_folders"]["count"] == 29
    assert cloud.server.folders == {"opentalk", cloud.server.directory, f"{cloud.server.directory}/folder 3"}


DOWN: dict[str, tuple[Callable[[CloudServer], None], str, int]] = {
    "overloaded": (lambda server: server.fail(503, lambda request: True), "503", http_session.ATTEMPTS),
    "resets": (lambda server: server.reset(lambda request: True), "cannot be reached", http_session.ATTEMPTS),
    "never answers": (lambda server: server.ignore(lambda request: True), "did not answer in time", 1),
    "wrong password": (
        lambda server: setattr(server, "password", "another"),
        "refused the user name or the password",
        1,
    ),
    "password that was wrong too often": (
        lambda server: (setattr(server, "password", "another"), setattr(server, "login_delay", 3.4)),
        "refused the user name or the password",
        1,
    ),
    "disabled account": (lambda server: setattr(server, "user_is_disabled", True), "account is disabled", 1),
    "untrusted host": (lambda server: setattr(server, "distrusts", True), "trusted_domains", 1),
}


@pytest.mark.parametrize("fault", DOWN)
def test_server_that_does_not_work_is_left_alone_for_the_rest_of_the_run(
    open_installation: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """It gets one request at a time, which is for the directory, and no batch sends further ones."""
    monkeypatch.setattr(http_session, "BACKOFF", 0.01)
    monkeypatch.setattr(http_session, "READ_TIMEOUT", 3.0)
    cloud = open_installation()
    events = {cloud.folder(f"folder {number}") for number in range(30)}
    settings = cloud.server.settings
    inflict, reason, requests = DOWN[fault]
    inflict(cloud.server)
    run = cloud.run(shared_folder=settings, batch_size=3)
    left = cloud.left_behind(run)
    assert left.keys() == events and all(reason in text for text in left.values())
    assert all("it was not tried" in text for text in left.values())
    assert (len(cloud.server.requests), cloud.server.most_parallel) == (requests, 1)


def test_server_that_works_again_is_found_out(
    open_installation: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_session, "BACKOFF", 0.01)
    monkeypatch.setattr(availability, "LOOK_AGAIN", 0.0)
    cloud = open_installation()
    events = {cloud.folder(f"folder {number}") for number in range(30)}
    # The attempts for the directory, and a look at it before each of three batches.
    cloud.server.fail(503, lambda request: True, times=http_session.ATTEMPTS + 3)
    run = cloud.run(shared_folder_requests=1, batch_size=5)
    assert len(cloud.left_behind(run)) == 3 * 5
    assert run["done"]["shared_folders"]["count"] == len(events) - 3 * 5


# Pauses that the server asks for


# Seconds. What is on its way already arrives before the last one of them.
PAUSE = 5


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_all_threads_keep_a_pause(
    open_installation: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(client, "LONGEST_PAUSE", 2.0 * PAUSE)
    cloud = open_installation()
    for number in range(12):
        cloud.folder(f"folder {number}")
    until: list[float] = []

    def ask(request: Request) -> Answer:
        # A date has no fractions of a second.
        moment = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=PAUSE)
        until.append(
            time.monotonic() + (PAUSE if form == "seconds" else (moment - datetime.now(timezone.utc)).total_seconds())
        )
        return 503, {"Retry-After": str(PAUSE) if form == "seconds" else format_datetime(moment, usegmt=True)}, b""

    cloud.server.fault(ask, deletes_folder, times=1)
    run = cloud.run(shared_folder_requests=4)
    assert run["done"]["shared_folders"]["count"] == 12 and len(cloud.server.requests) == 1 + 3 * 12 + 1
    # What was on its way already may still arrive.
    during = [request for request in cloud.server.requests if until[0] - 1 < request.at < until[0]]
    assert during == []


def sleepers(world: World) -> int:
    """The number of the job's sessions that wait while they hold the locks of a batch."""
    ((number,),) = world.query(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'opentalk.maintenance%' AND state LIKE 'idle in transaction%'"
    )
    return int(number)


def test_long_pause_is_kept_without_any_lock(
    open_installation: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.5)
    cloud = open_installation()
    events = {cloud.folder(f"folder {number}") for number in range(12)}
    found: list[int] = []

    def ask(request: Request) -> Answer:
        look = threading.Timer(1, lambda: found.append(sleepers(cloud.world)))
        look.start()
        return 429, {"Retry-After": "2"}, b""

    cloud.server.fault(ask, lambda request: deletes_folder(request) and len(cloud.server.folders) < 8, times=1)
    run = cloud.run(**{FAIL: True}, audit_log=str(tmp_path / "audit.jsonl"))
    assert not run.get("failed"), run["msg"]
    assert found == [0]
    folders = run["done"]["shared_folders"]
    assert folders["count"] == len(folders["items"]) and {item["event_id"] for item in folders["items"]} == events
    # What had been deleted before the pause was not asked for again.
    deleted = Counter(request.path for request in cloud.server.requests if deletes_folder(request))
    assert sum(deleted.values()) == len(events) + 1
    assert [line["event"] for line in lines(tmp_path) if line["event"] != "deleting"] == [
        "run_started", "planned", "rolled_back", "deleted", "run_ended"
    ]  # fmt: skip


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "audit.jsonl").read_text().splitlines()]


def test_server_that_limits_the_rate_is_followed_to_the_end(
    open_installation: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run waits for any number of pauses, if a request succeeds between them."""
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.1)
    cloud = open_installation()
    events = {cloud.folder(f"folder {number}") for number in range(16)}
    allowed = [9]

    def ask(request: Request) -> Answer | None:
        allowed[0] -= 1
        if allowed[0] >= 0:
            return None
        allowed[0] = 9
        return 429, {"Retry-After": "1"}, b""

    cloud.server.fault(ask, lambda request: True)
    run = cloud.run(shared_folder_requests=1)
    assert cloud.left_behind(run) == {}
    assert run["done"]["shared_folders"]["count"] == len(events)


def test_pauses_without_end_are_not_waited_for(
    open_installation: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.1)
    cloud = open_installation()
    events = {cloud.folder(f"folder {number}") for number in range(30)}
    cloud.server.fault(lambda request: (429, {"Retry-After": "1"}, b""), lambda request: True)
    run = cloud.run(batch_size=10)
    left = cloud.left_behind(run)
    assert left.keys() == events and all("one pause after the other" in reason for reason in left.values())
    assert run["duration"] < 30
    preview = cloud.run(check_mode=True)
    assert not preview.get("failed")


# Which folders those were


@pytest.mark.parametrize("provider", PROVIDERS)
def test_folders_left_behind_are_written_down_before_nobody_knows_them(
    open_installation: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: str
) -> None:
    cloud = open_installation(provider)
    said: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda severity, text: said.append(text))
    refused, good = cloud.folder("refused ü"), cloud.folder("good")
    elsewhere = cloud.event("elsewhere/x", {"type": "nextcloud", "write_share_id": "17", "read_share_id": "18"})
    cloud.server.fail(403, lambda request: deletes_folder(request) and "refused" in request.path)
    execute = Database.execute
    events = {refused, elsewhere}

    def commit(self: Database, statement: Any, parameters: Any = None) -> int:
        if statement == "COMMIT" and '"deleting"' in (tmp_path / "audit.jsonl").read_text():
            assert {line["id"] for line in lines(tmp_path) if line["event"] == "left_behind"} == events
            assert all(any(event in text for text in said) for event in events)
        return execute(self, statement, parameters)

    monkeypatch.setattr(Database, "execute", commit)
    run = cloud.run(audit_log=str(tmp_path / "audit.jsonl"))
    left = {item.pop("event_id"): item for item in run["shared_folders_left_behind"]}
    assert left.keys() == events and cloud.world.ids("events") == set()
    recorded = {
        line["id"]: {name: line[name] for name in ("provider", "path", "shares", "reason")}
        for line in lines(tmp_path)
        if line["event"] == "left_behind"
    }
    assert recorded == left
    for event, item in left.items():
        (line,) = [line for line in run["log"] if line.startswith("[WARN ] Shared folder of event") and event in line]
        texts = (item["provider"], item["path"], json.dumps(item["shares"]), item["reason"])
        assert all(text in line for text in texts)
    assert good not in str(said)


@pytest.mark.parametrize("parallel", [1, 4, 16])
def test_a_few_requests_at_a_time(open_installation: Callable[..., Cloud], parallel: int) -> None:
    """The number of parallel requests reaches the limit and never exceeds it."""
    cloud = open_installation()
    events = {cloud.folder(f"folder {number}") for number in range(96)}

    def wait_for_the_others(request: Request) -> None:
        end = time.monotonic() + 60
        first = request.operation == "FindFolder"
        while not first and cloud.server.most_parallel < parallel and time.monotonic() < end:
            time.sleep(0.005)

    cloud.server.on_request(wait_for_the_others)
    run = cloud.run(shared_folder_requests=parallel, report_limit=50, batch_size=32)
    assert run["done"]["shared_folders"]["count"] == len(events)
    assert len(run["done"]["shared_folders"]["items"]) == 50
    assert cloud.server.folders == {"opentalk", cloud.server.directory}
    assert cloud.server.most_parallel == parallel
    # The directory, then two share links and the folder each.
    assert len(cloud.server.requests) == 1 + 3 * len(events)


def test_server_that_is_slower_with_many_requests_gets_fewer(
    open_installation: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that can do two things at once is soon asked for two or three."""
    monkeypatch.setattr(pace, "QUICK", 0.02)
    cloud = open_installation()
    events = {cloud.folder(f"folder {number}") for number in range(24)}
    at_once: list[int] = []

    def answer_at_its_pace(request: Request) -> None:
        at_once.append(cloud.server.under_way)
        time.sleep(0.4 if cloud.server.under_way > 2 else 0.05)

    cloud.server.on_request(answer_at_its_pace)
    run = cloud.run(shared_folder_requests=6)
    assert run["done"]["shared_folders"]["count"] == len(events)
    assert cloud.server.folders == {"opentalk", cloud.server.directory} and cloud.server.shares == {}
    assert max(at_once[:10]) == 6 and max(at_once[len(at_once) // 2 :]) <= 3, at_once


def test_folders_of_few_events_among_many_are_worked_on_at_the_same_time(
    open_installation: Callable[..., Cloud],
) -> None:
    """Even if the cloud is slow, a batch has enough events that several folders are deleted at the same time."""
    cloud = open_installation()
    for number in range(600):
        if number % 25:
            cloud.build.event(cloud.owner, starts_at=LONG_AGO, ends_at=LONG_AGO)
        else:
            cloud.folder(f"folder {number}")
    cloud.server.hang(0.4, deletes_folder)
    started = time.monotonic()
    run = cloud.run(shared_folder_requests=8)
    assert run["done"]["shared_folders"]["count"] == 24
    busy = [request.at - started for request in cloud.server.requests if deletes_folder(request)]
    # One after the other they would take 9.6 seconds.
    assert max(busy) - min(busy) < 6


@pytest.mark.parametrize("provider", PROVIDERS)
def test_results_hold_no_secrets(open_installation: Callable[..., Cloud], provider: str) -> None:
    cloud = open_installation(provider)
    cloud.folder("gone")
    cloud.event("elsewhere/x", cloud.server.record(*[cloud.server.share(f"{cloud.server.directory}/gone")] * 2))
    text = str([cloud.run(check_mode=True, diff=True), cloud.run(diff=True)])
    for secret in (cloud.server.password, "planted-password", "https://cloud.example.org"):
        assert secret not in text
