# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of a job at a time, across all hosts that share the database.

Session-level advisory locks: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from __future__ import annotations

import contextlib
import zlib

from ..base.errors import MaintenanceError
from ..systems.database import Database

_NAMESPACE = "opentalk.maintenance"


def acquire(database: Database, job_type: str) -> bool:
    """Take the job's lock until the session ends.

    :returns: False when another run holds it
    """
    return database.row("SELECT pg_try_advisory_lock(%(space)s, %(job)s)", _key(job_type))[0]


def release(database: Database) -> None:
    """Release the lock before the session ends, because the server may notice that end late."""
    with contextlib.suppress(MaintenanceError):
        database.row("SELECT pg_advisory_unlock_all()")


def is_free(database: Database, job_type: str) -> bool:
    """Whether no run of the job holds the lock. The lock is not taken, so a preview never makes a run skip."""
    # The columns of pg_locks for a lock with two keys: https://www.postgresql.org/docs/current/view-pg-locks.html
    return database.row(
        "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
        " AND classid = CAST(%(space)s AS int)::oid AND objid = CAST(%(job)s AS int)::oid"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
        _key(job_type),
    )[0]


def _key(job_type: str) -> dict[str, int]:
    return {"space": _number(_NAMESPACE), "job": _number(job_type)}


def _number(name: str) -> int:
    unsigned = zlib.crc32(name.encode())
    return unsigned - 2**32 if unsigned >= 2**31 else unsigned
