# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way back from rows of a closure to the roots that they go with."""

from __future__ import annotations

from ..systems.database import Composable, Database, sql
from . import addresses
from .catalogue import Reference, Table
from .closure import Closure
from .keys import KeySet, Sql, any_of, key_set


def roots_of(database: Database, closure: Closure, table_name: str, ids: list[str]) -> KeySet:
    """The roots that must stay so that these rows stay.

    :param table_name: one of the controller's tables
    :param ids: ids of rows of that table which go
    :returns: ids of rows of the closure's root table
    """
    table = closure.graph.catalogue.table(table_name)
    condition = Sql(closure.graph.catalogue).within(table, ("id",), KeySet.of_ids(ids), ("id",))
    return roots_where(database, closure, table, condition)


def roots_where(database: Database, closure: Closure, table: Table, condition: Composable) -> KeySet:
    """The roots that must stay so that the rows of the table that meet the condition stay.

    :param condition: is true for rows that go, and perhaps for others if the closure holds the keys of the table
    :returns: ids of rows of the closure's root table
    """
    graph, builder = closure.graph, Sql(closure.graph.catalogue)
    found = {table: KeySet(closure.sets[table].columns) for table in closure.sets}
    pending = {table: condition}
    if table in found:
        start = _keys(database, builder, closure, table, condition, found)
        pending = {table: _among(builder, closure, table, start)} if start else {}
    while pending:
        table, condition = pending.popitem()
        for edge in graph.edges_to(table):
            if edge.by_address:
                leading = addresses.users_of(graph.catalogue, closure.freed_addresses, condition)
            else:
                leading = _referring(edge.source_columns, table, edge.target_columns, condition)
            new = _keys(database, builder, closure, edge.source, leading, found)
            if new:
                among = _among(builder, closure, edge.source, new)
                pending[edge.source] = any_of([pending[edge.source], among]) if edge.source in pending else among
    return found[graph.root]


def referred(reference: Reference, condition: Composable) -> Composable:
    """The SQL condition for rows to which rows refer that meet a condition."""
    return _referring(reference.target_columns, reference.table, reference.columns, condition)


def _referring(
    columns: tuple[str, ...], table: Table, its_columns: tuple[str, ...], condition: Composable
) -> Composable:
    """The SQL condition for rows whose columns have the values that a row of a table has which meets a condition."""
    return sql.SQL("({}) IN (SELECT {} FROM {} WHERE {})").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(map(sql.Identifier, its_columns)),
        Sql.name(table),
        condition,
    )


def _among(builder: Sql, closure: Closure, table: Table, keys: KeySet) -> Composable:
    columns = closure.graph.catalogue.primary_key(table) or keys.columns
    return builder.within(table, columns, keys, columns)


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
