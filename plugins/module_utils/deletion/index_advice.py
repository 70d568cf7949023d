# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Foreign keys that PostgreSQL would check without an index, and the indexes that are worth building for one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..systems.database import Database
from .catalogue import Reference, Table

# The names of temporary indexes begin with this.
PREFIX = "opentalk_maintenance_tmp_"

# Seconds per row of a sequential scan, and per row when an index is built. Both were measured with PostgreSQL 15; only
# their ratio matters.
_SCAN = 5e-8
_BUILD = 1e-6
# Seconds that building and dropping an index takes even for an empty table.
_BUILD_ANY = 0.1
# An index must save this many times what it costs.
_MARGIN = 2


@dataclass(frozen=True)
class ForeignKeyIndex:
    """An index on the columns of a foreign key."""

    table: Table
    columns: tuple[str, ...]

    @property
    def place(self) -> tuple[str, str]:
        """Schema and name of the table."""
        return self.table.schema, self.table.name

    def as_item(self) -> dict[str, Any]:
        """The index in a plan."""
        return {"table": self.table.label, "columns": list(self.columns)}


def worthwhile(
    database: Database, references: Iterable[Reference], deleted: Mapping[str, int]
) -> list[ForeignKeyIndex]:
    """The indexes that save more time than they cost.

    For every deleted row, PostgreSQL searches for rows that refer to it. If the foreign key has no index, each search
    reads the whole table.

    :param references: the foreign keys that refer to tables with deleted rows
    :param deleted: the number of rows that are deleted, by table
    """
    sizes = _sizes(database)
    indexed = _indexed(database)
    checks: dict[ForeignKeyIndex, int] = {}
    for reference in references:
        index = ForeignKeyIndex(reference.table, reference.columns)
        if index.place in sizes and not _covered(reference, indexed):
            checks[index] = checks.get(index, 0) + deleted.get(reference.target.label, 0)
    return [
        index
        for index, number in checks.items()
        if number * sizes[index.place] * _SCAN > _MARGIN * (_BUILD_ANY + sizes[index.place] * _BUILD)
    ]


def _covered(reference: Reference, indexed: set[tuple[str, str, str]]) -> bool:
    return any((reference.table.schema, reference.table.name, column) in indexed for column in reference.columns)


def _sizes(database: Database) -> dict[tuple[str, str], float]:
    """The estimated number of rows of each ordinary table: the planner's rows per page, times its pages now."""
    rows = database.rows(
        "SELECT n.nspname, c.relname, pg_relation_size(c.oid) / current_setting('block_size')::float8"
        "   * CASE WHEN c.relpages > 0 AND c.reltuples >= 0 THEN c.reltuples / c.relpages ELSE 50 END"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
    )
    return {(schema, table): size for schema, table, size in rows}


def _indexed(database: Database) -> set[tuple[str, str, str]]:
    """Schema, table and first column of every index that a foreign-key check can use."""
    rows = database.rows(
        "SELECT n.nspname, c.relname, a.attname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid"
        " JOIN pg_am m ON m.oid = x.relam JOIN pg_class c ON c.oid = i.indrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]"
        " WHERE i.indisvalid AND i.indpred IS NULL AND m.amname IN ('btree', 'hash')"
        # Another run drops its temporary indexes when it ends.
        " AND NOT starts_with(x.relname, %(prefix)s)",
        {"prefix": PREFIX},
    )
    return set(rows)
