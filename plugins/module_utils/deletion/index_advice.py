# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The indexes that are worth building for one run: on foreign keys, and on what a batch compares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..systems.database import Database
from . import addresses, permissions, policy
from .catalogue import Reference, Table
from .graph import DeletionGraph

# The names of temporary indexes begin with this.
PREFIX = "opentalk_maintenance_tmp_"

# Seconds per row of a sequential scan, and per row when an index is built. Both were measured with PostgreSQL 15; only
# their ratio matters.
_SCAN = 5e-8
_BUILD = 1e-6
# Seconds that building and dropping an index takes even for an empty table.
_BUILD_ANY = 0.1
# Seconds per row of a scan that computes an expression and compares it. This is careful: EXPLAIN ANALYZE showed 1.4e-6.
_SCAN_EXPRESSION = 5e-7
# Events, and users with all that they own, of a usual batch.
_EVENTS_PER_BATCH = 500
_USERS_PER_BATCH = 25
# An index must save this many times what it costs.
_MARGIN = 2


@dataclass(frozen=True)
class TemporaryIndex:
    """An index that a run builds for its own time.

    :ivar expression: the SQL expression of the columns to be indexed; None for the columns themselves
    """

    table: Table
    columns: tuple[str, ...]
    expression: str | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Schema and name of the table."""
        return self.table.schema, self.table.name

    def as_item(self) -> dict[str, Any]:
        """The index in a plan."""
        return {"table": self.table.label, "columns": list(self.columns)}


def worthwhile(database: Database, references: Iterable[Reference], deleted: Mapping[str, int]) -> list[TemporaryIndex]:
    """The indexes that save more time than they cost.

    For every deleted row, PostgreSQL searches for rows that refer to it. If the foreign key has no index, each search
    reads the whole table.

    :param references: the foreign keys that refer to tables with deleted rows
    :param deleted: the number of rows that are deleted, by table
    """
    sizes = _sizes(database)
    checks: dict[TemporaryIndex, int] = {}
    for reference in references:
        index = TemporaryIndex(reference.table, reference.columns)
        if index.place in sizes:
            checks[index] = checks.get(index, 0) + deleted.get(reference.target.label, 0)
    wanted = [
        index for index, number in checks.items() if _pays(number * sizes[index.place] * _SCAN, sizes[index.place])
    ]
    indexed = _indexed(database) if wanted else set()
    return [index for index in wanted if not any((*index.place, column) in indexed for column in index.columns)]


def for_batches(database: Database, graph: DeletionGraph, deleted: Mapping[str, int]) -> list[TemporaryIndex]:
    """The indexes on expressions that save more time than they cost.

    Without them each batch reads all permissions, and all addresses of users and of invitations.

    :param deleted: the number of rows that are deleted, by table
    """
    catalogue = graph.catalogue
    batches: dict[TemporaryIndex, float] = {}
    if catalogue.has(policy.PERMISSIONS):
        index = TemporaryIndex(catalogue.table(policy.PERMISSIONS), ("v1",), permissions.ID_IN_PATH)
        batches[index] = max(deleted.get("rooms", 0), deleted.get("events", 0)) / _EVENTS_PER_BATCH
    for edge in graph.edges:
        if edge.by_address:
            for table in (edge.source, edge.target):
                index = TemporaryIndex(table, ("email",), addresses.IN_LOWER_CASE)
                batches[index] = deleted.get(edge.source.label, 0) / _USERS_PER_BATCH
    sizes = _sizes(database) if any(batches.values()) else {}
    return [
        index
        for index, number in batches.items()
        if (size := sizes.get(index.place)) and _pays(number * size * _SCAN_EXPRESSION, size)
    ]


def _pays(seconds: float, rows: float) -> bool:
    """Whether an index that saves these seconds is worth building on a table with so many rows."""
    return seconds > _MARGIN * (_BUILD_ANY + rows * _BUILD)


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
