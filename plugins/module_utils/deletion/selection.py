# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The selection of a job: the rows of its table that it chooses."""

from __future__ import annotations

from typing import Protocol

from ..systems.database import Composable, Database, sql
from .keys import KeySet, key_set


class Select(Protocol):
    """Takes some rows, or None for all rows, and gives those among them that the job chooses."""

    def __call__(self, database: Database, within: KeySet | None) -> KeySet: ...


def select_keys(database: Database, columns: tuple[str, ...], query: Composable) -> KeySet:
    """The keys that a query gives, in the order of the query.

    :param columns: the names of the query's columns
    """
    arrays = (sql.SQL("array_agg({})::text").format(sql.Identifier(column)) for column in columns)
    return key_set(
        columns, database.row(sql.SQL("SELECT count(*), {} FROM ({}) chosen").format(sql.SQL(", ").join(arrays), query))
    )
