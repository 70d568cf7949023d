# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a session is the job's own, or a pooler such as PgBouncer gives its server connection to others meanwhile.

Settings, cursors and locks of a session stay on the server connection. So nothing is set before this is known, and the
transactions here leave nothing. How PgBouncer pools: https://www.pgbouncer.org/features.html
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from . import database_connection
from .database_connection import CONNECT_TIMEOUT, Connection, Expired
from .database_errors import sqlstate

try:
    import psycopg2
except ImportError:
    psycopg2 = None  # type: ignore[assignment]

# Second connections that are tried, and how often each tries to get the server connection of the first one.
CONNECTIONS = 3
ROUNDS = 3
# Seconds that a second connection may wait for a server connection while the first one stays idle, and after the first one
# got an answer.
PATIENCE = 3.0
_AFTERWARDS = 0.5

# The server connection behind a session. The number of a process may come twice where there are several servers.
_IDENTITY = "SELECT pg_backend_pid() || ' ' || pg_postmaster_start_time()"
# A limit of the role is meant for the controller.
_BEGIN = f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0; {_IDENTITY}"
# PgBouncer ends a connection with this SQLSTATE when a transaction begins in statement mode.
_PROTOCOL_VIOLATION = "08P01"


class Shared(Exception):
    """A pooler shares the server connection between sessions."""


def is_between(connection: Connection, again: Callable[[], Connection]) -> bool:
    """Whether a pooler is between the job and the server. If so, it leaves a session to the job.

    :param again: makes one more asynchronous connection to the same server
    :raises Shared: the session is not the job's own
    :raises Expired: the server does not answer
    :raises psycopg2.Error: a statement failed
    """
    # A pooler cannot tell the client the number of a process that it does not know yet, so it makes one up.
    if _ask(connection, "SELECT pg_backend_pid()") == connection.info.backend_pid:
        return False
    try:
        own = _ask(connection, _BEGIN)
    except psycopg2.Error as error:
        if (error.pgcode or sqlstate(str(error))) == _PROTOCOL_VIOLATION:
            raise Shared from None
        raise
    _ask(connection, "COMMIT")
    for _connection in range(CONNECTIONS):
        with contextlib.closing(again()) as other:
            verdict = _compare(connection, own, other)
            # PgBouncer closes a server connection that a client leaves in a transaction.
            with contextlib.suppress(Expired, psycopg2.Error):
                _Question(other, "ROLLBACK").finish()
        if verdict is not None:
            if verdict:
                return True
            raise Shared
    return True


def _compare(connection: Connection, own: Any, other: Connection) -> bool | None:
    """Whether the first session has its server connection for itself.

    :param own: the server connection that the first session had before
    :returns: None if the second connection did not find the contrary
    """
    for _round in range(ROUNDS):
        # The second one takes a server connection that is idle, often that of the first one, and keeps it meanwhile.
        asked = _Question(other, _BEGIN)
        is_answered = asked.wait(PATIENCE)
        if asked.answer == own or not _is_still(connection, own):
            return False
        if not is_answered and not asked.wait(_AFTERWARDS):
            # Those that wait for a server connection get one in their order. The first session did not have to wait.
            return True
        if asked.answer == own:
            return False
        _Question(other, "ROLLBACK").finish()
        # The other way round.
        if _ask(connection, _BEGIN) != own:
            return False
        asked = _Question(other, _BEGIN)
        if not asked.wait(PATIENCE):
            # It has a server connection already, if that is its own.
            return False
        _ask(connection, "ROLLBACK")
        _Question(other, "ROLLBACK").finish()
    return None


def _is_still(connection: Connection, own: Any) -> bool:
    """Whether the first session gets an answer, from the same server connection as before."""
    try:
        return bool(_ask(connection, _IDENTITY) == own)
    except Expired:
        # It had an answer before. It waits only if the others have taken all server connections.
        return False


def _ask(connection: Connection, statement: str) -> Any:
    with connection.limited(connection.deadline.bound(CONNECT_TIMEOUT)), connection.cursor() as cursor:
        cursor.execute(statement)
        return _value(cursor)


def _value(cursor: Any) -> Any:
    """The only value of an answer, if it has one."""
    return cursor.fetchone()[0] if cursor.description else None


class _Question:
    """A statement on an asynchronous connection.

    :ivar answer: the only value of the answer, if there is one
    """

    def __init__(self, connection: Connection, statement: str) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._cursor.execute(statement)
        self._is_answered = False
        self.answer: Any = None

    def wait(self, seconds: float) -> bool:
        """Wait for the answer, and return whether it is there.

        :raises psycopg2.Error: the statement failed
        """
        if self._is_answered:
            return True
        with contextlib.suppress(Expired), self._connection.limited(seconds):
            database_connection.wait(self._connection)
            self._is_answered = True
            self.answer = _value(self._cursor)
        return self._is_answered

    def finish(self) -> None:
        """Wait for an answer that must come.

        :raises Expired: it does not come
        """
        if not self.wait(CONNECT_TIMEOUT):
            raise Expired
