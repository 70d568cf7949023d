# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deletion in many batches."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.oracle import survivors
from support.recording_server import Request
from support.snapshot import deleted
from support.world import World

Open = Callable[..., World]


@pytest.fixture
def world(open_world: Open) -> World:
    world = open_world(67)
    world.fill(in_place=True, events=600)
    return world


@pytest.mark.parametrize(
    ("job", "root"), [("event_cleanup", "events"), ("adhoc_event_cleanup", "events"), ("room_cleanup", "rooms")]
)
def test_plan_is_effect(world: World, job: str, root: str) -> None:
    if job != "event_cleanup":
        world.query("UPDATE events SET is_adhoc = true, created_at = now() - interval '9 days'")
    if job == "room_cleanup":
        world.query(
            "INSERT INTO rooms (created_by, waiting_room, tenant_id) SELECT created_by, false, tenant_id FROM rooms"
        )
    before, objects = world.rows(), world.objects()
    preview = world.run(job, check_mode=True, report_limit=5000)
    run = world.run(job, batch_size=20, report_limit=5000)
    assert run["plan"] == preview["plan"] and run["plan"][root]["count"] > 100
    after = world.rows()
    assert after == survivors(before, root, set(preview["plan"][root]["ids"]))
    assert deleted(before, after) == run["done"]["rows_deleted"] == preview["plan"]["rows_deleted"]
    gone = {key.removeprefix("assets/") for key in objects.keys() - world.objects().keys()}
    assert gone == set(run["done"]["assets"]["ids"]) == set(preview["plan"]["assets"]["ids"])
    assert not world.run(job)["changed"]


def test_failure_between_batches_and_the_next_run_completes_it(world: World) -> None:
    before = world.rows()
    expired = set(world.run("event_cleanup", check_mode=True, report_limit=5000)["plan"]["events"]["ids"])
    asked = 0

    def third(request: Request) -> bool:
        nonlocal asked
        asked += request.operation == "DeleteObjects"
        return request.operation == "DeleteObjects" and asked == 3

    world.proxy.fail(403, third)
    run = world.run("event_cleanup", batch_size=10, report_limit=5000)
    assert run["failed"] and "denies access" in run["msg"]
    done = set(run["done"]["events"]["ids"])
    assert 0 < len(done) < len(expired)
    assert world.rows() == survivors(before, "events", done)
    world.proxy.clear_faults()
    world.run("event_cleanup")
    assert world.rows() == survivors(before, "events", expired)


def test_rows_that_two_batches_share_go_once(world: World) -> None:
    """In a future schema, events may go with other events."""
    world.query(
        "ALTER TABLE events ADD parent uuid REFERENCES events ON DELETE CASCADE;"
        "UPDATE events SET parent = (SELECT id FROM plan WHERE kind = 'ended' ORDER BY id LIMIT 1)"
        " WHERE id IN (SELECT id FROM plan WHERE kind = 'ended' ORDER BY id LIMIT 100 OFFSET 1)"
    )
    preview = world.run("event_cleanup", check_mode=True, report_limit=5000)
    run = world.run("event_cleanup", batch_size=10, report_limit=5000)
    assert not run.get("failed"), run["msg"]
    assert run["done"]["rows_deleted"] == preview["plan"]["rows_deleted"]
    assert not world.run("event_cleanup")["changed"]


def test_one_session_is_enough(world: World) -> None:
    role = f"alone_{world.database}"
    world.query(
        f"CREATE ROLE {role} LOGIN PASSWORD 'secret' CONNECTION LIMIT 1;"
        f" GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"
    )
    before = world.rows()
    try:
        run = world.run("event_cleanup", database_url=world.server.url(world.database, user=role, password="secret"))
        assert deleted(before, world.rows()) == run["plan"]["rows_deleted"] == run["done"]["rows_deleted"]
    finally:
        world.query(f"DROP OWNED BY {role}; DROP ROLE {role}")
