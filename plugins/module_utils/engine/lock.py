# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of a job at a time, across all hosts that share the database.

Session-level advisory locks: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..systems.database import Database

_NAMESPACE = "opentalk.maintenance"


def acquire(database: Database, job_type: str) -> bool:
    """Take the job's lock until the session ends.

    :returns: False when another run holds it
    """
    return database.row("SELECT pg_try_advisory_lock(%(space)s, %(job)s)", _key(job_type))[0]


def is_free(database: Database, job_type: str) -> bool:
    """Whether no run of the job holds the lock; does not keep it, so that a preview never makes a run skip."""
    key = _key(job_type)
    if not database.row("SELECT pg_try_advisory_lock_shared(%(space)s, %(job)s)", key)[0]:
        return False
    database.row("SELECT pg_advisory_unlock_shared(%(space)s, %(job)s)", key)
    return True


def _key(job_type: str) -> dict[str, int]:
    return {"space": _number(_NAMESPACE), "job": _number(job_type)}


def _number(name: str) -> int:
    unsigned = zlib.crc32(name.encode())
    return unsigned - 2**32 if unsigned >= 2**31 else unsigned
