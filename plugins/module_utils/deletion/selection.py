# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running a job's selection: which rows of its table are chosen."""

from __future__ import annotations

from typing import Protocol

from ..systems.database import Composable, Database, sql
from .keys import KeySet, key_set


class Select(Protocol):
    """From None (all rows) or some rows to those among them that the job chooses."""

    def __call__(self, database: Database, within: KeySet | None) -> KeySet: ...


def select_keys(database: Database, columns: tuple[str, ...], query: Composable) -> KeySet:
    """The keys that a query gives, in its order.

    :param columns: the names of the query's columns
    """
    arrays = (sql.SQL("array_agg({})::text").format(sql.Identifier(column)) for column in columns)
    return key_set(
        columns, database.row(sql.SQL("SELECT count(*), {} FROM ({}) chosen").format(sql.SQL(", ").join(arrays), query))
    )
