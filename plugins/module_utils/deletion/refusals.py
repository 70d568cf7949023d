# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds the table whose rows PostgreSQL refuses to delete or to change."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator

from ..base.errors import RowsRefusedError
from ..systems.database import Database
from .catalogue import Catalogue, Table
from .closure import Closure
from .counting import count_rows
from .statements import Step, changes, deletions, kept_by_trigger

# https://www.postgresql.org/docs/current/errcodes-appendix.html
FOREIGN_KEY_VIOLATION = "23503"


# Takes back what the block of :func:`explained` did; the locks from before it stay.
TAKE_BACK = "ROLLBACK TO SAVEPOINT rows"


@contextlib.contextmanager
def explained(
    database: Database, closure: Closure, *, alone: bool, tables: Collection[Table] | None = None
) -> Iterator[None]:
    """Delete a closure's rows in the block. If PostgreSQL refuses that, the cause of the error gets the name of the table.

    :param alone: whether the closure has a single root; the table is looked for only then
    :param tables: the tables that lose rows; None for all of the closure
    :raises RowsRefusedError: from the block
    """
    database.execute("SAVEPOINT rows")
    try:
        yield
    except RowsRefusedError as error:
        if not (alone and error.code):
            raise
        database.execute(TAKE_BACK)
        raise _located(error, database, closure, tables) from None


def _located(
    error: RowsRefusedError, database: Database, closure: Closure, tables: Collection[Table] | None
) -> RowsRefusedError:
    """The error with the name of the table, or a better one. It does the steps of the deletion one after the other."""
    steps = [step for step in deletions(closure).items() if tables is None or step[0] in tables]
    updates = [] if tables is not None else list(changes(closure).items())
    for table, step in [*updates, *_ordered(closure.graph.catalogue, steps)]:
        expected = count_rows(database, table, step.condition)
        try:
            done = database.execute(step.statement)
        except RowsRefusedError as found:
            if found.code == FOREIGN_KEY_VIOLATION or f"table {table.label}" in error.cause:
                return error
            cause = f"{error.cause} in table {table.label}"
            return RowsRefusedError(str(error).replace(error.cause, cause), cause, error.code)
        if done < expected:
            return kept_by_trigger(table.label, f"{expected - done} of {expected} rows from being deleted or changed")
    return error


def _ordered(catalogue: Catalogue, steps: list[tuple[Table, Step]]) -> Iterator[tuple[Table, Step]]:
    """The steps in an order in which rows go before the rows to which they refer, so that no cascade does their work."""
    left = dict(steps)
    while left:
        free = (table for table in left if not any(other in left for other in _referring(catalogue, table)))
        table = next(free, list(left)[0])
        yield table, left.pop(table)


def _referring(catalogue: Catalogue, table: Table) -> set[Table]:
    return {reference.table for reference in catalogue.referencing(table)} - {table}
