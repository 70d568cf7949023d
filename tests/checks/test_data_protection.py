# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page about data protection knows every table, and its SQL statements erase what they say and no more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.builders import Builder
from support.collection import ROOT
from support.postgresql import PostgreSQLServer
from support.schemas import SCHEMAS

PAGE = (ROOT / "docs" / "data-protection.md").read_text()
SQL = [
    statement.strip()
    for block in re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for statement in block.split(";")
    if statement.strip()
]


@pytest.fixture(params=SCHEMAS)
def connection(postgresql: PostgreSQLServer, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A session in an empty database of each schema."""
    database = postgresql.database_for(request.param)
    connection = postgresql.connect(database)
    yield connection
    connection.close()
    postgresql.drop_database(database)


def _rows(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def _statement(beginning: str) -> str:
    (found,) = (statement for statement in SQL if statement.startswith(beginning))
    return found


def test_page_and_schemas_have_the_same_tables(postgresql: PostgreSQLServer) -> None:
    section = PAGE.partition("\n## Database\n")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    described = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    existing = set()
    for version in SCHEMAS:
        database = postgresql.database_for(version)
        connection = postgresql.connect(database)
        found = _rows(connection, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        existing |= {name for (name,) in found}
        connection.close()
        postgresql.drop_database(database)
    assert sorted(described) == sorted(existing)


def test_statements_that_look_work_on_every_schema(connection: Any) -> None:
    looks = [statement for statement in SQL if statement.startswith("SELECT")]
    assert len(looks) + sum(statement.startswith("DELETE") for statement in SQL) == len(SQL)
    connection.set_session(readonly=True)
    for statement in looks:
        assert _rows(connection, statement) == []


def test_only_old_assets_that_no_room_has_are_shown(connection: Any) -> None:
    build = Builder(connection)
    room = build.room(build.user())
    _kept, stray, young = build.assets(room, 3)
    _rows(connection, f"DELETE FROM room_assets WHERE asset_id IN ('{stray}', '{young}')")
    _rows(connection, f"UPDATE assets SET created_at = now() - interval '2 days' WHERE id <> '{young}'")
    assert [row[0] for row in _rows(connection, _statement("SELECT id, created_at, kind"))] == [stray]


def test_only_the_address_of_one_person_is_erased(connection: Any) -> None:
    build = Builder(connection)
    user = build.user(email="person@example.org", disabled_since="2026-01-01")
    owner = build.user()
    event = build.event(owner)
    for email in ("person@example.org", "other@example.org"):
        _rows(
            connection,
            f"INSERT INTO event_email_invites (event_id, email, created_by) VALUES ('{event}', '{email}', '{owner}')",
        )
    assert _rows(connection, _statement("SELECT u.id")) == [(user, event, "person@example.org")]
    _rows(connection, _statement("DELETE FROM event_email_invites"))
    assert _rows(connection, "SELECT email FROM event_email_invites") == [("other@example.org",)]


def test_only_old_log_lines_are_erased(connection: Any) -> None:
    _rows(
        connection,
        "INSERT INTO jobs (id, name, kind, parameters, timeout_secs, recurrence)"
        " VALUES (1, 'job', 'self_check', '{}', 1, '');"
        "INSERT INTO job_executions (id, job_id, started_at, job_status) VALUES (1, 1, now(), 'succeeded');"
        "INSERT INTO job_execution_logs (execution_id, logged_at, log_level, log_message)"
        " VALUES (1, now(), 'info', 'new'), (1, now() - interval '31 days', 'info', 'old')",
    )
    assert [(row[0], row[2]) for row in _rows(connection, _statement("SELECT e.id"))] == [(1, 2)]
    _rows(connection, _statement("DELETE FROM job_execution_logs"))
    assert _rows(connection, "SELECT log_message FROM job_execution_logs") == [("new",)]


def test_group_with_members_is_not_erased(connection: Any) -> None:
    build = Builder(connection)
    user, tenant = build.user(), build.tenant()
    groups = {}
    for name in ("members", "empty", "other"):
        ((groups[name],),) = _rows(
            connection,
            f"INSERT INTO groups (id, name, tenant_id) VALUES (gen_random_uuid(), '{name}', '{tenant}') RETURNING id::text",
        )
    _rows(connection, f"INSERT INTO user_groups (user_id, group_id) VALUES ('{user}', '{groups['members']}')")
    assert {row[1] for row in _rows(connection, _statement("SELECT id, name"))} == {"empty", "other"}
    for name in ("members", "empty"):
        _rows(connection, _statement("DELETE FROM groups").replace("GROUP", groups[name]))
    assert {row[0] for row in _rows(connection, "SELECT name FROM groups")} == {"members", "other"}
