# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection to the controller's PostgreSQL database."""

from __future__ import annotations

import contextlib
import select
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

from ..base.deadline import Deadline
from ..base.errors import ConnectionLostError, DatabaseError, DeadlineExceeded, MaintenanceError, MissingLibraryError
from .database_errors import connection_failure, not_writable, statement_failure

PSYCOPG2_TRACEBACK = ""
try:
    import psycopg2
    from psycopg2 import extensions, sql
    from psycopg2.sql import Composable
except ImportError:
    psycopg2 = extensions = sql = Composable = None  # type: ignore[assignment, misc]
    PSYCOPG2_TRACEBACK = traceback.format_exc()

# Seconds after the deadline that the server has to cancel a statement. Then the connection is given up.
GRACE = 3.0
CONNECT_TIMEOUT = 10.0
# Rows that a stream fetches at once.
STREAM_ROWS = 10_000
# Milliseconds that a statement of a batch waits for a lock that somebody else holds.
LOCK_TIMEOUT = 2000


class Database:
    """One session. Every wait in it ends with the job's deadline.

    :param url: libpq connection URI
    :param read_only: whether PostgreSQL itself refuses every write of this session
    :raises DatabaseError: the server cannot be reached or refuses the connection, or accepts no writes in a writing session
    """

    def __init__(self, url: str, *, deadline: Deadline, read_only: bool, application_name: str) -> None:
        if psycopg2 is None:
            raise MissingLibraryError("psycopg2", PSYCOPG2_TRACEBACK)
        self._deadline = deadline
        self._connection = self._connect(url, application_name)
        # Limits of the role or the database are meant for requests of the controller, not for jobs.
        self.execute(
            "SET TIME ZONE 'UTC'; SET DateStyle = 'ISO'; SET client_min_messages = error;"
            f" SET statement_timeout = {self._milliseconds()}; SET lock_timeout = 0;"
            " SET idle_in_transaction_session_timeout = 0"
        )
        self._set_where_known()
        if read_only:
            self.execute("SET default_transaction_read_only = on")
        elif self.row("SHOW transaction_read_only") == ("on",):
            # A batch would delete objects and shared folders before its first write to the database failed.
            raise not_writable()

    def execute(self, statement: str | Composable, parameters: dict[str, Any] | None = None) -> int:
        """Run a statement, and return the number of rows that it touched.

        :raises DatabaseError: PostgreSQL refused it
        :raises DeadlineExceeded: the deadline passed meanwhile
        """
        with self._errors(), self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.rowcount

    def rows(self, query: str | Composable, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of a query; the errors are those of :meth:`execute`."""
        with self._errors(), self._connection.cursor() as cursor:
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
        self.execute(
            f"BEGIN {mode}; SET LOCAL statement_timeout = {milliseconds};"
            f" SET LOCAL lock_timeout = {min(LOCK_TIMEOUT, milliseconds)}"
        )
        try:
            yield
        except BaseException:
            self._roll_back()
            raise
        try:
            self.execute("COMMIT")
        except (ConnectionLostError, DeadlineExceeded) as error:
            error.in_commit = True
            raise

    def close(self) -> None:
        with contextlib.suppress(psycopg2.Error):
            self._connection.close()

    def _connect(self, url: str, application_name: str) -> psycopg2.extensions.connection:
        extensions.set_wait_callback(_wait)
        deadline = self._deadline

        class Connection(extensions.connection):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                self.deadline = deadline
                self.wait_limit: float | None = min(CONNECT_TIMEOUT, deadline.remaining())
                super().__init__(*args, **kwargs)

        try:
            self._deadline.check()
            connection = psycopg2.connect(
                url,
                connection_factory=Connection,
                application_name=application_name,
                client_encoding="UTF8",
                keepalives_idle=30,
                keepalives_interval=10,
                keepalives_count=3,
            )
        except (psycopg2.Error, _Expired, ValueError) as error:
            # psycopg2 raises ValueError for characters that no URL can have.
            self._deadline.check()
            raise connection_failure(error, url) from None
        connection.wait_limit = None
        connection.autocommit = True
        return connection

    def _set_where_known(self) -> None:
        # With the first setting, the server releases the locks of a killed run within seconds. It exists since PostgreSQL
        # 14, but not on every platform. The others exist since 14 and 17.
        with contextlib.suppress(DatabaseError):
            self.rows(
                "SELECT set_config(name, wanted.value, false) FROM pg_settings JOIN (VALUES"
                " ('client_connection_check_interval', '2s'), ('idle_session_timeout', '0'), ('transaction_timeout', '0')"
                ") wanted (name, value) USING (name)"
            )

    def _milliseconds(self) -> int:
        """Milliseconds until the deadline, at least one: PostgreSQL takes zero for no limit."""
        return max(1, int(self._deadline.bound(10**6) * 1000))

    def _roll_back(self) -> None:
        with contextlib.suppress(psycopg2.Error, _Expired):
            with self._connection.cursor() as cursor:
                cursor.execute("ROLLBACK")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except _Expired:
            raise self._deadline.exceeded() from None
        except psycopg2.Error as error:
            if self._deadline.expired():
                raise self._deadline.exceeded() from None
            raise statement_failure(error, lost=bool(self._connection.closed)) from None


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


class _Expired(Exception):
    """A wait for the server has reached its limit."""


def _wait(connection: psycopg2.extensions.connection) -> None:
    # psycopg2's wait callback: https://www.psycopg.org/docs/advanced.html#support-for-coroutine-libraries
    while True:
        state = connection.poll()
        if state == extensions.POLL_OK:
            return
        descriptors = [connection.fileno()]
        reading, writing = (descriptors, []) if state == extensions.POLL_READ else ([], descriptors)
        if not any(select.select(reading, writing, [], _wait_limit(connection))):
            raise _Expired


def _wait_limit(connection: psycopg2.extensions.connection) -> float | None:
    deadline = getattr(connection, "deadline", None)
    if deadline is None:
        return None
    limit = getattr(connection, "wait_limit", None)
    return limit if limit is not None else deadline.remaining() + GRACE
