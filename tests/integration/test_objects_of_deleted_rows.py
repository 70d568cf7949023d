# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that go with their rows: the report of them, and the deletion of all their versions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.builders import Builder
from support.world import World

Open = Callable[..., World]
JOB = "room_cleanup"


def test_asset_that_comes_after_the_plan_leaves_no_version(open_world: Open) -> None:
    """The plan has no asset, so the job has not asked yet whether the bucket keeps versions."""
    world = open_world(versioned=True)
    build = Builder(world.connection)
    room = build.room(build.user())
    with world.server.connect(world.database) as blocker:
        blocker.cursor().execute("SELECT FROM rooms WHERE id = %s FOR NO KEY UPDATE", (room,))
        with world.in_background(JOB) as running:
            world.wait_for_lock()
            asset = build.asset(room)
            for _unused in range(3):
                world.storage.upload(world.bucket, [(f"assets/{asset}", 1)])
            blocker.rollback()
        run = running.result()
    assert run["plan"]["assets"]["count"] == 0 and run["done"]["assets"]["ids"] == [asset]
    assert world.storage.versions(world.bucket) == set()
    assert world.ids("assets") == set()


@pytest.mark.parametrize("later", ["the plan", "a batch"])
def test_server_that_does_not_tell_of_versions_for_a_moment(open_world: Open, later: str) -> None:
    world = open_world(versioned=True)
    build = Builder(world.connection)
    room = build.room(build.user())
    if later == "the plan":
        build.asset(room)
        world.upload()
    world.proxy.fail(503, lambda request: request.operation == "GetBucketVersioning")
    before = world.storage.versions(world.bucket)
    with world.server.connect(world.database) as blocker:
        blocker.cursor().execute("SELECT FROM rooms WHERE id = %s FOR NO KEY UPDATE", (room,))
        with world.in_background(JOB) as running:
            if later == "a batch":
                world.wait_for_lock()
                build.asset(room)
                world.upload()
                before = world.storage.versions(world.bucket)
            blocker.rollback()
        run = running.result()
    assert run["failed"] and "object storage" in run["msg"] and not run["changed"]
    assert world.ids("rooms") == {room} and world.storage.versions(world.bucket) == before
    world.proxy.clear_faults()
    assert not world.run(JOB).get("failed")
    assert world.ids("rooms") == set() and world.storage.versions(world.bucket) == set()


def test_objects_that_are_gone_although_their_batch_failed_are_a_change(open_world: Open) -> None:
    world = open_world()
    build = Builder(world.connection)
    room = build.room(build.user())
    for _unused in range(3):
        build.asset(room)
    world.upload()
    world.query(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
        "CREATE CONSTRAINT TRIGGER refuse AFTER DELETE ON rooms DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        " EXECUTE FUNCTION refuse();"
        # Without this the constraint would be checked before the objects are deleted.
        "CREATE FUNCTION defer() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN SET CONSTRAINTS ALL DEFERRED; RETURN NULL; END $$;"
        "CREATE TRIGGER defer BEFORE DELETE ON rooms FOR EACH STATEMENT EXECUTE FUNCTION defer()"
    )
    rows = world.rows()
    run = world.run(JOB)
    assert run["failed"] and run["changed"]
    assert run["done"]["assets"]["count"] == 0 and run["done"]["rows_deleted"] == {}
    assert "although their assets are still in the database, or may be: 3;" in "".join(run["log"])
    assert world.rows() == rows and world.objects() == {}
    world.query("DROP TRIGGER refuse ON rooms")
    again = world.run(JOB)
    assert again["done"]["assets"]["count"] == 3 and world.ids("assets") == set()
    assert "although their assets" not in "".join(again["log"])


def test_objects_of_what_is_kept_for_another_object_are_told(open_world: Open) -> None:
    world = open_world()
    build = Builder(world.connection)
    room = build.room(build.user())
    assets = sorted(build.asset(room) for _unused in range(3))
    world.upload()
    world.proxy.refuse_keys({f"assets/{assets[1]}": "AccessDenied"})
    run = world.run(JOB)
    assert run["failed"] and run["changed"] and world.ids("assets") == set(assets)
    assert world.objects().keys() == {f"assets/{assets[1]}"}
    assert "although their assets are still in the database, or may be: 2;" in "".join(run["log"])
