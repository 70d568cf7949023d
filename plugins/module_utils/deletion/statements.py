# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The statements that delete a closure's rows, and the one statement that is made of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ..base.errors import RowsRefusedError
from ..systems.database import Composable, Database, sql
from . import permissions, policy
from .catalogue import Table
from .closure import Closure
from .counting import count_rows
from .graph import Change
from .keys import Sql


class RowCounts(NamedTuple):
    """The numbers of deleted and of updated rows by table."""

    deleted: dict[str, int]
    updated: dict[str, int]


def delete_rows(database: Database, closure: Closure, doubtful: Collection[Table] = ()) -> RowCounts:
    """Delete the rows, and change the references of rows that stay.

    One statement does all of it. PostgreSQL checks foreign keys at its end, so the order of the tables does not matter.
    The statement itself deletes every row, so that it counts rows that a cascade would delete without a count.

    :param closure: made with ``lock=True`` in the current transaction
    :param doubtful: tables with triggers that may keep rows as they are
    :raises RowsRefusedError: PostgreSQL refused it, or deleted or updated fewer rows of a table than there are
    :raises DatabaseError: another error
    """
    deletes, updates = deletions(closure), changes(closure)
    if not deletes:
        return RowCounts({}, {})
    expected = {table: closure.sets[table].count for table in deletes if table in closure.sets}
    for table in deletes.keys() & doubtful - expected.keys():
        expected[table] = count_rows(database, table, deletes[table].condition)
    changing = {table: count_rows(database, table, updates[table].condition) for table in updates.keys() & doubtful}
    counts = iter(database.row(_as_one([step.statement for step in (*deletes.values(), *updates.values())])))
    deleted = {table: next(counts) for table in deletes}
    updated = {table: next(counts) for table in updates}
    _compare(expected, deleted, "deleted")
    _compare(changing, updated, "changed")
    return RowCounts(*({table.label: count for table, count in done.items()} for done in (deleted, updated)))


def kept_by_trigger(table: str, rows: str = "a row from being changed") -> RowsRefusedError:
    """The error to raise when a statement succeeded, and rows are still as they were.

    :param table: its label
    """
    cause = f"a trigger of table {table} keeps {rows}"
    return RowsRefusedError(f"Nothing of a batch was done, because {cause}; change or drop the trigger.", cause)


class Step(NamedTuple):
    """A statement about the rows of one table that meet a condition."""

    condition: Composable
    statement: Composable


def deletions(closure: Closure) -> dict[Table, Step]:
    """The statements that delete the closure's rows, each for one table."""
    graph = closure.graph
    conditions = {table: closure.condition(table) for table in graph.tables if closure.concerns(table)}
    if conditions and graph.catalogue.has(policy.PERMISSIONS):
        conditions[graph.catalogue.table(policy.PERMISSIONS)] = permissions.condition(closure)
    return {table: Step(condition, _delete(table, condition)) for table, condition in conditions.items()}


def changes(closure: Closure) -> dict[Table, Step]:
    """The statements that change the references of rows that stay, each for one table."""
    return {
        table: Step(closure.change_condition(table, found), _update(table, closure, found))
        for table, found in closure.changes().items()
    }


def delete_permissions(database: Database, closure: Closure, doubtful: Collection[Table] = ()) -> RowCounts:
    """Delete only the permission rows of the closure's rows; parameters and errors are those of :func:`delete_rows`."""
    table, condition = closure.graph.catalogue.table(policy.PERMISSIONS), permissions.condition(closure)
    expected = count_rows(database, table, condition) if table in doubtful else 0
    deleted = database.execute(_delete(table, condition))
    _compare({table: expected}, {table: deleted}, "deleted")
    return RowCounts({table.label: deleted}, {})


def _compare(expected: dict[Table, int], counts: dict[Table, int], what: str) -> None:
    for table, number in expected.items():
        if counts[table] < number:
            raise kept_by_trigger(table.label, f"{number - counts[table]} of {number} rows from being {what}")


def _as_one(statements: list[Composable]) -> Composable:
    """One statement that gives the number of rows of each of these."""
    names = [sql.Identifier(f"step_{number}") for number in range(len(statements))]
    return sql.SQL("WITH {} SELECT {}").format(
        sql.SQL(", ").join(
            sql.SQL("{} AS ({} RETURNING 1)").format(name, statement)
            for name, statement in zip(names, statements, strict=True)
        ),
        sql.SQL(", ").join(sql.SQL("(SELECT count(*) FROM {})").format(name) for name in names),
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
