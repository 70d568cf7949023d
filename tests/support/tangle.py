# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tangled databases, in which everything may refer to everything: random rows in every table of any schema.

Tables, types, keys and checks come from the catalogue. `tangle_values` has the few columns whose values have a meaning.
"""

from __future__ import annotations

import json
import os
import random
import secrets
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg2
from psycopg2 import sql

from support.tables import Column, Table, read_tables
from support.tangle_values import RULES, Context, value

SEED_VARIABLE = "OPENTALK_TEST_SEED"
# The table of the controller's migrations.
UNTOUCHED = "refinery_schema_history"
# Tables whose number of rows is given, and the rounds in which the other tables are filled.
COUNTED = ("users", "rooms")
ROUNDS = 6

Row = dict[str, Any]
Rows = dict[str, list[Row]]


def first_seed() -> int:
    """The seed from the environment, or a new one."""
    named = os.environ.get(SEED_VARIABLE)
    return int(named) if named else secrets.randbelow(10**9)


class Tangle:
    """A tangled database.

    :ivar seed: with the same schema, the same seed makes the same database
    :ivar now: the moment around which the dates lie, UTC
    :ivar rows: the rows by table, each table after the tables to which it refers
    """

    def __init__(self, connection: Any, seed: int, *, users: int, rooms: int) -> None:
        """Fill a database and commit.

        :param connection: to a database with the controller's schema and without rows
        :param users: the number of users
        :param rooms: the number of rooms; other tables get at most as many rows, but permissions get more
        """
        self.seed = seed
        self.random = random.Random(seed)
        self.now = datetime(2025, 1, 1, tzinfo=timezone.utc) + timedelta(
            microseconds=self.random.randrange(3 * 365 * 86_400 * 10**6)
        )
        self.rows: Rows = {}
        self._connection = connection
        self._context = Context(self.random, self.now, self.rows)
        tables = [table for table in read_tables(connection) if table.name != UNTOUCHED]
        # Permissions contain ids from all other tables.
        tables.sort(key=lambda table: table.name == "casbin_rule")
        self._tables = {table.name: table for table in tables}
        sizes = {"users": users, "rooms": rooms, "events": rooms, "casbin_rule": 8 * rooms}
        self.clear(connection, (table.name for table in tables))
        with connection.cursor() as cursor:
            for table in tables:
                size = sizes.get(table.name) or self.random.randint(max(2, rooms // 3), rooms)
                self.rows[table.name] = self._fill(cursor, table, size)
        connection.commit()

    def write(self, tables: Iterable[str] | None = None) -> None:
        """Restore the rows of these tables in the database, or of all tables, and commit."""
        # All foreign keys of these rows are right. Without checking them again, this takes half the time.
        statements = [sql.SQL("SET LOCAL session_replication_role = replica")]
        for table in self.rows if tables is None else tables:
            name, rows = sql.Identifier("public", table), sql.Literal(json.dumps(self.rows[table]))
            statements.append(sql.SQL("DELETE FROM {}").format(name))
            statements.append(
                sql.SQL("INSERT INTO {0} SELECT * FROM jsonb_populate_recordset(NULL::{0}, {1})").format(name, rows)
            )
        with self._connection.cursor() as cursor:
            cursor.execute(sql.SQL(";").join(statements))
        self._connection.commit()

    def more(self, table: str, wanted: Callable[[Row], bool], tries: int = 500) -> Iterator[str]:
        """Insert further rows, each in a transaction of its own, and yield the texts of those that the database accepts.

        There may be further rows of other tables, too, to which they refer.

        :param wanted: says which rows to insert
        """
        for _unused in range(tries):
            row = self._further(table)
            references = [column for column in self._tables[table].columns if column.target]
            if references and self.random.random() < 0.2:
                # A row that has been there may allow no other to refer to it.
                column = self.random.choice(references)
                target, key = column.target or ("", "")
                for text in self._accepted(target, self._further(target)):
                    row[column.name] = json.loads(text)[key]
            if wanted(row):
                yield from self._accepted(table, row)

    def alike(self, table: str, text: str) -> list[str]:
        """Insert a row that is like this one, and return its text if the database accepts it.

        It has another id, and a permission allows another method.
        """
        row, further = json.loads(text), self._further(table)
        fresh = [column for column in ("id", "v2") if column in row]
        return self._accepted(table, {**row, **{column: further[column] for column in fresh}}) if fresh else []

    def _further(self, table: str) -> Row:
        return self._row(self._tables[table], 10**6 + self.random.randrange(10**6))

    def _accepted(self, table: str, row: Row) -> list[str]:
        with self._connection.cursor() as cursor:
            try:
                accepted = _insert(cursor, self._tables[table], [row])
            except psycopg2.IntegrityError:
                # It refers to a row that is gone.
                self._connection.rollback()
                return []
        self._connection.commit()
        return accepted

    def other_value(self, table: str) -> tuple[str, Any]:
        """A column of the table, and a value for it."""
        row = self._further(table)
        column = self.random.choice([column for column in self._tables[table].columns if column.name != "id"])
        value = row[column.name]
        return column.name, json.dumps(value) if isinstance(value, (dict, list)) and column.type == "jsonb" else value

    def references(self, table: str, row: Row) -> set[tuple[str, Any]]:
        """The rows to which a row refers: table and key of each."""
        columns = self._tables[table].columns
        return {(column.target[0], row[column.name]) for column in columns if column.target}

    def other_objects(self) -> list[tuple[str, int]]:
        """Keys and sizes of objects that belong to no asset. Some keys look like those of assets."""
        asset = self._context.pick("assets")["id"]
        keys = (f"assets/{asset}x", f"assets/{asset[:-1]}", f"x/{asset}", asset, f"assets/{self._context.identifier()}")
        return [(key, self.random.randint(0, 99)) for key in keys]

    @staticmethod
    def clear(connection: Any, tables: Iterable[str]) -> None:
        """Empty tables, which are given in the order of filling them. The transaction stays open."""
        statements = [sql.SQL("DELETE FROM {}").format(sql.Identifier("public", table)) for table in tables]
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(";").join(reversed(statements)))

    def _fill(self, cursor: Any, table: Table, size: int) -> list[Row]:
        filled: list[Row] = []
        self.rows[table.name] = filled
        # Rows that break a check or a unique key are left out, so several rounds are needed. Not every table can have the
        # wanted number of rows.
        for number in range(100 if table.name in COUNTED else ROUNDS):
            candidates = [self._row(table, number * size + place) for place in range(size - len(filled))]
            filled.extend(map(json.loads, _insert(cursor, table, candidates)))
            if len(filled) == size:
                break
        else:
            assert filled and table.name not in COUNTED, f"too few rows of table {table.name} were accepted"
        return filled

    def _row(self, table: Table, number: int) -> Row:
        row = {column.name: self._value(column, number) for column in table.columns}
        rule = RULES.get(table.name)
        if rule is not None:
            row.update({name: given for name, given in rule(self._context).items() if name in row})
        return row

    def _value(self, column: Column, number: int) -> Any:
        if column.numbered:
            return number + 1
        if not column.not_null and self.random.random() < 0.25:
            return None
        if column.target is None:
            return value(column, self._context)
        table, target = column.target
        found = self._context.pick(table)
        return found[target] if found else None


def _insert(cursor: Any, table: Table, rows: list[Row]) -> list[str]:
    """Insert those of the rows that keep to checks and unique keys, and return their texts."""
    if not rows:
        return []
    checks = map(sql.SQL, (check.replace("%", "%%") for check in table.checks))
    cursor.execute(
        sql.SQL(
            "INSERT INTO {0} AS made SELECT * FROM jsonb_populate_recordset(NULL::{0}, %s) WHERE {1}"
            " ON CONFLICT DO NOTHING RETURNING to_jsonb(made)::text"
        ).format(sql.Identifier("public", table.name), sql.SQL(" AND ").join([sql.SQL("true"), *checks])),
        (json.dumps(rows),),
    )
    return [row[0] for row in cursor.fetchall()]
