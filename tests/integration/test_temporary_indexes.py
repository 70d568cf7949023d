# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporary indexes: a run builds them only if they help, and none of them stays."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion import index_advice, temporary_indexes

from support.limits import HANGS
from support.oracle import survivors
from support.world import World

Open = Callable[..., World]
PREFIX = "opentalk_maintenance_tmp_"
BUILDING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CREATE INDEX%'"
NEEDED = {("invites", "room"), ("event_favorites", "event_id")}


def temporary(world: World) -> set[str]:
    return {row[0] for row in world.query("SELECT relname FROM pg_class WHERE starts_with(relname, %s)", (PREFIX,))}


def listed(effects: dict[str, Any]) -> set[tuple[str, ...]]:
    return {(item["table"], *item["columns"]) for item in effects["temporary_indexes"]["items"]}


@pytest.fixture
def world(open_world: Open) -> World:
    """8,000 events with three invites each. Half of the events have ended."""
    world = open_world(67)
    world.fill(in_place=True, events=8000, expired=4000, users=100, assets_every=100, folders=False)
    return world


def expired(world: World) -> set[str]:
    return {row[0] for row in world.query("SELECT id::text FROM plan WHERE kind = 'ended'")}


def test_built_before_and_gone_after(world: World) -> None:
    before, indexes = world.rows(), world.query("SELECT indexdef FROM pg_indexes ORDER BY 1")
    preview = world.run("event_cleanup", check_mode=True)
    assert listed(preview["plan"]) >= NEEDED
    assert temporary(world) == set() and preview["done"]["temporary_indexes"]["count"] == 0
    meanwhile: list[set[str]] = []
    world.proxy.on_request(
        lambda request: meanwhile.append(temporary(world)) if request.operation == "DeleteObjects" else None
    )
    run = world.run("event_cleanup")
    assert run["plan"] == preview["plan"] and listed(run["done"]) == listed(run["plan"])
    assert meanwhile and all(len(names) == len(listed(run["plan"])) for names in meanwhile)
    assert all(name.startswith(f"{PREFIX}event_cleanup_") for name in meanwhile[0])
    assert world.query("SELECT indexdef FROM pg_indexes ORDER BY 1") == indexes
    assert world.rows() == survivors(before, "events", expired(world))
    # With little to delete an index costs more than it saves, and with none it is no change.
    world.query("UPDATE event_dates SET ends_at = now() - interval '90 days' WHERE event_id ="
                " (SELECT event_id FROM event_dates ORDER BY event_id LIMIT 1)")  # fmt: skip
    assert listed(world.run("event_cleanup")["plan"]) == set()
    assert not world.run("event_cleanup")["changed"]


def test_not_wanted(world: World) -> None:
    meanwhile: list[set[str]] = []
    world.proxy.on_request(lambda request: meanwhile.append(temporary(world)))
    run = world.run("event_cleanup", temporary_indexes=False, max_affected=4000)
    assert run["done"]["events"]["count"] == 4000
    assert listed(run["plan"]) == set() and set().union(*meanwhile) == set()


def test_existing_index_is_used_but_not_one_of_another_run(world: World) -> None:
    world.query("CREATE INDEX mine ON invites (room)")
    world.query(f"CREATE INDEX {PREFIX}user_cleanup_00000000 ON event_favorites (event_id)")
    run = world.run("event_cleanup")
    assert ("invites", "room") not in listed(run["done"])
    assert ("event_favorites", "event_id") in listed(run["done"])
    assert temporary(world) == {f"{PREFIX}user_cleanup_00000000"}


def test_leftovers_of_a_run_that_died(world: World) -> None:
    for job in ("event_cleanup", "adhoc_event_cleanup"):
        world.query(f"CREATE INDEX {PREFIX}{job}_0badcafe ON invites (room)")
    world.query(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{PREFIX}event_cleanup_0badcafe'::regclass")
    world.run("event_cleanup", check_mode=True)
    assert len(temporary(world)) == 2
    # Also by a run that has nothing to delete, and that shall build none.
    run = world.run("event_cleanup", days_since_last_occurrence=100_000, temporary_indexes=False)
    assert not run["changed"]
    assert temporary(world) == {f"{PREFIX}adhoc_event_cleanup_0badcafe"}


def test_role_that_may_not_build_them(world: World) -> None:
    role = f"deleter_{world.database}"
    world.query(
        f"CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};"
        f" GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
    )
    before = world.rows()
    try:
        run = world.run("event_cleanup", database_url=world.server.url(world.database, user=role, password="secret"))
        assert listed(run["plan"]) >= NEEDED and listed(run["done"]) == set()
        assert "could not be built: " in str(run["warnings"]) and "invites (room)" in str(run["log"])
        assert world.rows() == survivors(before, "events", expired(world))
    finally:
        world.query(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize("statement", ["LOCK TABLE invites IN SHARE UPDATE EXCLUSIVE MODE", "SELECT 1 FROM users"])
def test_session_that_is_in_the_way(world: World, monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    """The session holds a lock, as VACUUM does, or holds a snapshot for a long time, as pg_dump does."""
    monkeypatch.setattr(temporary_indexes, "LOCK_TIMEOUT", 200)
    before = world.rows()
    with world.server.connect(world.database) as other, other.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(statement)
        run = world.run("event_cleanup")
    assert "could not be built: " in str(run["warnings"])
    assert world.rows() == survivors(before, "events", expired(world))
    world.run("event_cleanup")
    assert temporary(world) == set()


def test_failure_in_mid_run_drops_them(world: World) -> None:
    meanwhile: list[set[str]] = []
    world.proxy.on_request(lambda request: meanwhile.append(temporary(world)))
    world.proxy.fail(403, lambda request: request.operation == "DeleteObjects")
    run = world.run("event_cleanup")
    assert run["failed"] and meanwhile[-1] and temporary(world) == set()


def test_session_is_lost_while_it_builds_them(world: World) -> None:
    before = world.rows()
    with world.server.connect(world.database) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE invites, event_favorites IN SHARE UPDATE EXCLUSIVE MODE")
        with world.in_background("event_cleanup") as running:
            end = time.monotonic() + HANGS
            while not (building := world.query(BUILDING)):
                assert time.monotonic() < end, "no index is built"
            ((pid,),) = building
            world.query("SELECT pg_terminate_backend(%s)", (pid,))
            other.rollback()
            run = running.result()
    assert run["failed"] and "connection" in run["msg"]
    assert world.rows() == before
    world.settle()
    world.run("event_cleanup")
    assert temporary(world) == set() and world.rows() == survivors(before, "events", expired(world))


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> Callable[[World, str], int]:
    """The number of times that a table was read as a whole, with indexes that pay for small tables, too."""
    monkeypatch.setattr(index_advice, "_BUILD", 0)
    monkeypatch.setattr(index_advice, "_BUILD_ANY", 0)
    query = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = %s"
    return lambda world, table: world.query(query, (table,))[0][0]


def test_batches_do_not_read_all_permissions(open_world: Open, scans: Callable[[World, str], int]) -> None:
    """Permissions name their rooms and events in paths, so no foreign key leads to them."""
    world = open_world(52)
    world.fill(events=4000, expired=3000, users=100, invites=1, invitees=1, assets_every=0, folders=False)
    rows, before = world.rows(), scans(world, "casbin_rule")
    gone = {str(row[0]) for row in world.query("SELECT id FROM events WHERE ends_at < now() - interval '31 days'")}
    run = world.run("event_cleanup", batch_size=50)
    assert ("casbin_rule", "v1") in listed(run["done"])
    assert run["done"]["events"]["count"] == 3000 and run["done"]["rows_deleted"]["casbin_rule"] > 8 * 3000
    assert world.rows() == survivors(rows, "events", gone)
    # The plan reads the table, and so do the passes that build the index. The 60 batches and more do not.
    assert scans(world, "casbin_rule") - before < 10
    assert temporary(world) == set()


def test_batches_do_not_read_all_addresses(open_world: Open, scans: Callable[[World, str], int]) -> None:
    world = open_world()
    world.fill(events=100, users=3000, assets_every=0, folders=False)
    rows, before = world.rows(), scans(world, "users")
    gone = {str(row[0]) for row in world.query("SELECT id FROM users WHERE disabled_since IS NOT NULL")}
    run = world.run("user_cleanup", batch_size=5, days_since_user_has_been_disabled=0)
    assert ("users", "email") in listed(run["done"]) and run["done"]["users"]["count"] == len(gone) == 300
    assert world.rows() == survivors(rows, "users", gone)
    # This is the plan, and building the index.
    assert scans(world, "users") - before < 20
    assert temporary(world) == set()
