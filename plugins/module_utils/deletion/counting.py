# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The numbers of rows that a closure deletes and changes, counted without reading the rows."""

from __future__ import annotations

from collections import defaultdict

from ..systems.database import Composable, Database, sql
from . import permissions, policy
from .catalogue import Table
from .closure import Closure
from .keys import Sql


def deleted(database: Database, closure: Closure) -> dict[str, int]:
    """The number of rows of each table that go, permission rows included.

    :param database: a session that sees the same rows as the session of the closure
    :raises DatabaseError: a query failed
    """
    catalogue = closure.graph.catalogue
    found = {table.label: keys.count for table, keys in closure.sets.items()}
    shared: dict[tuple[str, str], list[tuple[Table, str]]] = defaultdict(list)
    for table in closure.graph.tables:
        if table in closure.sets:
            continue
        edges = closure.edges_to(table)
        if len(edges) == 1 and len(edges[0].target_columns) == 1:
            (edge,), (column,) = edges, edges[0].target_columns
            keys = closure.sets[edge.source]
            literal = keys.literals[keys.columns.index(edge.source_columns[0])]
            shared[literal, catalogue.type_of(table, column)].append((table, column))
        else:
            found[table.label] = count_rows(database, table, closure.condition(table))
    for (literal, type_name), columns in shared.items():
        found.update(_count_among(database, literal, type_name, columns))
    if catalogue.has(policy.PERMISSIONS):
        table = catalogue.table(policy.PERMISSIONS)
        found[table.label] = count_rows(database, table, permissions.condition(closure))
    return found


def updated(database: Database, closure: Closure) -> dict[str, int]:
    """The number of rows of each table that stay and lose a reference; the rest is as in :func:`deleted`."""
    return {
        table.label: count_rows(database, table, closure.change_condition(table, changes))
        for table, changes in closure.changes().items()
    }


def count_rows(database: Database, table: Table, condition: Composable) -> int:
    """The number of rows of a table that meet a condition."""
    return database.row(sql.SQL("SELECT count(*) FROM {} WHERE {}").format(Sql.name(table), condition))[0]


def _count_among(database: Database, literal: str, type_name: str, columns: list[tuple[Table, str]]) -> dict[str, int]:
    """Count the rows of several tables by the same keys in one query, so that the server hashes the keys only once."""
    rows = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {} AS place, {} AS key FROM {}").format(
            sql.Literal(place), sql.Identifier(column), Sql.name(table)
        )
        for place, (table, column) in enumerate(columns)
    )
    query = sql.SQL(
        "SELECT place, count(*) FROM ({}) referring WHERE key IN (SELECT unnest({}::{}[])) GROUP BY place"
    ).format(rows, sql.Literal(literal), sql.SQL(type_name))
    counts = dict(database.rows(query))
    return {table.label: counts.get(place, 0) for place, (table, _unused) in enumerate(columns)}
