# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared folders that several events have, or that are inside of each other, while events come, change and stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion import batches
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import database

from support.cloud_server import CloudServer
from support.recording_server import Request
from support.scenes import IN_A_YEAR, Root, Scene
from support.world import World

Open = Callable[..., World]
FAIL = "fail_on_shared_folder_deletion_error"
INSTALLATIONS = [(52, "nextcloud"), (67, "nextcloud"), (67, "opencloud")]
NEEDED = "an event that stays has the same folder, or one inside it"


class Sharing(Scene):
    """Events that go, one in each batch. Each has a folder."""

    cloud: CloudServer

    def move(self, *roots: Root, to: list[str]) -> None:
        """Give events other folders, with any slashes in their paths, and make all folders."""
        for root, path in zip(roots, to, strict=True):
            root.path = _normal(path)
            self._record(root, root.path)
        self.cloud.folders.clear()
        self.cloud.shares.clear()
        self.cloud.make_folder(self.cloud.directory)
        self.world.share_folders_on(self.cloud)
        for root, path in zip(roots, to, strict=True):
            self._record(root, path)
        self.begin()

    def _record(self, root: Root, path: str) -> None:
        _unused, event = root.rows["event_shared_folders"]
        self.world.query("UPDATE event_shared_folders SET path = %s WHERE event_id = %s", (path, event))

    def run(self, **options: Any) -> dict[str, Any]:
        return super().run(**{"batch_size": 1, "shared_folder_requests": 1, **options})

    def when(self, place: int | None, action: Callable[[], object]) -> None:
        """Do something once: during the batch of the root at that place, or between plan and batches."""
        done: list[bool] = []
        prefix = self.roots[place].assets[0] if place is not None else ""

        def look(request: Request) -> None:
            due = prefix.encode() in request.body if prefix else request.operation == "HeadBucket"
            if due and not done:
                done.append(True)
                action()

        self.world.proxy.on_request(look)

    def other(self, path: str) -> str:
        """An event that stays and gets a folder."""
        event = self.build.event(self.owner, starts_at=IN_A_YEAR, ends_at=IN_A_YEAR)
        self.cloud.make_folder(_normal(path))
        self.build.shared_folder(event, path, self.cloud.record(*[self.cloud.share(_normal(path))] * 2))
        return event

    def left_behind(self, run: dict[str, Any]) -> dict[str, str]:
        return {item["event_id"]: item["reason"] for item in run["shared_folders_left_behind"]}

    def deletions(self, path: str) -> int:
        """The number of requests to delete this folder."""
        name = path.rpartition("/")[2].replace(" ", "%20")
        return sum(r.operation == "DeleteFolder" and r.path.endswith(f"/{name}") for r in self.cloud.requests)


def _normal(path: str) -> str:
    return "/".join(filter(None, path.split("/")))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 100)
    monkeypatch.setattr(batches, "LOCK_ATTEMPTS", 2)


@pytest.fixture
def open_sharing(open_world: Open, open_cloud: Callable[..., CloudServer]) -> Callable[..., Sharing]:
    def make(version: int = 67, provider: str = "nextcloud", number: int = 4) -> Sharing:
        return Sharing(open_world(version), "event_cleanup", number, cloud=open_cloud(provider))

    return make


@pytest.mark.parametrize(
    ("path", "fail"), [("{}", False), ("/{}//", True), ("{}/inner", True), ("/{}//deep/er/", False)]
)
@pytest.mark.parametrize("moment", [None, 0], ids=["after the plan", "during another batch"])
@pytest.mark.parametrize(("version", "provider"), INSTALLATIONS)
def test_event_that_stays_gets_the_folder(
    open_sharing: Callable[..., Sharing],
    tmp_path: Path,
    version: int,
    provider: str,
    moment: int | None,
    path: str,
    fail: bool,
) -> None:
    scene, log = open_sharing(version, provider), tmp_path / "audit.jsonl"
    victim, guests = scene.roots[2], list[str]()
    scene.when(moment, lambda: guests.append(scene.other(path.format(victim.path))))
    run = scene.run(audit_log=str(log), **{FAIL: fail})
    (guest,) = guests
    assert victim.path in scene.cloud.folders and _normal(path.format(victim.path)) in scene.cloud.folders
    assert scene.deletions(victim.path) == 0 and guest in scene.world.ids("events")
    gone = scene.ids - scene.world.ids("events")
    if fail:
        assert run["failed"] and victim.id in run["msg"] and NEEDED in run["msg"]
        assert gone == {root.id for root in scene.roots[:2]}
        assert scene.world.objects().keys() >= {f"assets/{asset}" for asset in victim.assets}
        return
    assert not run.get("failed"), run["msg"]
    assert scene.left_behind(run) == {victim.id: NEEDED} and gone == scene.ids
    assert not scene.cloud.folders & {root.path for root in scene.roots if root is not victim}
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["id"] for line in lines if line["event"] == "left_behind"] == [victim.id]
    assert victim.id not in {
        line["id"] for line in lines if line.get("kind") == "shared_folders" and "path" not in line
    }


@pytest.mark.parametrize("path", ["{}", "/{}//"])
@pytest.mark.parametrize(("version", "provider"), INSTALLATIONS)
def test_folder_of_several_events_goes_with_the_last(
    open_sharing: Callable[..., Sharing], tmp_path: Path, version: int, provider: str, path: str
) -> None:
    scene, log = open_sharing(version, provider), tmp_path / "audit.jsonl"
    first, last = scene.roots[0], scene.roots[2]
    scene.move(first, to=[path.format(last.path)])
    there: list[bool] = []
    scene.when(1, lambda: there.append(last.path in scene.cloud.folders))
    run = scene.run(audit_log=str(log))
    assert not run.get("failed"), run["msg"]
    assert there == [True] and scene.deletions(last.path) == 1
    assert scene.left_behind(run) == {}
    assert {item["event_id"] for item in run["done"]["shared_folders"]["items"]} == scene.ids
    assert scene.cloud.folders == {"opentalk", scene.cloud.directory} and scene.cloud.shares == {}
    assert scene.world.rows() == scene.survivors(scene.ids)


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("parallel", [1, 4])
@pytest.mark.parametrize(("version", "provider"), INSTALLATIONS)
def test_folder_of_several_events_in_one_batch(
    open_sharing: Callable[..., Sharing], version: int, provider: str, parallel: int, fail: bool
) -> None:
    """All share links go before the folder. Afterwards the cloud would not delete a link that leads nowhere."""
    scene = open_sharing(version, provider)
    first, second, third, _other = scene.roots
    scene.move(first, third, to=[f"/{second.path}//", second.path])
    run = scene.run(batch_size=100, shared_folder_requests=parallel, **{FAIL: fail})
    assert not run.get("failed"), run["msg"]
    assert scene.left_behind(run) == {} and scene.deletions(second.path) == 1
    assert {item["event_id"] for item in run["done"]["shared_folders"]["items"]} == scene.ids
    assert scene.cloud.folders == {"opentalk", scene.cloud.directory} and scene.cloud.shares == {}
    assert scene.world.rows() == scene.survivors(scene.ids)


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("why", ["moved", "held"])
@pytest.mark.parametrize("order", [(0, 2), (2, 0)], ids=["last stays", "first stays"])
@pytest.mark.parametrize("inside", ["", "/inner"])
@pytest.mark.parametrize(("version", "provider"), [(52, "nextcloud"), (67, "opencloud")])
def test_one_of_two_events_with_the_folder_stays(
    open_sharing: Callable[..., Sharing],
    tmp_path: Path,
    version: int,
    provider: str,
    inside: str,
    order: tuple[int, int],
    why: str,
    fail: bool,
) -> None:
    """It is moved into the future, or somebody holds its row."""
    scene, log = open_sharing(version, provider, 3), tmp_path / "audit.jsonl"
    goes, stays = (scene.roots[place] for place in order)
    scene.move(stays, to=[f"/{goes.path}{inside}"])
    options = {"audit_log": str(log), FAIL: fail}
    if why == "moved":
        scene.when(None, lambda: scene.postpone(stays))
        run = scene.run(**options)
    else:
        with scene.held(stays, "event_invites"):
            run = scene.run(**options)
    left = scene.world.ids("events")
    assert stays.id in left and {goes.path, stays.path} <= scene.cloud.folders
    assert scene.deletions(stays.path) == scene.deletions(goes.path) == 0
    assert scene.world.objects().keys() >= {f"assets/{asset}" for asset in stays.assets}
    assert run.get("failed", False) == (fail or why == "held")
    if goes.id in left:
        assert fail and goes.id in run["msg"] and NEEDED in run["msg"]
        assert scene.world.objects().keys() >= {f"assets/{asset}" for asset in goes.assets}
        return
    # With the option, the event goes without its folder only if nobody could know that the other one would stay.
    assert not fail or (order == (0, 2) and not inside)
    assert scene.left_behind(run) == {goes.id: NEEDED}
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["id"] for line in lines if line["event"] == "left_behind"] == [goes.id]
    announced = {line["id"] for line in lines if line["event"] == "deleting" and line["kind"] == "shared_folders"}
    assert announced == {scene.roots[1].id}


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_folders_inside_of_each_other_go(open_sharing: Callable[..., Sharing], tmp_path: Path, batch_size: int) -> None:
    scene, log = open_sharing(number=5), tmp_path / "audit.jsonl"
    outer = scene.roots[0].path
    scene.move(*scene.roots[1:], to=[f"{outer}//{path}" for path in ("a", "a/b", "a/b/c", "d")])
    run = scene.run(audit_log=str(log), batch_size=batch_size, **{FAIL: True})
    assert not run.get("failed"), run["msg"]
    assert run["done"]["shared_folders"]["count"] == 5 and scene.left_behind(run) == {}
    assert scene.cloud.folders == {"opentalk", scene.cloud.directory} and scene.cloud.shares == {}
    assert scene.world.rows() == scene.survivors(scene.ids)


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("outer", [0, 1])
def test_folders_of_users_inside_of_each_other(
    open_world: Open, open_cloud: Callable[..., CloudServer], outer: int, stays: bool
) -> None:
    scene = Sharing(open_world(67), "user_cleanup", 2, cloud=open_cloud())
    around, inside = scene.roots[outer], scene.roots[1 - outer]
    scene.move(inside, to=[f"{around.path}/inner"])
    if stays:
        scene.when(None, lambda: scene.postpone(inside))
    run = scene.run(**{FAIL: True})
    if stays:
        assert run["failed"] and NEEDED in run["msg"] and scene.ids <= scene.world.ids("users")
        assert {around.path, inside.path} <= scene.cloud.folders and scene.cloud.writes == []
    else:
        assert not run.get("failed"), run["msg"]
        scene.check(run)
