# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The databases of the benchmarks: one with the indexes of the controller's migrations, and one with all that help."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

from support import installation
from support.postgresql import PostgreSQLServer

MIGRATION = 67
# A schema with permissions, and the first one without.
WITH_PERMISSIONS, WITHOUT_PERMISSIONS = 61, 67
ID_IN_PATH = "split_part(v1, '/', 3)"
# As in production: what is committed is on the disk.
SETTINGS = {
    "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "shared_buffers": "1GB", "max_wal_size": "8GB",
    "checkpoint_timeout": "1h", "autovacuum": "off",
}  # fmt: skip
UNINDEXED = (
    ("event_email_invites", "created_by"), ("event_exceptions", "created_by"), ("event_favorites", "event_id"),
    ("event_invites", "created_by"), ("event_invites", "invitee"), ("events", "created_by"), ("events", "updated_by"),
    ("invites", "created_by"), ("invites", "room"), ("invites", "updated_by"), ("module_resources", "created_by"),
    ("module_resources", "room_id"), ("room_streaming_targets", "room_id"), ("rooms", "created_by"),
)  # fmt: skip


def add_users(connection: Any, subjects: list[str]) -> None:
    """Fill an empty database with users who have these ids of accounts."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO tenants (id, oidc_tenant_id) VALUES (gen_random_uuid(), 'tenant')")
        cursor.execute(
            "INSERT INTO tariffs (id, name, quotas, disabled_modules) VALUES (gen_random_uuid(), 't', '{}', '{}')"
        )
        cursor.execute(
            "INSERT INTO users (oidc_sub, email, title, firstname, lastname, language, display_name,"
            " dashboard_theme, conference_theme, tenant_id, tariff_id)"
            " SELECT subject, subject || '@example.org', '', 'A', 'B', 'de', 'C', 'system', 'system', t.id, f.id"
            " FROM unnest(%s) subject, tenants t, tariffs f",
            (subjects,),
        )


class Databases:
    """Copies of one filled database.

    :param migration: the schema
    :param prepare: a statement that changes what was filled
    :param shape: the shape of the installation, for `installation.fill`
    """

    def __init__(self, server: PostgreSQLServer, migration: int = MIGRATION, prepare: str = "", **shape: Any) -> None:
        self._server = server
        self._migration = migration
        self.plain = server.database_for(migration)
        with contextlib.closing(server.connect(self.plain)) as connection:
            installation.fill(connection, seed=2026, **shape)
            if prepare:
                connection.cursor().execute(prepare)
                connection.commit()
        self.vacuum(self.plain)
        self._indexed: str | None = None

    @property
    def indexed(self) -> str:
        """The name of the same database with indexes on all foreign keys."""
        if self._indexed is None:
            self._indexed = self._server.copy(self.plain)
            with contextlib.closing(self._server.connect(self._indexed)) as connection:
                for table, column in UNINDEXED:
                    connection.cursor().execute(f"CREATE INDEX ON {table} ({column})")
                if self._migration < WITHOUT_PERMISSIONS:
                    connection.cursor().execute(f"CREATE INDEX ON casbin_rule ({ID_IN_PATH})")
                connection.commit()
            self.vacuum(self._indexed)
        return self._indexed

    @contextlib.contextmanager
    def copy(self, template: str) -> Iterator[str]:
        """A copy that is in memory and has no unwritten pages."""
        name = self._server.copy(template)
        try:
            with self._autocommit(name) as connection:
                cursor = connection.cursor()
                cursor.execute("SELECT format('SELECT count(*) FROM %s', oid::regclass) FROM pg_class"
                               " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")  # fmt: skip
                for (query,) in cursor.fetchall():
                    cursor.execute(query)
                cursor.execute("CHECKPOINT")
            yield name
        finally:
            self._server.drop_database(name)

    def timed(self, name: str, work: Callable[[Any], None]) -> float:
        """The seconds until the work on a connection is committed."""
        with contextlib.closing(self._server.connect(name)) as connection:
            started = time.monotonic()
            work(connection.cursor())
            connection.commit()
            return time.monotonic() - started

    def counts(self, name: str) -> dict[str, int]:
        """The number of rows by table."""
        with self._autocommit(name) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
            found = {}
            for (table,) in cursor.fetchall():
                cursor.execute(f"SELECT count(*) FROM {table}")
                (found[table],) = cursor.fetchone()
        return found

    def vacuum(self, name: str) -> None:
        with self._autocommit(name) as connection:
            connection.cursor().execute("VACUUM ANALYZE")

    @contextlib.contextmanager
    def _autocommit(self, name: str) -> Iterator[Any]:
        with contextlib.closing(self._server.connect(name)) as connection:
            connection.autocommit = True
            yield connection


@functools.cache
def databases(server: PostgreSQLServer, migration: int, prepare: str, **shape: Any) -> Databases:
    """The databases of that shape. They are filled once, because that takes long."""
    return Databases(server, migration, prepare, **shape)
