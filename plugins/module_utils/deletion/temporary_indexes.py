# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Indexes that a run builds before it deletes, and drops at its end."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator

from ..base.errors import ConnectionLostError, DatabaseError, DeadlineExceeded, TransientDatabaseError
from ..systems.database import Composable, Database, sql
from .index_advice import PREFIX, TemporaryIndex

# Milliseconds that building or dropping an index waits for each session that blocks it.
LOCK_TIMEOUT = 5000
# Attempts to drop an index.
ATTEMPTS = 3
# What the server may take to sort the keys of an index. With its default of 64 MB it sorts them in pieces on the disk.
MEMORY = "128MB"


class TemporaryIndexes:
    """Builds and drops the indexes of one job.

    The caller must hold the job's lock. Then each index with the job's prefix belongs to this run, or to one that died.
    Indexes of other jobs are not touched.

    :param database: not in a transaction, because CREATE INDEX CONCURRENTLY allows none
    :param job_type: the job
    """

    def __init__(self, database: Database, job_type: str) -> None:
        self._database = database
        self._prefix = f"{PREFIX}{job_type}_"

    @contextlib.contextmanager
    def during(self, indexes: list[TemporaryIndex]) -> Iterator[tuple[list[TemporaryIndex], list[str]]]:
        """Build the indexes, and drop them at the end of the block. Indexes that earlier runs left are dropped, too.

        :returns: the indexes that were built, and warnings; the end of the block may add warnings
        :raises ConnectionLostError: the connection broke
        :raises DeadlineExceeded: the deadline passed meanwhile
        """
        warnings: list[str] = []
        self._drop(warnings)
        try:
            yield self._build(indexes, warnings) if indexes else [], warnings
        finally:
            if indexes:
                with contextlib.suppress(ConnectionLostError, DeadlineExceeded):
                    self._drop(warnings)

    def leftovers(self) -> list[tuple[str, str]]:
        """Schema and name of the job's indexes in the database."""
        return self._database.rows(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind = 'i' AND starts_with(c.relname, %(prefix)s) ORDER BY 1, 2",
            {"prefix": self._prefix},
        )

    def _build(self, indexes: list[TemporaryIndex], warnings: list[str]) -> list[TemporaryIndex]:
        self._database.rows(
            "SELECT set_config('maintenance_work_mem', %(memory)s, false)"
            " WHERE pg_size_bytes(current_setting('maintenance_work_mem')) < pg_size_bytes(%(memory)s)",
            {"memory": MEMORY},
        )
        failed: dict[TemporaryIndex, DatabaseError] = {}
        for index in indexes:
            statement = sql.SQL("CREATE INDEX CONCURRENTLY {} ON {} ({})").format(
                sql.Identifier(self._name(index)),
                sql.Identifier(*index.place),
                sql.SQL(f"({index.expression})") if index.expression else _names(index.columns),
            )
            try:
                self._database.define(statement, lock_timeout=LOCK_TIMEOUT)
                if index.expression:
                    # PostgreSQL knows nothing of the values of an expression until then, and would not use the index.
                    statement = sql.SQL("ANALYZE {}").format(sql.Identifier(*index.place))
                    self._database.define(statement, lock_timeout=LOCK_TIMEOUT)
            except ConnectionLostError:
                raise
            except DatabaseError as error:
                failed[index] = error
        if failed:
            names = ", ".join(f"{index.table.label} ({', '.join(index.columns)})" for index in failed)
            first = next(iter(failed.values()))
            warnings.append(
                f"Temporary indexes that could not be built: {names}; the job goes on without them and takes longer"
                f" (the reason for the first: {str(first).rstrip('.')})."
            )
        return [index for index in indexes if index not in failed]

    def _drop(self, warnings: list[str]) -> None:
        for schema, name in self.leftovers():
            statement = sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(schema, name))
            try:
                self._define_at_last(statement)
            except ConnectionLostError:
                raise
            except DatabaseError as error:
                warnings.append(
                    f"The temporary index {name} could not be dropped; the next run will try again, or drop it by hand"
                    f" (the reason: {str(error).rstrip('.')})."
                )

    def _define_at_last(self, statement: Composable) -> None:
        """Run a statement, and repeat it after a deadlock with another job or a lock timeout."""
        for _unused in range(ATTEMPTS - 1):
            with contextlib.suppress(TransientDatabaseError):
                self._database.define(statement, lock_timeout=LOCK_TIMEOUT)
                return
        self._database.define(statement, lock_timeout=LOCK_TIMEOUT)

    def _name(self, index: TemporaryIndex) -> str:
        # PostgreSQL cuts a name after 63 bytes.
        columns = ".".join((*index.place, *index.columns))
        return f"{self._prefix}{zlib.crc32(columns.encode()):08x}"


def _names(columns: tuple[str, ...]) -> Composable:
    return sql.SQL(", ").join(map(sql.Identifier, columns))
