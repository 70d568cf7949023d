# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection to the controller's PostgreSQL database."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

from ..base import packages
from ..base.deadline import Deadline
from ..base.errors import ConnectionLostError, DatabaseError, DeadlineExceeded, MaintenanceError, MissingLibraryError
from .database_errors import lost_connection, not_writable, sqlstate, statement_failure
from .heartbeat import Heartbeat

PSYCOPG2_TRACEBACK = ""
try:
    import psycopg2
    from psycopg2 import sql
    from psycopg2.sql import Composable

    from . import connection_failures, database_connection, database_url, pooler
    from .database_connection import Expired
except ImportError:
    psycopg2 = sql = Composable = None  # type: ignore[assignment, misc]
    PSYCOPG2_TRACEBACK = traceback.format_exc()

# Rows that a stream fetches at once.
STREAM_ROWS = 10_000
# Milliseconds that a statement of a batch waits for a lock that somebody else holds. People wait for the batch's own locks
# meanwhile. PostgreSQL looks for a deadlock after a second, and ends the statement of whoever looked first; the job must have
# given way before.
LOCK_TIMEOUT = 300
# Milliseconds that a statement waits which only reads. Nobody waits for it, but a change of the schema may keep it from reading.
READ_LOCK_TIMEOUT = 2000
# Seconds that the server has to forget a session behind a pooler.
_FORGET = 5.0
# Seconds after which the server ends a session from which nothing comes, because the job or the network may be dead. The
# heartbeat sends something more often.
SILENCE = 25
# Seconds in which a heartbeat must be answered.
BEAT_TIMEOUT = 10.0


class Database:
    """One session, which is the job's own. Every wait in it ends with the job's deadline.

    :param url: libpq connection URI
    :param read_only: whether PostgreSQL itself refuses every write of this session
    :ivar is_pooled: whether a pooler is between the job and the server
    :raises DatabaseError: the server cannot be reached or refuses the connection, a pooler shares the session with others, or
        the server accepts no writes in a writing session
    """

    def __init__(self, url: str, *, deadline: Deadline, read_only: bool, application_name: str) -> None:
        if psycopg2 is None:
            raise MissingLibraryError("psycopg2", PSYCOPG2_TRACEBACK)
        # Such as "2.9.9 (dt dec pq3 ext lo64)".
        packages.check("psycopg2", psycopg2.__version__.partition(" ")[0])  # type: ignore[attr-defined]
        self._deadline = deadline
        self._url = database_url.parse(url)
        self._connection = database_connection.connect(self._url, deadline)
        self.is_pooled = False
        self._lost: str | None = None
        self._heartbeat = Heartbeat(self._beat)
        try:
            self.is_pooled = self._find_pooler()
            self._backend = self.row("SELECT pg_backend_pid()") if self.is_pooled else None
            self._set_up(application_name)
            if read_only:
                self.execute("SET default_transaction_read_only = on")
            elif self.row("SHOW transaction_read_only") == ("on",):
                # A batch would delete objects and shared folders before its first write to the database failed.
                raise not_writable()
        except BaseException:
            self.close()
            raise
        self._heartbeat.start()

    def execute(self, statement: str | Composable, parameters: dict[str, Any] | None = None) -> int:
        """Run a statement, and return the number of rows that it touched.

        :raises DatabaseError: PostgreSQL refused it
        :raises DeadlineExceeded: the deadline passed meanwhile
        """
        with self._cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.rowcount

    def rows(self, query: str | Composable, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of a query; the errors are those of :meth:`execute`."""
        with self._cursor() as cursor:
            cursor.execute(query, parameters)
            return cursor.fetchall()

    def row(self, query: str | Composable, parameters: dict[str, Any] | None = None) -> tuple[Any, ...]:
        """The only row of a query; the errors are those of :meth:`execute`."""
        (row,) = self.rows(query, parameters)
        return row

    def stream(self, query: Composable, parameters: dict[str, Any] | None = None) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, in constant memory. It needs a :meth:`transaction`, which may have one stream at a time."""
        self.execute(sql.SQL("DECLARE stream NO SCROLL CURSOR FOR {}").format(query), parameters)
        while rows := self.rows(f"FETCH {STREAM_ROWS} FROM stream"):
            yield from rows
        self.execute("CLOSE stream")

    def define(self, statement: str | Composable, *, lock_timeout: int) -> None:
        """Run a statement that changes the schema and cannot be part of a transaction.

        The errors are those of :meth:`execute`.

        :param lock_timeout: milliseconds that it waits for each lock
        """
        milliseconds = self._milliseconds()
        self.execute(f"SET statement_timeout = {milliseconds}; SET lock_timeout = {min(lock_timeout, milliseconds)}")
        try:
            self.execute(statement)
        finally:
            with contextlib.suppress(MaintenanceError):
                self.execute("SET lock_timeout = 0")

    @contextlib.contextmanager
    def transaction(self, *, snapshot: bool = False) -> Iterator[None]:
        """A transaction that is committed at the end of the block, or rolled back when it raises.

        :param snapshot: whether it is read-only and all statements see one snapshot; else each statement sees new commits
        """
        mode = "ISOLATION LEVEL REPEATABLE READ READ ONLY" if snapshot else "ISOLATION LEVEL READ COMMITTED"
        if not snapshot:
            # The plan has read the pages that a batch reads, so they are in memory. With the default, which is for rotating
            # disks, PostgreSQL would scan whole tables instead of using an index.
            # Constraints that may wait for the commit do not, because a batch deletes what is outside before that.
            mode += "; SET LOCAL random_page_cost = 1.1; SET CONSTRAINTS ALL IMMEDIATE"
        milliseconds = self._milliseconds()
        begin = (
            f"BEGIN {mode}; SET LOCAL statement_timeout = {milliseconds};"
            f" SET LOCAL lock_timeout = {min(READ_LOCK_TIMEOUT if snapshot else LOCK_TIMEOUT, milliseconds)}"
        )
        if self.is_pooled:
            if self.row(f"{begin}; SELECT pg_backend_pid()") != self._backend:
                self._roll_back()
                raise connection_failures.not_own_session(self._url, self._connection.host)
        else:
            self.execute(begin)
        try:
            yield
        except BaseException:
            self._roll_back()
            raise
        self._check_connection()
        try:
            self.execute("COMMIT")
        except (ConnectionLostError, DeadlineExceeded) as error:
            error.in_commit = True
            raise

    def close(self) -> None:
        self._heartbeat.stop()
        with contextlib.suppress(psycopg2.Error, Expired), self._heartbeat.paused():
            if self.is_pooled and not self._connection.closed:
                # The pooler may be set not to do this.
                with self._connection.limited(_FORGET), self._connection.cursor() as cursor:
                    cursor.execute("ROLLBACK")
                    cursor.execute("DISCARD ALL")
        with contextlib.suppress(psycopg2.Error):
            self._connection.close()

    def _find_pooler(self) -> bool:
        """Whether a pooler is there.

        :raises DatabaseError: it shares the session with others, or the server gives no session
        """

        def again() -> database_connection.Connection:
            return database_connection.connect_again(self._connection, self._url)

        try:
            return pooler.is_between(self._connection, again)
        except pooler.Shared:
            self._roll_back()
            raise connection_failures.not_own_session(self._url, self._connection.host) from None
        except Expired:
            self._deadline.check()
            raise self._connection_failure("did not answer in time") from None
        except psycopg2.Error as error:
            self._deadline.check()
            raise self._connection_failure(
                connection_failures.no_session(error.pgcode or sqlstate(str(error)))
            ) from None

    def _connection_failure(self, reason: str) -> DatabaseError:
        return connection_failures.connection_failure(self._url, [(self._connection.host, reason)])

    def _set_up(self, application_name: str) -> None:
        # Limits of the role or the database are meant for requests of the controller, not for jobs. The settings for TCP let
        # the server notice within 25 seconds that the network is dead.
        self.execute(
            "SET TIME ZONE 'UTC'; SET DateStyle = 'ISO'; SET client_min_messages = error;"
            f" SET statement_timeout = {self._milliseconds()}; SET lock_timeout = 0;"
            f" SET idle_in_transaction_session_timeout = '{SILENCE}s'; SET tcp_keepalives_idle = 10;"
            " SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET application_name = %(name)s",
            {"name": application_name},
        )
        # These exist since PostgreSQL 12, 14 and 17.
        self._set_where_known(tcp_user_timeout="25s", idle_session_timeout=f"{SILENCE}s", transaction_timeout="0")
        # With this one, the server releases the locks of a killed run within seconds. It exists since PostgreSQL 14, but not
        # on every platform.
        with contextlib.suppress(DatabaseError):
            self._set_where_known(client_connection_check_interval="2s")

    def _set_where_known(self, **values: str) -> None:
        self.rows(
            "SELECT set_config(name, value, false) FROM unnest(%(names)s, %(values)s) wanted (name, value)"
            " WHERE current_setting(name, true) IS NOT NULL",
            {"names": list(values), "values": list(values.values())},
        )

    def _beat(self) -> bool:
        """Let the server see that the job lives, and return whether the connection does."""
        try:
            with self._connection.limited(BEAT_TIMEOUT), self._connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except Expired:
            self._lost = str(lost_connection("the server did not answer"))
        except psycopg2.Error as error:
            # A transaction that has failed refuses the statement.
            if self._connection.closed:
                self._lost = str(statement_failure(error, lost=True))
        return not self._connection.closed

    def _check_connection(self) -> None:
        """:raises ConnectionLostError: a heartbeat found out that the connection is lost"""
        if self._lost:
            self._deadline.check()
            raise ConnectionLostError(self._lost)

    def _milliseconds(self) -> int:
        """Milliseconds until the deadline, at least one: PostgreSQL takes zero for no limit."""
        return max(1, int(self._deadline.bound(10**6) * 1000))

    def _roll_back(self) -> None:
        with contextlib.suppress(psycopg2.Error, Expired):
            with self._heartbeat.paused(), self._connection.cursor() as cursor:
                cursor.execute("ROLLBACK")

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[Any]:
        """A cursor for one statement, whose errors are those of :meth:`execute`."""
        statement = None
        try:
            with self._heartbeat.paused():
                self._check_connection()
                with self._connection.cursor() as cursor:
                    try:
                        yield cursor
                    finally:
                        statement = cursor.query
        except Expired:
            raise self._deadline.exceeded() from None
        except psycopg2.Error as error:
            if self._deadline.expired():
                raise self._deadline.exceeded() from None
            raise statement_failure(error, lost=bool(self._connection.closed), statement=statement) from None


def array_literal(values: Iterable[str]) -> str:
    """Strings as one array literal, which PostgreSQL reads many times faster than a list of constants.

    Strings with the character NUL or unpaired surrogates are left out, because PostgreSQL cannot store them.
    """
    quoted = ('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values if _storable(value))
    return "{" + ",".join(quoted) + "}"


def _storable(text: str) -> bool:
    if text.isascii():
        return "\0" not in text
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
