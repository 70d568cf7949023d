# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one statement that deletes a closure's rows."""

from __future__ import annotations

from ..systems.database import Composable, Database, sql
from . import permissions, policy
from .catalogue import Table
from .closure import Closure
from .graph import Change
from .keys import Sql


def delete_rows(database: Database, closure: Closure) -> tuple[dict[str, int], dict[str, int]]:
    """Delete the rows, and change the references of rows that stay.

    One statement does all of it. PostgreSQL checks foreign keys at its end, so the order of the tables does not matter.
    The statement itself deletes every row, so that it counts rows that a cascade would delete without a count.

    :param closure: made with ``lock=True`` in the current transaction
    :returns: the numbers of deleted and of updated rows by table
    :raises DatabaseError: PostgreSQL refused it
    """
    deletes = [
        (table.label, _delete(table, closure.condition(table)))
        for table in closure.graph.tables
        if closure.concerns(table)
    ]
    if not deletes:
        return {}, {}
    if closure.graph.catalogue.has(policy.PERMISSIONS):
        table = closure.graph.catalogue.table(policy.PERMISSIONS)
        deletes.append((table.label, _delete(table, permissions.condition(closure))))
    updates = [(table.label, _update(table, closure, changes)) for table, changes in closure.changes().items()]
    counts = iter(_run(database, [statement for _label, statement in deletes + updates]))
    return {label: next(counts) for label, _unused in deletes}, {label: next(counts) for label, _unused in updates}


def delete_permissions(database: Database, closure: Closure) -> int:
    """Delete only the permission rows of the closure's rows.

    :returns: their number
    """
    return database.execute(_delete(closure.graph.catalogue.table(policy.PERMISSIONS), permissions.condition(closure)))


def _run(database: Database, statements: list[Composable]) -> tuple[int, ...]:
    names = [sql.Identifier(f"step_{number}") for number in range(len(statements))]
    return database.row(
        sql.SQL("WITH {} SELECT {}").format(
            sql.SQL(", ").join(
                sql.SQL("{} AS ({} RETURNING 1)").format(name, statement)
                for name, statement in zip(names, statements, strict=True)
            ),
            sql.SQL(", ").join(sql.SQL("(SELECT count(*) FROM {})").format(name) for name in names),
        )
    )


def _delete(table: Table, condition: Composable) -> Composable:
    return sql.SQL("DELETE FROM {} WHERE {}").format(Sql.name(table), condition)


def _update(table: Table, closure: Closure, changes: list[Change]) -> Composable:
    values: dict[str, list[Composable]] = {}
    for change in changes:
        replacement = sql.SQL("NULL") if change.replacement is None else sql.Identifier(change.replacement)
        for column in change.reference.reset_columns:
            values.setdefault(column, []).append(sql.SQL("WHEN {} THEN {}").format(closure.refers(change), replacement))
    assignments = [
        sql.SQL("{0} = CASE {1} ELSE {0} END").format(sql.Identifier(column), sql.SQL(" ").join(cases))
        for column, cases in values.items()
    ]
    return sql.SQL("UPDATE {} SET {} WHERE {}").format(
        Sql.name(table), sql.SQL(", ").join(assignments), closure.change_condition(table, changes)
    )
