# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running a job's selection: which rows of its table are chosen."""

from __future__ import annotations

from typing import Any, Protocol

from ..systems.database import Database, sql
from .keys import KeySet, key_set


class Select(Protocol):
    """From None (all rows) or some rows to those among them that the job chooses."""

    def __call__(self, database: Database, within: KeySet | None) -> KeySet: ...


def select_ids(database: Database, query: Any) -> KeySet:
    """The ids that a query gives, in its order.

    :param query: a query with one column, ``id``
    """
    return key_set(
        ("id",), database.row(sql.SQL("SELECT count(*), array_agg(id)::text FROM ({}) chosen").format(query))
    )
