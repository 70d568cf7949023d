# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of a database, as text that can be kept, and the rows that came or were changed after one.

PostgreSQL puts the id of the transaction that wrote a row into its column ``xmin``. A lock, VACUUM, or a rewrite of the table
does not change it. See https://www.postgresql.org/docs/current/ddl-system-columns.html and
https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ..base.errors import DatabaseError, ParameterError
from .database import Composable, Database, sql

# A snapshot that is older than so many transactions is refused. xmin has the lower 32 bits of a transaction's id, so it says
# which transaction it was as long as fewer than 2**32 began since.
OLDEST = 2**31
# A statement may find rows of transactions that began after it did. So many are expected at most.
_LATER = 2**20
# So many transactions are looked at one by one. With more, all that were not finished before the oldest running one began count
# as later.
_MOST_SINGLE = 10**6
_TEXT = re.compile(r"([1-9]\d{0,18}):([1-9]\d{0,18}):((?:\d{1,19}(?:,\d{1,19})*)?)")
# A transaction of the snapshot's kind names no savepoints, and a row that was written after a savepoint has the savepoint's id.
# So all ids are asked for, and not only those that PostgreSQL's snapshot lists.
_TAKE = f"""
SELECT lower_bound, upper_bound, ARRAY(
    SELECT id FROM generate_series(lower_bound, upper_bound - 1) id
    WHERE upper_bound - lower_bound <= {_MOST_SINGLE} AND pg_xact_status(id::text::xid8) = 'in progress'
)
FROM (SELECT pg_snapshot_xmin(taken)::text::bigint AS lower_bound, pg_snapshot_xmax(taken)::text::bigint AS upper_bound
    FROM pg_current_snapshot() taken) bounds
"""
_NEXT = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"


class Snapshot(NamedTuple):
    """What was committed in a database at some moment.

    :ivar database: tells this database from others, and from what it becomes after a restore
    :ivar text: a value of PostgreSQL's type ``pg_snapshot``; savepoints that were running count as transactions
    """

    database: str
    text: str


def take(database: Database) -> Snapshot | None:
    """The snapshot of this moment. A query must begin later to see all that the snapshot has.

    :param database: outside of a transaction
    :returns: None on a standby server, which does not know the ids of running transactions
    :raises DatabaseError: a query failed
    """
    if database.row("SELECT pg_is_in_recovery()")[0]:
        return None
    lower, upper, running = database.row(_TAKE)
    if upper - lower > _MOST_SINGLE:
        upper = lower
    return Snapshot(_identity(database), f"{lower}:{upper}:{','.join(map(str, running))}")


def check(database: Database, snapshot: Snapshot) -> None:
    """Check that the snapshot is one of this database.

    :param database: outside of a transaction
    :raises ParameterError: it is another database's, or too old, or no snapshot
    """
    match = _TEXT.fullmatch(snapshot.text)
    if match is None:
        raise ParameterError(
            "The option approved_plan has no snapshot of PostgreSQL; set it to the approval that check mode returns, unchanged."
        )
    lower, upper = int(match[1]), int(match[2])
    running = [int(number) for number in match[3].split(",") if number]
    if running != sorted(set(running)) or not all(lower <= number < upper for number in running) or lower > upper:
        raise ParameterError(
            "The option approved_plan has a snapshot that PostgreSQL does not make; set it to the approval that check mode"
            " returns, unchanged."
        )
    (following,) = database.row(f"SELECT {_NEXT}")
    if snapshot.database != _identity(database) or upper > following:
        raise ParameterError(
            "The option approved_plan is from another database, or from a time before this one was restored; look at a new"
            " preview on this database."
        )
    if following - lower > OLDEST:
        raise ParameterError(
            f"The option approved_plan is older than {OLDEST:,} transactions, so it cannot be told which rows came since;"
            " look at a new preview."
        )


class Visibility:
    """Tells the rows that a snapshot has from those that came or were changed since, except by the run itself.

    :param snapshot: checked
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._text = snapshot.text
        self._lower = int(snapshot.text.split(":")[0])
        self._own: set[int] = set()

    def add_own(self, transactions: Iterable[int]) -> None:
        """Take the rows of these transactions, by their xmin, for rows of the snapshot."""
        self._own.update(transactions)

    def is_later(self) -> Composable:
        """The SQL condition for a row that came or was changed after the snapshot. It speaks of the column xmin."""
        # The distance to the oldest transaction that was running counts modulo 2**32. Rows of older transactions are far
        # away. So are rows whose transaction is so old that PostgreSQL no longer minds its id, except by chance; a root of
        # these stays without need. Ids below 3 are no transactions.
        distance = sql.SQL("((xmin::text::bigint - {}) & 4294967295)").format(sql.Literal(self._lower))
        parts = [
            sql.SQL("xmin::text::bigint > 2"),
            sql.SQL(f"{{}} <= (SELECT {_NEXT}) - {{}} + {_LATER}").format(distance, sql.Literal(self._lower)),
            sql.SQL("NOT pg_visible_in_snapshot(({} + {})::text::xid8, {}::pg_snapshot)").format(
                sql.Literal(self._lower), distance, sql.Literal(self._text)
            ),
        ]
        if self._own:
            own = "{" + ",".join(map(str, sorted(self._own))) + "}"
            parts.append(sql.SQL("xmin::text::bigint <> ALL ({}::bigint[])").format(sql.Literal(own)))
        return sql.SQL("({})").format(sql.SQL(" AND ").join(parts))


def _identity(database: Database) -> str:
    """The database, and the time line of its server, which is another one after a restore and on a standby server that took
    over."""
    identity = [database.row("SELECT oid::text FROM pg_database WHERE datname = current_database()")[0]]
    for query in (
        "SELECT system_identifier::text FROM pg_control_system()",
        "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)",
    ):
        try:
            identity.append(database.row(query)[0])
        except DatabaseError:
            # Some providers of databases do not allow it.
            identity.append("unknown")
    return "/".join(identity)
