# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks of comparing the database with objects and with accounts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from psycopg2.extras import execute_values

from benchmarks import row_by_row as baseline
from benchmarks.case import ROUNDS, Case, Figures
from benchmarks.databases import add_users
from benchmarks.job_process import JobRun, run_job
from benchmarks.listing_server import ListingServer
from support.keycloak import KeycloakServer, Realm
from support.keycloak_stand_in import KeycloakStandIn
from support.recording_server import Answer, Request

BUCKET = "benchmark"
MIGRATION = 67
HEADS = 300
SIZE = 3
TIMES_MORE = 10


class SyncStorageFiles(Case):
    """A run compares everything and has nothing to change, so rounds can share a database."""

    name = "sync_storage_files"

    @property
    def title(self) -> str:
        return f"sync_storage_files, {self.events // 2:,} assets, nothing to change"

    def measure(self, *, row_by_row: bool = True) -> Figures:
        if not row_by_row:
            return self.measure_served()
        figures, assets = Figures(), self.events // 2
        with self._assets(assets) as database, contextlib.closing(self.server.connect(database)) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT 'assets/' || id FROM assets ORDER BY id")
            keys = [row[0] for row in cursor.fetchall()]
            self.storage.create_bucket(BUCKET)
            self.storage.upload(BUCKET, ((key, SIZE) for key in keys))
            client = self.storage.client()

            def look(key: str) -> None:
                client.head_object(Bucket=BUCKET, Key=key)
                cursor.execute("SELECT size FROM assets WHERE id = %s", (key.rpartition("/")[2],))

            for _unused in range(ROUNDS):
                figures.row_by_row.append(baseline.extrapolate(keys[:: assets // HEADS], assets, look))
                run = run_job("sync_storage_files", self.options(database, BUCKET))
                assert not run.result["changed"] and run.result["plan"]["rows_updated"] == {}
                figures.add_ours(run)
                figures.floor.append(self._floor(connection))
            self.storage.remove_bucket(BUCKET)
        small, large = self._memory(assets), self._memory(assets * TIMES_MORE)
        figures.others["peak_memory_bytes_with_listing_server"] = small
        figures.others[f"peak_memory_bytes_at_{assets * TIMES_MORE}_assets"] = large
        figures.others["memory_ratio"] = large / small
        return figures

    def measure_served(self) -> Figures:
        """Ours and the floor, with a server that lists the objects without storing them."""
        figures, assets = Figures(), self.events // 2
        with (
            self._assets(assets) as database,
            ListingServer(assets, SIZE) as server,
            contextlib.closing(self.server.connect(database)) as connection,
        ):
            options = self.options(database, BUCKET)
            options["object_storage"]["uri"] = server.url
            for _unused in self.rounds():
                run = run_job("sync_storage_files", options)
                assert not run.result["changed"]
                figures.add_ours(run)
                figures.floor.append(self._floor(connection, server.url))
        return figures

    def _floor(self, connection: Any, url: str | None = None) -> float:
        """A bare listing plus a bare SELECT."""
        client = self.storage.client(endpoint=url)
        started = time.monotonic()
        listed = sum(
            len(page.get("Contents", ())) for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT id::text, size FROM assets ORDER BY id")
            assert len(cursor.fetchall()) == listed
        return time.monotonic() - started

    def _memory(self, assets: int) -> int:
        """The peak memory in bytes of a job, with a server that lists so many objects without storing them."""
        with self._assets(assets) as database, ListingServer(assets, SIZE) as server:
            options = self.options(database, BUCKET)
            options["object_storage"]["uri"] = server.url
            run = run_job("sync_storage_files", options)
            assert not run.result["changed"]
        return run.memory

    @contextlib.contextmanager
    def _assets(self, number: int) -> Iterator[str]:
        """A database with so many assets. Their ids are those of the listing server."""
        database = self.server.database_for(MIGRATION)
        with contextlib.closing(self.server.connect(database)) as connection:
            connection.cursor().execute(
                "INSERT INTO tenants (id, oidc_tenant_id) VALUES (gen_random_uuid(), 'tenant');"
                "INSERT INTO assets (id, namespace, kind, filename, tenant_id, size)"
                " SELECT lpad(to_hex(n), 32, '0')::uuid, 'recording', 'recording-render', 'recording', t.id, %s"
                " FROM generate_series(0, %s) n, tenants t",
                (SIZE, number - 1),
            )
            connection.commit()
            connection.autocommit = True
            connection.cursor().execute("VACUUM ANALYZE assets")
        try:
            yield database
        finally:
            self.server.drop_database(database)


class _Clock(KeycloakStandIn):
    """Keeps the time of its last request, by the monotonic clock."""

    asked = 0.0

    def answer(self, request: Request) -> Answer:
        answer = super().answer(request)
        self.asked = time.monotonic()
        return answer


class KeycloakAccountSync(Case):
    """Measures a job from its last request for accounts to the end of its process, and the statements of row by row."""

    name = "keycloak_account_sync"

    @property
    def title(self) -> str:
        return f"keycloak_account_sync, {self.events // 4:,} users, database part"

    def measure(self, *, row_by_row: bool = True) -> Figures:
        figures, users = Figures(), self.events // 4
        with _Clock() as clock:
            realm = Realm(KeycloakServer(clock, "for benchmarks"))
            # One account in a hundred is disabled, and of one user in a hundred the account is gone.
            ids = realm.add({"username": f"user{n:07}", "enabled": n % 100 != 0} for n in range(users) if n % 100 != 1)
            accounts = [(account["id"], account["enabled"]) for account in realm.accounts()]
            assert len(ids) == len(accounts)
            template = self._users([subject for subject, _unused in accounts], users)
            for _unused in self.rounds():
                if row_by_row:
                    with self._copy(template) as (_name, connection):
                        sample = accounts[:: len(accounts) // 1000]
                        figures.row_by_row.append(
                            baseline.extrapolate(
                                sample, users, lambda account, c=connection: baseline.sync_account(c, *account)
                            )
                        )
                with self._copy(template) as (name, connection):
                    run = self._run(realm, name)
                    assert run.result["done"]["users_disabled"]["count"] == users - (users - users // 50)
                    figures.add_ours(JobRun(run.result, run.ended - clock.asked, run.memory, run.ended))
                    ours = self._state(connection)
                with self._copy(template) as (_name, connection):
                    figures.floor.append(self._floor(connection, accounts))
                    assert self._state(connection) == ours
        return figures

    def _run(self, realm: Realm, database: str) -> JobRun:
        return run_job(
            "keycloak_account_sync",
            {
                **self.options(database),
                "keycloak": realm.options(realm.server.url),
                "keycloak_api_page_size": 10000,
                "max_affected_percent": 100,
            },
        )

    def _floor(self, connection: Any, accounts: list[tuple[str, bool]]) -> float:
        started = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE accounts (subject text PRIMARY KEY, enabled bool) ON COMMIT DROP")
            execute_values(cursor, "INSERT INTO accounts VALUES %s", accounts, page_size=10_000)
            cursor.execute(
                "ANALYZE accounts;"
                "UPDATE users SET disabled_since = now() WHERE disabled_since IS NULL"
                " AND NOT EXISTS (SELECT FROM accounts WHERE subject = oidc_sub AND enabled);"
                "UPDATE users SET disabled_since = NULL FROM accounts"
                " WHERE disabled_since IS NOT NULL AND subject = oidc_sub AND enabled"
            )
        connection.commit()
        return time.monotonic() - started

    @staticmethod
    def _state(connection: Any) -> list[tuple[str, bool]]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT oidc_sub, disabled_since IS NULL FROM users ORDER BY 1")
            found: list[tuple[str, bool]] = cursor.fetchall()
        connection.rollback()
        return found

    def _users(self, subjects: list[str], users: int) -> str:
        """A database with the users of the accounts, and with further users without accounts."""
        database = self.server.database_for(MIGRATION)
        others = [f"gone-{number}" for number in range(users - len(subjects))]
        with contextlib.closing(self.server.connect(database)) as connection:
            add_users(connection, subjects + others)
            connection.commit()
            connection.autocommit = True
            connection.cursor().execute("VACUUM ANALYZE users")
        return database

    @contextlib.contextmanager
    def _copy(self, template: str) -> Iterator[tuple[str, Any]]:
        name = self.server.copy(template)
        try:
            with contextlib.closing(self.server.connect(name)) as connection:
                yield name, connection
        finally:
            self.server.drop_database(name)
