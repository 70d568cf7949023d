# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database, a bucket and the options that let a module work on them."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any

from support import installation, shared_folders
from support.cloud_server import CloudServer
from support.limits import HANGS
from support.modules import run_in_process, run_module
from support.object_storage import ObjectStorageServer
from support.postgresql import PostgreSQLServer
from support.recording_server import RecordingServer
from support.s3_proxy import S3Proxy
from support.snapshot import Snapshot, snapshot

_numbers = itertools.count(1)
# Options that a job does not take, because it does not touch that system.
UNTOUCHED = {
    "invite_cleanup": {"object_storage", "shared_folder"},
    "sync_storage_files": {"shared_folder"},
    "sync_shared_folders": {"object_storage"},
}


class World:
    """One installation: a database at a schema version, and a bucket behind a recording proxy."""

    def __init__(self, server: PostgreSQLServer, storage: ObjectStorageServer, proxy: S3Proxy, version: int) -> None:
        self.server, self.storage, self.proxy, self.version = server, storage, proxy, version
        self.bucket = f"controller-{next(_numbers)}"
        self._database: str | None = None
        self._connection: Any = None
        self.cloud: CloudServer | None = None

    def open(self, **bucket: bool) -> World:
        self.storage.create_bucket(self.bucket, **bucket)
        self.proxy.clear()
        return self

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self.proxy.clear_faults()
        self.storage.remove_bucket(self.bucket)
        if self._database is not None:
            self.server.drop_database(self._database)
        errors, self.proxy.callback_errors = self.proxy.callback_errors, []
        assert not errors, errors

    @property
    def database(self) -> str:
        """The name of the database, which is empty at the first use."""
        if self._database is None:
            self._database = self.server.database_for(self.version)
        return self._database

    @property
    def connection(self) -> Any:
        if self._connection is None:
            self._connection = self.server.connect(self.database)
        return self._connection

    @connection.setter
    def connection(self, connection: Any) -> None:
        self._connection = connection

    def fill(self, *, in_place: bool = False, **shape: Any) -> None:
        """Fill the database, and store the objects.

        :param in_place: whether the test needs the temporary table `plan` of `installation`
        """
        shape = {"seed": 1, "users": 30, "events": 220, **shape}
        if self._database is None and not in_place:
            # A copy takes a quarter of the time.
            self._database = self.server.filled(
                self.version, lambda connection: installation.fill(connection, **shape), shape
            )
        else:
            installation.fill(self.connection, **shape)
        self.upload()

    def upload(self) -> None:
        """Store the object of every asset."""
        self.storage.upload(self.bucket, installation.objects(self.connection))

    def share_folders_on(self, cloud: CloudServer) -> None:
        """Make every folder that the database records on this cloud, with share links. Modules get the cloud's settings."""
        self.cloud = cloud
        shared_folders.make(self.connection, cloud)

    @property
    def options(self) -> dict[str, Any]:
        return {
            "database_url": self.server.url(self.database),
            **({"shared_folder": self.cloud.settings} if self.cloud else {}),
            "object_storage": {
                "uri": self.proxy.url,
                "bucket": self.bucket,
                "access_key": self.storage.access_key,
                "secret_key": self.storage.secret_key,
                "region": self.storage.region,
            },
        }

    def options_of(self, module: str) -> dict[str, Any]:
        """The options that a module takes."""
        return {name: value for name, value in self.options.items() if name not in UNTOUCHED.get(module, ())}

    def run(self, module: str, *, check_mode: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
        return run_module(module, check_mode=check_mode, diff=diff, **{**self.options_of(module), **options})

    def run_bare(self, module: str, **options: Any) -> dict[str, Any]:
        """Run a module without the options for this installation."""
        return run_module(module, **options)

    def run_in_process(self, module: str, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        """Run a module in a process of its own, as on another host."""
        return run_in_process(module, {**self.options_of(module), **options, "_ansible_check_mode": check_mode})

    @contextlib.contextmanager
    def in_background(self, module: str, **options: Any) -> Iterator[Future[dict[str, Any]]]:
        """Start a module in a process of its own, and yield its future result."""
        with ThreadPoolExecutor(1) as executor:
            yield executor.submit(self.run_in_process, module, **options)

    def wait_for_lock(self) -> None:
        """Wait until a session of this database waits for a lock."""
        waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        end = time.monotonic() + HANGS
        while not self.query(waiting, (self.database,)):
            assert time.monotonic() < end, "no session waits for a lock"
            time.sleep(0.02)

    def settle(self, *others: RecordingServer) -> None:
        """Wait until no server works on requests of a run any more, which was killed or lost its session."""
        sessions = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND starts_with(application_name, %s)"
        end = time.monotonic() + HANGS
        while self.query(sessions, (self.database, "opentalk.maintenance")) or any(
            server.under_way for server in (self.proxy, *others)
        ):
            assert time.monotonic() < end, "what the run began does not end"
            time.sleep(0.005)

    def freeze(self, now: datetime) -> None:
        """Stop the clock of the database for all new sessions."""
        self.query(
            "CREATE SCHEMA IF NOT EXISTS frozen;"
            "CREATE OR REPLACE FUNCTION frozen.now() RETURNS timestamptz LANGUAGE sql AS"
            f" $$ SELECT '{now.isoformat()}'::timestamptz $$;"
            f'ALTER DATABASE "{self.database}" SET search_path = frozen, public, pg_catalog'
        )

    def rows(self) -> Snapshot:
        return snapshot(self.connection)

    def objects(self) -> dict[str, int]:
        return self.storage.objects(self.bucket)

    def ids(self, table: str) -> set[str]:
        return {row[0] for row in self.query(f"SELECT id::text FROM {table}")}

    def query(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Run a statement, commit, and return its rows."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            rows = cursor.fetchall() if cursor.description else []
        self.connection.commit()
        return rows
