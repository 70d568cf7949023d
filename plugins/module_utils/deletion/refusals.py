# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds the table whose rows PostgreSQL refuses to delete or to change."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..base.errors import RowsRefusedError
from ..systems.database import Database
from .closure import Closure
from .statements import changes, deletions

# https://www.postgresql.org/docs/current/errcodes-appendix.html
FOREIGN_KEY_VIOLATION = "23503"


# Takes back what the block of :func:`explained` did; the locks from before it stay.
TAKE_BACK = "ROLLBACK TO SAVEPOINT rows"


@contextlib.contextmanager
def explained(database: Database, closure: Closure, *, alone: bool) -> Iterator[None]:
    """Delete a closure's rows in the block. If PostgreSQL refuses that, the cause of the error gets the name of the table.

    :param alone: whether the closure has a single root; the table is looked for only then
    :raises RowsRefusedError: from the block
    """
    database.execute("SAVEPOINT rows")
    try:
        yield
    except RowsRefusedError as error:
        if not alone:
            raise
        database.execute(TAKE_BACK)
        table = _refusing(database, closure)
        if table is None or f"table {table}" in error.cause:
            raise
        cause = f"{error.cause} in table {table}"
        raise RowsRefusedError(str(error).replace(error.cause, cause), cause, error.code) from None


def _refusing(database: Database, closure: Closure) -> str | None:
    steps = [*changes(closure).items(), *reversed(deletions(closure).items())]
    while steps:
        waiting = []
        for table, step in steps:
            database.execute("SAVEPOINT step")
            try:
                database.execute(step.statement)
            except RowsRefusedError as error:
                database.execute("ROLLBACK TO SAVEPOINT step")
                if error.code != FOREIGN_KEY_VIOLATION:
                    return table.label
                # Rows of another table, which refer to these, must go first.
                waiting.append((table, step))
        if len(waiting) == len(steps):
            return waiting[0][0].label
        steps = waiting
    return None
