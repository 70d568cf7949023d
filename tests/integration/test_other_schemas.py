# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas of later migrations: a job follows the database's rules for new tables and keys, and stops without a rule."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.deadline import Deadline
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.catalogue import read_catalogue
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.database import Database

from support.cases import Case, case
from support.effect import check_effect
from support.snapshot import Snapshot, parsed
from support.tangle import SEED_VARIABLE, Tangle, first_seed
from support.world import World

SEED = first_seed()


def test_catalogue_is_that_of_one_moment(open_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that comes between two of its queries counts as a whole or not at all."""
    world = open_world()
    read = Database.rows
    migration = iter(["ALTER TABLE rooms ADD late uuid UNIQUE REFERENCES events (id)"])

    def rows(database: Database, query: Any, parameters: Any = None) -> list[tuple[Any, ...]]:
        found = read(database, query, parameters)
        if "pg_attribute" in str(query):
            world.query(next(migration))
        return found

    monkeypatch.setattr(Database, "rows", rows)
    url = world.server.url(world.database)
    database = Database(url, deadline=Deadline(60), read_only=True, application_name="test")
    try:
        catalogue = read_catalogue(database)
    finally:
        database.close()
    assert next(migration, None) is None
    rooms = catalogue.table("rooms")
    assert "late" not in catalogue.types[rooms]
    assert ("late",) not in catalogue.unique[rooms]
    assert not [reference for reference in catalogue.references if "late" in reference.columns]


@pytest.mark.parametrize("rule", ["", "ON DELETE RESTRICT", "ON DELETE CASCADE", "ON DELETE SET NULL"])
@pytest.mark.parametrize(
    ("job", "table"),
    [
        ("event_cleanup", "events"),
        ("event_cleanup", "rooms"),
        ("event_cleanup", "invites"),
        ("adhoc_event_cleanup", "rooms"),
        ("room_cleanup", "rooms"),
        ("room_cleanup", "assets"),
        ("user_cleanup", "rooms"),
        ("user_cleanup", "users"),
        ("invite_cleanup delete_invites", "invites"),
    ],
)
def test_new_foreign_key(open_world: Callable[..., World], job: str, table: str, rule: str) -> None:
    world = open_world()
    world.query(f"CREATE TABLE news (n serial PRIMARY KEY, thing uuid REFERENCES {table} (id) {rule})")
    before, made, gone = _case(world, job, table)
    world.upload()
    objects = world.objects()
    if "CASCADE" in rule or "NULL" in rule:
        made.expected["news"] = sorted(_after(row, gone, rule) for row in before["news"] if _stays(row, gone, rule))
        check_effect(world, made.module, made.options, before, made.expected, **made.facts)
        return
    _check_refused(world, made.module, made.options, "Table news, column thing ")
    assert world.objects() == objects


@pytest.mark.parametrize(("table", "column"), [("events", "room"), ("room_assets", "asset_id")])
@pytest.mark.parametrize("module", ["event_cleanup", "adhoc_event_cleanup", "room_cleanup", "user_cleanup"])
def test_what_several_rows_may_share_is_not_deleted(
    open_world: Callable[..., World], module: str, table: str, column: str
) -> None:
    """Without a unique key, a room may have several events and an asset several rooms, and some of these may stay."""
    world = open_world()
    world.query(f"ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_key")
    for seed in itertools.count(SEED):
        Tangle(world.connection, seed, users=10, rooms=15)
        shared = [row[column] for row in parsed(world.rows())[table]]
        if len(set(shared)) < len(shared):
            break
    _check_refused(world, module, {}, f"Table {table}, column {column} ")


def _check_refused(world: World, module: str, options: dict[str, Any], message: str) -> None:
    before = world.rows()
    for mode in (True, False):
        result = world.run(module, check_mode=mode, **options)
        assert result["failed"] and message in result["msg"]
        assert not result["changed"]
    assert world.rows() == before
    assert world.proxy.requests == []


def _case(world: World, job: str, table: str) -> tuple[Snapshot, Case, set[str]]:
    """A tangled database, and a run of the job that deletes rows of the table to which rows of `news` refer."""
    for seed in itertools.count(SEED):
        tangle = Tangle(world.connection, seed, users=10, rooms=15)
        world.freeze(tangle.now)
        before = world.rows()
        made = case(job, tangle.random, before, tangle.now)
        gone = _ids(before, table) - _ids(made.expected, table)
        if any(row["thing"] in gone for row in parsed(before)["news"]):
            print(f"{SEED_VARIABLE}={seed}")
            return before, made, gone
    raise AssertionError


def _ids(rows: Snapshot, table: str) -> set[str]:
    return {row["id"] for row in parsed(rows)[table]}


def _stays(row: str, gone: set[str], rule: str) -> bool:
    return "CASCADE" not in rule or json.loads(row)["thing"] not in gone


def _after(row: str, gone: set[str], rule: str) -> str:
    content = json.loads(row)
    return json.dumps({**content, "thing": None}) if content["thing"] in gone else row
