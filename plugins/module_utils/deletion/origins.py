# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way back from rows of a closure to the roots that they go with."""

from __future__ import annotations

from ..systems.database import Composable, Database, sql
from .catalogue import Table
from .closure import Closure
from .keys import KeySet, Sql, any_of, key_set


def roots_of(database: Database, closure: Closure, table_name: str, ids: list[str]) -> KeySet:
    """The roots that must stay so that these rows stay.

    :param table_name: one of the controller's tables
    :param ids: ids of rows of that table which the closure holds
    :returns: ids of rows of the closure's root table
    """
    graph, builder = closure.graph, Sql(closure.graph.catalogue)
    start = graph.catalogue.table(table_name)
    found = {table: KeySet(closure.sets[table].columns) for table in closure.sets}
    pending = {start: KeySet.of_ids(ids)}
    if start in found:
        condition = builder.within(start, ("id",), pending[start], ("id",))
        pending = {start: _keys(database, builder, closure, start, condition, found)}
    while pending:
        table, fresh = pending.popitem()
        for edge in graph.edges_to(table):
            key = graph.catalogue.primary_key(table) or fresh.columns
            condition = sql.SQL("({}) IN (SELECT {} FROM {} WHERE {})").format(
                sql.SQL(", ").join(map(sql.Identifier, edge.source_columns)),
                sql.SQL(", ").join(map(sql.Identifier, edge.target_columns)),
                Sql.name(table),
                builder.within(table, key, fresh, key),
            )
            new = _keys(database, builder, closure, edge.source, condition, found)
            if new:
                pending[edge.source] = pending[edge.source] + new if edge.source in pending else new
    return found[graph.root]


def _keys(
    database: Database,
    builder: Sql,
    closure: Closure,
    table: Table,
    condition: Composable,
    found: dict[Table, KeySet],
) -> KeySet:
    """Find rows of the closure that meet the condition, add them to ``found``, and return the new ones."""
    key = closure.graph.catalogue.primary_key(table) or closure.sets[table].columns
    query = builder.keys(
        table,
        found[table].columns,
        sql.SQL("{} AND {} AND ({}) IS NOT TRUE").format(
            condition, closure.condition(table), any_of([builder.within(table, key, found[table], key)])
        ),
        lock=False,
    )
    new = key_set(found[table].columns, database.row(query))
    found[table] = found[table] + new
    return new
