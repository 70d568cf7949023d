# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of a job at a time, across all hosts that share the database.

Session-level advisory locks: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from __future__ import annotations

import contextlib
import re
import socket
import zlib
from typing import NamedTuple

from ..base.errors import DatabaseError, MaintenanceError
from ..systems.database import Database

_NAMESPACE = "opentalk.maintenance"
# A second lock, whose number is the moment at which the first one was taken: the seconds since 2020, so that they fit. The
# session may be older than the run where a pooler is.
_SINCE = "opentalk.maintenance since"
_EPOCH = 1_577_836_800
# The columns of pg_locks for a lock with two keys: https://www.postgresql.org/docs/current/view-pg-locks.html
_HELD = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
    " AND classid = CAST(%(space)s AS int)::oid AND objid = CAST(%(job)s AS int)::oid"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
# Seconds that a run may hold the lock after its timeout, for a server that is slow to cancel.
_GRACE = 60
# Bytes that PostgreSQL keeps of the name of a session.
_NAME_BYTES = 63


class _Holder(NamedTuple):
    """The session that holds the lock. What PostgreSQL does not show to this user is None.

    :ivar since: the moment in UTC, such as 2026-11-27T16:30:00Z
    :ivar seconds: how long it holds the lock
    :ivar address: the IP address from which it is connected
    """

    pid: int
    since: str | None
    seconds: float | None
    address: str | None
    application_name: str


def session_name(job_type: str, timeout: float) -> str:
    """The name under which PostgreSQL shows the session of a run. It says what :func:`other_run` must know."""
    host = socket.gethostname().partition(".")[0].encode("ascii", "replace").decode()
    return f"{_NAMESPACE} {job_type} {timeout:.0f}s {host}"[:_NAME_BYTES].rstrip()


def acquire(database: Database, job_type: str) -> bool:
    """Take the job's lock until the session ends.

    :returns: False when another run holds it
    """
    return database.row(
        "SELECT CASE WHEN pg_try_advisory_lock(%(space)s, %(job)s) THEN pg_try_advisory_lock_shared(%(since)s,"
        " CAST(floor(extract(epoch FROM clock_timestamp())) - %(epoch)s AS int)) IS NOT NULL ELSE false END",
        {**_key(job_type), "since": _number(_SINCE), "epoch": _EPOCH},
    )[0]


def release(database: Database) -> None:
    """Release the lock before the session ends, because the server may notice that end late."""
    with contextlib.suppress(MaintenanceError):
        database.row("SELECT pg_advisory_unlock_all()")


def is_free(database: Database, job_type: str) -> bool:
    """Whether no run of the job holds the lock. The lock is not taken, so a preview never makes a run skip."""
    return database.row(f"SELECT NOT EXISTS ({_HELD})", _key(job_type))[0]


def other_run(database: Database, job_type: str, timeout: float) -> str:
    """What is known about the run that holds the lock, as a sentence.

    :param timeout: the timeout of this run in seconds, in case that of the other one is unknown
    :raises DatabaseError: the other run holds the lock for longer than its timeout allows
    """
    holder = _holder(database, job_type)
    if holder is None or holder.since is None or holder.seconds is None:
        return "Another run of this job is in progress, so this one is skipped"
    named = re.fullmatch(rf"{re.escape(_NAMESPACE)} {job_type} (\d+)s(?: (\S+))?", holder.application_name)
    if named:
        timeout = float(named[1])
    host, address = named[2] if named else None, f"({holder.address})" if holder.address else None
    where = " ".join(filter(None, ("host", host, address))) if host or address else "an unknown host"
    if holder.seconds > timeout + _GRACE:
        raise DatabaseError(
            f"Another run of this job holds its lock since {holder.since} from {where}, longer than its timeout of"
            f" {timeout:.0f} seconds allows; look at that host, and end the session with"
            f" SELECT pg_terminate_backend({holder.pid}) if it works on nothing."
        )
    return f"Another run of this job is in progress since {holder.since} from {where}, so this one is skipped"


def _holder(database: Database, job_type: str) -> _Holder | None:
    rows = database.rows(
        f"WITH held AS ({_HELD}), times AS (SELECT held.pid, coalesce((SELECT to_timestamp(max(objid::bigint) + %(epoch)s)"
        "  FROM pg_locks since WHERE since.pid = held.pid AND locktype = 'advisory' AND objsubid = 2"
        "  AND classid = CAST(%(since)s AS int)::oid), backend_start) AS since, client_addr, application_name"
        " FROM held LEFT JOIN pg_stat_activity USING (pid))"
        """ SELECT pid, to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),"""
        " CAST(extract(epoch FROM clock_timestamp() - since) AS float), host(client_addr), coalesce(application_name, '')"
        " FROM times",
        {**_key(job_type), "since": _number(_SINCE), "epoch": _EPOCH},
    )
    return _Holder(*rows[0]) if rows else None


def _key(job_type: str) -> dict[str, int]:
    return {"space": _number(_NAMESPACE), "job": _number(job_type)}


def _number(name: str) -> int:
    unsigned = zlib.crc32(name.encode())
    return unsigned - 2**32 if unsigned >= 2**31 else unsigned
