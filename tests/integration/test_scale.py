# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten thousand expired events among twenty thousand: the job needs constant memory, and few statements per batch."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import database_connection
from psycopg2 import extensions

from support.snapshot import counts, removed
from support.world import World

BATCH = 1000
EXPIRED = 10_000


def test_ten_thousand_events(open_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    world = open_world()
    world.fill(users=500, events=20_000, expired=EXPIRED, assets_every=0)
    # Without these, PostgreSQL's own foreign-key checks read whole tables for every row.
    for table, column in (
        ("invites", "room"), ("module_resources", "room_id"), ("room_streaming_targets", "room_id"),
        ("event_favorites", "event_id"),
    ):  # fmt: skip
        world.query(f"CREATE INDEX ON {table} ({column})")
    statements: list[str] = []
    original = database_connection.connect

    def connect(*arguments: Any) -> Any:
        connection = original(*arguments)

        class Counting(extensions.cursor):
            def execute(self, statement: Any, parameters: Any = None) -> Any:
                statements.append(statement if isinstance(statement, str) else "composed")
                return super().execute(statement, parameters)

        connection.cursor_factory = Counting
        return connection

    monkeypatch.setattr(database_connection, "connect", connect)
    before = world.rows()
    tracemalloc.start()
    run = world.run("event_cleanup", batch_size=BATCH, report_limit=10)
    _unused, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert run["done"]["events"]["count"] == EXPIRED
    gone = counts(removed(before, world.rows()))
    assert gone == run["plan"]["rows_deleted"] == run["done"]["rows_deleted"]
    assert gone["invites"] == 3 * EXPIRED
    batches = sum(statement.startswith("BEGIN ISOLATION LEVEL READ COMMITTED") for statement in statements)
    assert EXPIRED / BATCH <= batches
    # A constant for connection and plan, and for each batch as many statements whatever its size.
    assert len(statements) <= 60 + 30 * batches
    # A list of ten thousand ids takes a megabyte; thirty thousand invites would take ten as rows.
    assert peak < 12 * 2**20
