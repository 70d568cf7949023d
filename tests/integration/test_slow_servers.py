# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that accept a deletion and do not answer in time: nobody waits long for the rows of the batch."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import (
    http_session,
    object_storage,
    object_storage_client,
)
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.clouds import availability

from support.cloud_server import CloudServer
from support.recording_server import RecordingServer, Request
from support.scenes import Scene
from support.world import World

Open = Callable[..., World]
FAIL = "fail_on_shared_folder_deletion_error"
# Seconds.
BUDGET = 1


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_session, "BACKOFF", 0.01)
    for module in (http_session, object_storage_client):
        monkeypatch.setattr(module, "READ_TIMEOUT", 1.3 * BUDGET)
    monkeypatch.setattr(object_storage_client, "ATTEMPTS", 2)


@pytest.fixture
def open_scene(open_world: Open, open_cloud: Callable[..., CloudServer]) -> Callable[..., Scene]:
    def make(
        job: str = "event_cleanup", version: int = 67, *, provider: str = "nextcloud", cloud: bool = True, **shape: int
    ) -> Scene:
        return Scene(open_world(version), job, cloud=open_cloud(provider) if cloud else None, **shape)

    return make


class Guest:
    """A session that changes rows of the roots all the time. It also watches the job at each request that reads.

    :ivar longest: the most seconds that a change took
    :ivar sleepers: for each probe of a server, the number of the job's sessions that held locks meanwhile
    """

    def __init__(self, scene: Scene) -> None:
        self.longest, self.sleepers = 0.0, list[int]()
        self._scene, self._ended = scene, threading.Event()
        for server in (scene.world.proxy, scene.cloud):
            if server:
                server.on_request(self._look)

    def __enter__(self) -> Guest:
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for server in (self._scene.world.proxy, self._scene.cloud):
            if server:
                server.on_request(None)

    def check(self) -> None:
        """Nobody waited longer than the budget and a bit, and servers were only probed while nobody had to wait."""
        print(f"longest wait with a budget of {BUDGET} s: {self.longest:.2f} s")
        assert self.longest < 3 * BUDGET
        assert self.sleepers and not any(self.sleepers)

    def _work(self) -> None:
        with self._scene.world.server.connect(self._scene.world.database) as session, session.cursor() as cursor:
            for root in itertools.cycle(self._scene.roots):
                if self._ended.wait(0.01):
                    return
                started = time.monotonic()
                # It changes nothing, so that the rows can be compared.
                cursor.execute(f"UPDATE {self._scene.table} SET id = id WHERE id = %s", (root.id,))
                session.commit()
                self.longest = max(self.longest, time.monotonic() - started)

    def _look(self, request: Request) -> None:
        asks_for_folder = request.operation == "FindFolder" and not request.path.endswith("meetings")
        if request.operation not in ("HeadBucket", "FindFolder") or asks_for_folder:
            return
        with self._scene.world.server.connect(self._scene.world.database) as session, session.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name LIKE 'opentalk.maintenance%' AND state LIKE 'idle in transaction%'"
            )
            self.sleepers.append(cursor.fetchone()[0])


def deletes_objects(request: Request) -> bool:
    return request.operation == "DeleteObjects"


def deletes_folder(request: Request) -> bool:
    return request.operation == "DeleteFolder"


def completes(scene: Scene, stay: set[str] | None = None, **options: Any) -> None:
    """The next run, undisturbed, completes the work."""
    scene.world.proxy.clear_faults()
    if scene.cloud:
        scene.cloud.clear_faults()
    scene.begin()
    run = scene.run(**options)
    assert not run.get("failed"), run["msg"]
    scene.check(run, stay=stay or set())


SLOW: dict[str, Callable[[RecordingServer, Callable[[Request], bool]], None]] = {
    "never answers": lambda server, when: server.ignore(when),
    "trickles its answer": lambda server, when: server.drip(0.05, when),
}


# Storage


@pytest.mark.parametrize("version", [52, 67])
@pytest.mark.parametrize("job", ["event_cleanup", "adhoc_event_cleanup", "room_cleanup", "user_cleanup"])
def test_storage_that_is_dead(open_scene: Callable[..., Scene], tmp_path: Path, job: str, version: int) -> None:
    scene, log = open_scene(job, version, cloud=False), tmp_path / "audit.jsonl"
    scene.world.proxy.ignore(lambda request: bool(scene.world.proxy.writes))
    with Guest(scene) as guest:
        run = scene.run(outside_timeout=BUDGET, audit_log=str(log))
    guest.check()
    assert run["failed"] and "object storage" in run["msg"] and "did not answer in time" in run["msg"]
    assert not run["failures"]
    scene.check(run, stay=scene.ids, audit=log)
    completes(scene)


@pytest.mark.parametrize("fault", SLOW)
def test_storage_that_answers_everything_but_deletions(
    open_scene: Callable[..., Scene], tmp_path: Path, fault: str
) -> None:
    """It is given up after a few roots, however many there are."""
    scene, log = open_scene(number=40, cloud=False), tmp_path / "audit.jsonl"
    SLOW[fault](scene.world.proxy, deletes_objects)
    with Guest(scene) as guest:
        run = scene.run(outside_timeout=BUDGET, audit_log=str(log))
    guest.check()
    assert run["failed"] and f"longer than {BUDGET} seconds" in run["msg"]
    # Requests that delete, also repeated ones. How long they take depends on what else the machine does.
    assert len(scene.world.proxy.writes) <= len(scene.roots) // 2
    scene.check(run, stay=scene.ids, audit=log)
    completes(scene)


@pytest.mark.parametrize("version", [52, 67])
def test_storage_that_answers_late(open_scene: Callable[..., Scene], tmp_path: Path, version: int) -> None:
    """It carries the deletion out and answers when nobody waits any more. After that it works."""
    scene, log = open_scene("event_cleanup", version, cloud=False), tmp_path / "audit.jsonl"
    scene.world.proxy.hang(2 * BUDGET, deletes_objects, times=1)
    with Guest(scene) as guest:
        run = scene.run(outside_timeout=BUDGET, audit_log=str(log))
    guest.check()
    assert not run.get("failed"), run["msg"]
    scene.check(run, audit=log)


def test_one_root_whose_objects_are_not_deleted(open_scene: Callable[..., Scene], tmp_path: Path) -> None:
    scene, log = open_scene(number=9, cloud=False), tmp_path / "audit.jsonl"
    victim = scene.roots[5]
    scene.world.proxy.ignore(lambda request: deletes_objects(request) and victim.assets[0].encode() in request.body)
    with Guest(scene) as guest:
        run = scene.run(outside_timeout=BUDGET, audit_log=str(log))
    guest.check()
    scene.check_failures(run, {victim.id}, f"took longer than {BUDGET} seconds")
    scene.check(run, stay={victim.id}, audit=log)
    scene.postpone(victim)
    completes(scene, {victim.id})


def test_roots_with_more_objects_than_the_budget_allows(
    open_scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each attempt deletes some of them."""
    monkeypatch.setattr(object_storage, "KEYS_PER_REQUEST", 2)
    scene, log = open_scene(number=3, assets=6, cloud=False), tmp_path / "audit.jsonl"
    scene.world.proxy.hang(0.4 * BUDGET, deletes_objects)
    with Guest(scene) as guest:
        run = scene.run(outside_timeout=BUDGET, audit_log=str(log), batch_size=1)
    guest.check()
    assert not run.get("failed"), run["msg"]
    scene.check(run, audit=log)
    # No object was asked for again.
    keys = [key for request in scene.world.proxy.deletions for key in request]
    assert set(keys) == scene.objects.keys() - scene.world.objects().keys()


@pytest.mark.parametrize("versioned", [False, True])
def test_requests_that_are_too_large_for_the_budget(
    open_world: Open, open_scene: Callable[..., Scene], tmp_path: Path, versioned: bool
) -> None:
    """A server that needs long for each object may answer a request with fewer of them in time."""
    scene, log = Scene(open_world(67, versioned=versioned), "event_cleanup", 2, assets=24), tmp_path / "audit.jsonl"

    def work(request: Request) -> None:
        time.sleep(0.12 * BUDGET * request.body.count(b"<Key>"))

    scene.world.proxy.fault(work, deletes_objects)
    with Guest(scene) as guest:
        run = scene.run(outside_timeout=BUDGET, audit_log=str(log))
    guest.check()
    assert not run.get("failed"), run["msg"]
    scene.check(run, audit=log)


@pytest.mark.parametrize("breaks", [False, True], ids=["times out", "breaks"])
def test_request_that_was_given_up_is_not_sent_again(
    open_scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch, breaks: bool
) -> None:
    """The client would send it again by itself, after the rows were unlocked."""
    monkeypatch.setattr(object_storage_client, "ATTEMPTS", 5)
    if breaks:
        monkeypatch.setattr(object_storage_client, "READ_TIMEOUT", 60.0)
    scene = open_scene(number=1, cloud=False)
    scene.world.proxy.ignore(deletes_objects)
    run = scene.run(outside_timeout=BUDGET)
    scene.check_failures(run, scene.ids, f"took longer than {BUDGET} seconds")
    scene.postpone(scene.roots[0])
    scene.begin()
    scene.world.proxy.clear_faults()
    time.sleep(3)
    assert scene.world.proxy.writes == []
    assert scene.world.objects() == scene.objects
    completes(scene, scene.ids)


@pytest.mark.parametrize("version", [52, 67])
def test_storage_that_does_not_say_whether_objects_exist(
    open_scene: Callable[..., Scene], tmp_path: Path, version: int
) -> None:
    scene, log = open_scene("sync_storage_files", version, cloud=False, number=12), tmp_path / "audit.jsonl"
    scene.world.proxy.ignore(lambda request: request.operation == "HeadObject")
    with Guest(scene) as guest:
        run = scene.run(outside_timeout=BUDGET, audit_log=str(log))
    guest.check()
    assert run["failed"] and f"longer than {BUDGET} seconds" in run["msg"]
    scene.check(run, stay=scene.ids, audit=log)
    completes(scene)


# Clouds


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize(("version", "provider"), [(52, "nextcloud"), (67, "nextcloud"), (67, "opencloud")])
@pytest.mark.parametrize("fault", [*SLOW, "is dead"])
def test_cloud_that_does_not_answer(
    open_scene: Callable[..., Scene], tmp_path: Path, version: int, provider: str, fail: bool, fault: str
) -> None:
    """It answers nothing after the first deletion, or everything but deletions of folders."""
    scene, log = open_scene("event_cleanup", version, provider=provider, number=12), tmp_path / "audit.jsonl"
    assert scene.cloud
    cloud = scene.cloud
    if fault == "is dead":
        cloud.ignore(lambda request: bool(cloud.writes))
    else:
        SLOW[fault](cloud, deletes_folder)
    with Guest(scene) as guest:
        run = scene.run(outside_timeout=BUDGET, audit_log=str(log), **{FAIL: fail})
    guest.check()
    assert run["duration"] < 30 * BUDGET
    if fail:
        assert run["failed"] and f"longer than {BUDGET} seconds" in run["msg"]
        scene.check(run, stay=scene.ids, audit=log)
        completes(scene, **{FAIL: True})
        return
    assert not run.get("failed"), run["msg"]
    left = {item["event_id"]: item["reason"] for item in run["shared_folders_left_behind"]}
    assert left.keys() == scene.ids and all(f"longer than {BUDGET} seconds" in reason for reason in left.values())
    assert scene.cloud.folders == scene.folders
    for root in scene.roots:
        root.path = ""
    scene.check(run, audit=log)


@pytest.mark.parametrize("provider", ["nextcloud", "opencloud"])
def test_deletion_of_a_folder_that_was_given_up_is_not_sent_again(
    open_scene: Callable[..., Scene], provider: str
) -> None:
    scene = open_scene(provider=provider, number=1)
    assert scene.cloud
    scene.cloud.ignore(deletes_folder)
    run = scene.run(outside_timeout=BUDGET, **{FAIL: True})
    assert run["failed"] and scene.roots[0].id in run["msg"]
    scene.postpone(scene.roots[0])
    scene.begin()
    scene.cloud.clear_faults()
    time.sleep(2)
    assert scene.cloud.writes == [] and scene.cloud.folders == scene.folders
    completes(scene, scene.ids)


def test_cloud_that_comes_back(open_scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "LOOK_AGAIN", 0.0)
    scene = open_scene(number=12)
    assert scene.cloud
    # The deletion and the look at the directory.
    scene.cloud.ignore(lambda request: True, times=2)
    with Guest(scene) as guest:
        run = scene.run(outside_timeout=BUDGET, batch_size=4, shared_folder_requests=1)
    guest.check()
    assert not run.get("failed"), run["msg"]
    left = {item["event_id"] for item in run["shared_folders_left_behind"]}
    assert left <= {root.id for root in scene.roots[:4]}
    for root in scene.roots:
        root.path = "" if root.id in left else root.path
    scene.check(run)


@pytest.mark.parametrize("fail", [False, True])
def test_one_folder_that_is_not_deleted(open_scene: Callable[..., Scene], tmp_path: Path, fail: bool) -> None:
    scene, log = open_scene(number=9), tmp_path / "audit.jsonl"
    assert scene.cloud
    victim = scene.roots[5]
    name = victim.path.rpartition("/")[2].replace(" ", "%20")
    scene.cloud.ignore(lambda request: deletes_folder(request) and request.path.endswith(name))
    with Guest(scene) as guest:
        run = scene.run(outside_timeout=BUDGET, audit_log=str(log), **{FAIL: fail})
    guest.check()
    if fail:
        assert run["failed"] and victim.id in run["msg"]
        assert victim.id in scene.world.ids("events") and victim.path in scene.cloud.folders
        completes(scene, **{FAIL: True})
        return
    assert not run.get("failed"), run["msg"]
    assert [item["event_id"] for item in run["shared_folders_left_behind"]] == [victim.id]
    victim.path = ""
    scene.check(run, audit=log)


def test_folders_that_need_longer_than_the_budget(open_scene: Callable[..., Scene]) -> None:
    """A user has many of them. Each attempt deletes some."""
    scene = open_scene("user_cleanup", number=1)
    assert scene.cloud
    user = scene.roots[0]
    for place in range(5):
        event = scene.build.event(user.id)
        scene.build.shared_folder(event, f"{scene.cloud.directory}/more {place}")
    scene.world.share_folders_on(scene.cloud)
    scene.begin()
    scene.cloud.hang(0.4 * BUDGET, deletes_folder)
    with Guest(scene) as guest:
        run = scene.run(outside_timeout=BUDGET, shared_folder_requests=1)
    guest.check()
    assert not run.get("failed"), run["msg"]
    assert run["done"]["shared_folders"]["count"] == 6 and run["shared_folders_left_behind"] == []
    assert scene.cloud.folders == {"opentalk", scene.cloud.directory}
    assert scene.world.rows() == scene.survivors(scene.ids)
