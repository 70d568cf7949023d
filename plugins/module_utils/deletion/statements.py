# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The statements that delete a closure's rows, and the one statement that is made of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ..base.errors import LaterRowsError, RowsRefusedError
from ..systems.database import Composable, Database, sql
from ..systems.snapshots import Visibility
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


def delete_rows(
    database: Database, closure: Closure, doubtful: Collection[Table] = (), visibility: Visibility | None = None
) -> RowCounts:
    """Delete the rows, and change the references of rows that stay.

    One statement does all of it. PostgreSQL checks foreign keys at its end, so the order of the tables does not matter.
    The statement itself deletes every row, so that it counts rows that a cascade would delete without a count.

    :param closure: made with ``lock=True`` in the current transaction
    :param doubtful: tables with triggers that may keep rows as they are
    :param visibility: of the approved preview
    :raises RowsRefusedError: PostgreSQL refused it, or deleted or updated fewer rows of a table than there are
    :raises LaterRowsError: one of the rows is later than the preview
    :raises DatabaseError: another error
    """
    deletes, updates = deletions(closure), changes(closure)
    if not deletes:
        return RowCounts({}, {})
    expected = {table: closure.sets[table].count for table in deletes if table in closure.sets}
    for table in deletes.keys() & doubtful - expected.keys():
        expected[table] = count_rows(database, table, deletes[table].condition)
    changing = {table: count_rows(database, table, updates[table].condition) for table in updates.keys() & doubtful}
    if visibility:
        # A changed row says no longer who wrote it before.
        for table, step in updates.items():
            lock_approved(database, table, step.condition, visibility)
    found = database.row(_as_one([*deletes.values()], [*updates.values()], visibility))
    deleted = dict(zip(deletes, (count for count, _later in found[: len(deletes)]), strict=True))
    updated = dict(zip(updates, (count for count, *_transactions in found[len(deletes) :]), strict=True))
    if visibility:
        for table, (_count, later) in zip(deletes, found, strict=False):
            _refuse_later(table, later)
        for _count, *transactions in found[len(deletes) :]:
            visibility.add_own(transactions)
    _compare(expected, deleted, "deleted")
    _compare(changing, updated, "changed")
    return RowCounts(*({table.label: count for table, count in done.items()} for done in (deleted, updated)))


def kept_by_trigger(table: str, rows: str = "a row from being changed") -> RowsRefusedError:
    """The error to raise when a statement succeeded, and rows are still as they were.

    :param table: its label
    """
    cause = f"a trigger of table {table} keeps {rows}"
    return RowsRefusedError(f"Nothing of a batch was done, because {cause}; change or drop the trigger.", cause)


def came_later(table: Table) -> str:
    """Why a root stays with a row of the table that was not in the approved preview."""
    return f"a row of table {table.label} that would go or be changed with it came or was changed after the preview"


class Step(NamedTuple):
    """A statement about the rows of one table that meet a condition."""

    condition: Composable
    statement: Composable


class Returned(NamedTuple):
    """What a statement returns for each row, and the query for what is asked of all rows."""

    value: Composable
    query: str


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


def delete_permissions(
    database: Database, closure: Closure, doubtful: Collection[Table] = (), visibility: Visibility | None = None
) -> RowCounts:
    """Delete only the permission rows of the closure's rows; parameters and errors are those of :func:`delete_rows`."""
    table, condition = closure.graph.catalogue.table(policy.PERMISSIONS), permissions.condition(closure)
    expected = count_rows(database, table, condition) if table in doubtful else 0
    ((deleted, later),) = database.row(_as_one([Step(condition, _delete(table, condition))], [], visibility))
    _refuse_later(table, later)
    _compare({table: expected}, {table: deleted}, "deleted")
    return RowCounts({table.label: deleted}, {})


def lock_approved(database: Database, table: Table, condition: Composable, visibility: Visibility) -> None:
    """Lock the rows that meet a condition, before they are changed.

    :raises LaterRowsError: one of them came or was changed after the approved preview
    """
    query = sql.SQL("SELECT count(*) FILTER (WHERE {}) FROM (SELECT xmin FROM {} WHERE {} FOR UPDATE) locked")
    _refuse_later(table, database.row(query.format(visibility.is_later(), Sql.name(table), condition))[0])


def _compare(expected: dict[Table, int], counts: dict[Table, int], what: str) -> None:
    for table, number in expected.items():
        if counts[table] < number:
            raise kept_by_trigger(table.label, f"{number - counts[table]} of {number} rows from being {what}")


def _as_one(deletes: list[Step], updates: list[Step], visibility: Visibility | None) -> Composable:
    """One statement that does all of these.

    It gives an array for each. The array has the number of rows, then how many deleted rows are later than the approved
    preview, or the transactions of updated rows if there was a preview.
    """
    if visibility:
        deleted = Returned(visibility.is_later(), "SELECT ARRAY[count(*), count(*) FILTER (WHERE found)]")
        updated = Returned(sql.SQL("xmin::text::bigint"), "SELECT count(*) || array_agg(DISTINCT found)")
    else:
        deleted = Returned(sql.SQL("1"), "SELECT ARRAY[count(*), 0]")
        updated = Returned(sql.SQL("1"), "SELECT ARRAY[count(*)]")
    steps = [(step, deleted) for step in deletes] + [(step, updated) for step in updates]
    names = [sql.Identifier(f"step_{number}") for number in range(len(steps))]
    return sql.SQL("WITH {} SELECT {}").format(
        sql.SQL(", ").join(
            sql.SQL("{} AS ({} RETURNING {} AS found)").format(name, step.statement, returned.value)
            for name, (step, returned) in zip(names, steps, strict=True)
        ),
        sql.SQL(", ").join(
            sql.SQL("({} FROM {})").format(sql.SQL(returned.query), name)
            for name, (_step, returned) in zip(names, steps, strict=True)
        ),
    )


def _refuse_later(table: Table, later: int) -> None:
    if later:
        cause = came_later(table)
        raise LaterRowsError(f"Nothing of a batch was done, because {cause}; look at a new preview.", cause)


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
    for revision in {change.revision for change in changes if change.revision}:
        assignments.append(sql.SQL("{0} = {0} + 1").format(sql.Identifier(revision)))
    return sql.SQL("UPDATE {} SET {} WHERE {}").format(
        Sql.name(table), sql.SQL(", ").join(assignments), closure.change_condition(table, changes)
    )
