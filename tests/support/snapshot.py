# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole content of a database, for comparison."""

from __future__ import annotations

import functools
import json
from collections import Counter
from typing import Any

Snapshot = dict[str, list[str]]

# The same rows are parsed many times.
_parse = functools.lru_cache(maxsize=20_000)(json.loads)
# The names of all tables, and a query of all their rows.
_TABLES = """
    SELECT array_agg(relname::text),
           string_agg(format('SELECT %L, to_jsonb(t)::text FROM %I.%I t', relname, nspname, relname), ' UNION ALL ')
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND nspname NOT IN ('pg_catalog', 'information_schema')
"""


def snapshot(connection: Any) -> Snapshot:
    """All rows as sorted texts by table. It ends the connection's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        tables, query = cursor.fetchone()
        content: Snapshot = {table: [] for table in tables}
        cursor.execute(query)
        for table, row in cursor:
            content[table].append(row)
    connection.rollback()
    return {table: sorted(rows) for table, rows in content.items()}


def parsed(rows: Snapshot) -> dict[str, list[dict[str, Any]]]:
    """The rows as mappings from their columns, in the same order. The caller must not change them."""
    return {table: [_parse(row) for row in values] for table, values in rows.items()}


def removed(before: Snapshot, after: Snapshot) -> Snapshot:
    """The rows that are gone, by table, without tables that have none."""
    gone = {
        table: list((Counter(rows) - Counter(after[table])).elements())
        for table, rows in before.items()
        if rows != after[table]  # most tables of most comparisons are the same
    }
    return {table: rows for table, rows in gone.items() if rows}


def added(before: Snapshot, after: Snapshot) -> Snapshot:
    """The rows that are new, by table, without tables that have none."""
    return removed(before=after, after=before)


def counts(rows: Snapshot) -> dict[str, int]:
    """The number of rows by table."""
    return {table: len(values) for table, values in rows.items()}


def deleted(before: Snapshot, after: Snapshot) -> dict[str, int]:
    """The number of deleted rows by table, without changed rows. It is right only if no row was inserted."""
    changed = counts(added(before, after))
    gone = {table: number - changed.get(table, 0) for table, number in counts(removed(before, after)).items()}
    return {table: number for table, number in gone.items() if number}
