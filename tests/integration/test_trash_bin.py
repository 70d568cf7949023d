# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copies of deleted folders in the trash bin of the cloud: they go if that is wanted, and no other copy does."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from support.builders import Builder
from support.cloud_server import CloudServer, Deleted
from support.world import World

INSTALLATIONS = [(52, "nextcloud"), (67, "nextcloud"), (67, "opencloud")]
LONG_AGO = datetime.now(timezone.utc) - timedelta(days=90)
FAIL = "fail_on_shared_folder_deletion_error"


class Cloud:
    """An installation with a cloud, events that ended long ago, and a trash bin in which much lies already."""

    def __init__(self, world: World, server: CloudServer) -> None:
        self.world, self.server = world, server
        world.cloud = server
        server.make_folder(server.directory)
        server.ahead = timedelta(days=5)
        self.build = Builder(world.connection)
        self.owner = self.build.user()
        self.others: list[Deleted] = []

    def folder(self, directory: str = "") -> str:
        """Make an event with a folder that has a namesake in the trash bin, and one from another directory there."""
        event = self.build.event(self.owner, starts_at=LONG_AGO, ends_at=LONG_AGO)
        path = self.path(event)
        for number, other in enumerate((path, path.replace("meetings", "other"))):
            name = f"{event}-{number}.d1"
            self.others.append(Deleted(name, other, self.server.now() - timedelta(days=number), self.server.new_item()))
        self.server.trash.extend(self.others[-2:])
        return self.build.shared_folder(event, path=path, record=self.server.shared_folder(path))

    def path(self, event: str) -> str:
        return f"{self.server.directory}/opentalk-event-{event}"

    def run(self, job: str = "event_cleanup", **options: Any) -> dict[str, Any]:
        return self.world.run(job, **options)


@pytest.fixture
def install(open_world: Callable[..., World], open_cloud: Callable[..., CloudServer]) -> Callable[..., Cloud]:
    return lambda version=67, provider="nextcloud": Cloud(open_world(version), open_cloud(provider))


def in_trash(effects: dict[str, Any], kind: str = "shared_folders") -> dict[str, bool]:
    return {item["event_id"]: item["in_trash"] for item in effects[kind]["items"]}


@pytest.mark.parametrize(("version", "provider"), INSTALLATIONS)
def test_only_the_own_copy_goes(install: Callable[..., Cloud], version: int, provider: str) -> None:
    cloud = install(version, provider)
    server = cloud.server
    first, second = cloud.folder(), cloud.folder()
    for entry in cloud.others:
        entry.at -= timedelta(days=1)
    preview = cloud.run(check_mode=True, empty_trash=True)
    assert server.writes == [] and in_trash(preview["plan"]) == dict.fromkeys((first, second), False)
    run = cloud.run(empty_trash=True)
    assert not run.get("failed") and run["plan"] == preview["plan"]
    assert in_trash(run["done"]) == in_trash(run["plan"]) and run["shared_folders_left_behind"] == []
    assert server.trash == cloud.others
    assert [request.operation for request in server.requests].count("ListTrash") == 1

    # Without the option the copy stays, and the result says so.
    kept = cloud.folder()
    run = cloud.run()
    assert in_trash(run["plan"]) == in_trash(run["done"]) == {kept: True}
    assert [entry.path for entry in server.trash if entry not in cloud.others] == [cloud.path(kept)]
    server.trash = list(cloud.others)
    # A newer server makes no copy if it is asked so. An older one of the same path stays then, too.
    server.skips_trash = provider == "nextcloud"
    skipped = cloud.folder()
    cloud.others[-2].at -= timedelta(days=1)
    orphan = str(uuid.uuid4())
    server.make_folder(cloud.path(orphan))
    server.make_older([cloud.path(orphan)], timedelta(days=2))
    run = cloud.run(empty_trash=True)
    assert in_trash(run["done"]) == {skipped: False} and server.trash == cloud.others
    run = cloud.run("sync_shared_folders", orphaned_shared_folders="delete", max_affected=1, empty_trash=True)
    assert in_trash(run["done"], "orphaned_shared_folders") == {orphan: False} and server.trash == cloud.others
    # Without a trash bin there is nothing to look for.
    server.has_trash = False
    assert in_trash(cloud.run(empty_trash=True)["done"]) == {}
    last = cloud.folder()
    assert in_trash(cloud.run(empty_trash=True)["done"]) == {last: False}


@pytest.mark.parametrize("provider", ["nextcloud", "opencloud"])
@pytest.mark.parametrize("operation", ["ListTrash", "DeleteTrash"])
def test_copy_that_cannot_be_deleted(install: Callable[..., Cloud], provider: str, operation: str) -> None:
    """It stops the job or leaves the folder behind. A run that could go no further than this is completed by the next one."""
    cloud = install(67, provider)
    server, event = cloud.server, cloud.folder()
    for entry in cloud.others:
        entry.at -= timedelta(days=1)
    server.fail(403, lambda request: request.operation == operation)
    run = cloud.run(empty_trash=True, **{FAIL: True})
    assert run["failed"] and "trash bin" in run["msg"] and cloud.world.ids("events") == {event}
    assert cloud.path(event) not in server.folders and len(server.trash) == 3
    server.clear_faults()
    run = cloud.run(empty_trash=True, **{FAIL: True})
    assert not run.get("failed") and in_trash(run["done"]) == {event: False}
    assert server.trash == cloud.others and cloud.world.ids("events") == set()

    server.fail(403, lambda request: request.operation == operation)
    event = cloud.folder()
    orphan = str(uuid.uuid4())
    server.make_folder(cloud.path(orphan))
    server.make_older([cloud.path(orphan)], timedelta(days=2))
    sync = cloud.run("sync_shared_folders", orphaned_shared_folders="delete", max_affected=1, empty_trash=True)
    run = cloud.run(empty_trash=True)
    for result, kind, identifier in ((sync, "orphaned_shared_folders", orphan), (run, "shared_folders", event)):
        (left,) = result["shared_folders_left_behind"]
        assert not result.get("failed") and left["event_id"] == identifier and "trash bin" in left["reason"]
        assert in_trash(result["done"], kind) == {identifier: True}
    assert cloud.world.ids("events") == set() and len(server.trash) == len(cloud.others) + 2


def test_copy_that_cannot_be_told_from_others_stays(install: Callable[..., Cloud]) -> None:
    cloud = install()
    event = cloud.folder()
    cloud.server.tells_time = False
    run = cloud.run(empty_trash=True)
    (left,) = run["shared_folders_left_behind"]
    assert left["event_id"] == event and "cannot be told from other" in left["reason"]
    assert len(cloud.server.trash) == 3 and in_trash(run["done"]) == {event: True}
