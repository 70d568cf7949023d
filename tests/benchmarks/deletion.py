# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks of deleting events and users, with everything that goes with them."""

from __future__ import annotations

import contextlib
import functools
import itertools
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from benchmarks import floor, row_by_row
from benchmarks.case import ROUNDS, SAMPLE, Case, Figures
from benchmarks.databases import MIGRATION, WITH_PERMISSIONS, Databases, databases
from benchmarks.job_process import JobRun, run_job
from benchmarks.traffic import Traffic
from support import installation

BUCKET = "benchmark"
KEYS_PER_REQUEST = 1000


class DeletionCase(Case):
    """A benchmark of a job that deletes.

    :cvar module: the job
    :cvar migration: the schema
    :cvar events_of_user: how many events a user has
    :cvar prepare: a statement that changes what was filled
    """

    module: ClassVar[str]
    parameters: ClassVar[dict[str, int]] = {}
    migration: ClassVar[int] = MIGRATION
    events_of_user: ClassVar[int] = 10
    prepare: ClassVar[str] = ""

    @functools.cached_property
    def databases(self) -> Databases:
        return databases(
            self.server, self.migration, self.prepare, users=self.events // self.events_of_user, events=self.events,
            expired=self.events // 2, invites=3, invitees=5, assets_every=50, folders=False,
        )  # fmt: skip

    @functools.cached_property
    def sample(self) -> list[str]:
        """The ids of some rows that go; `total` gets the number of all such rows."""
        with contextlib.closing(self.server.connect(self.databases.plain)) as connection:
            cursor = connection.cursor()
            cursor.execute(self.selection)
            ids = [row[0] for row in cursor.fetchall()]
        self.total = len(ids)
        return ids[:: max(1, len(ids) // SAMPLE)][:SAMPLE]

    @property
    @abstractmethod
    def selection(self) -> str:
        """A query for the ids of the rows that go."""

    @abstractmethod
    def delete_set(self, cursor: Any) -> None:
        """Delete all rows as the floor does."""

    @abstractmethod
    def delete_one(self, connection: Any, delete_object: Callable[[str], None], identifier: str) -> None:
        """Delete one row with everything that goes with it, for row by row."""

    def measure(self, *, row_by_row: bool = True) -> Figures:
        figures = Figures()
        for _unused in self.rounds():
            if row_by_row:
                with self.copy(self.databases.plain) as name:
                    figures.row_by_row.append(self._row_by_row(name))
            with self.copy(self.databases.plain) as name:
                figures.add_ours(self.run(name))
                left = self.databases.counts(name), self.storage.objects(BUCKET)
            with self.copy(self.databases.indexed) as name:
                figures.floor.append(self.databases.timed(name, self._floor))
                assert (self.databases.counts(name), self.storage.objects(BUCKET)) == left
        if row_by_row:
            self.measure_more(figures)
        return figures

    def _row_by_row(self, database: str) -> float:
        client = self.storage.client()

        def delete_object(key: str) -> None:
            client.delete_object(Bucket=BUCKET, Key=key)

        with contextlib.closing(self.server.connect(database)) as connection:
            work = functools.partial(self.delete_one, connection, delete_object)
            return row_by_row.extrapolate(self.sample, self.total, work)

    def measure_more(self, figures: Figures) -> None:
        """Measure figures that only this case has."""

    def run(self, database: str, *, check_mode: bool = False, **options: Any) -> JobRun:
        """A run, or a preview."""
        arguments = {**self.options(database, BUCKET), **self.parameters, **options}
        return run_job(self.module, arguments, check_mode=check_mode)

    @contextlib.contextmanager
    def copy(self, template: str) -> Iterator[str]:
        """A copy of the database, with the objects of its assets in the bucket."""
        with self.databases.copy(template) as name:
            self.storage.create_bucket(BUCKET)
            with contextlib.closing(self.server.connect(name)) as connection:
                self.storage.upload(BUCKET, installation.objects(connection))
            try:
                yield name
            finally:
                self.storage.remove_bucket(BUCKET)

    def _floor(self, cursor: Any) -> None:
        client = self.storage.client()
        cursor.execute(
            f"SELECT 'assets/' || l.asset_id FROM room_assets l JOIN rooms r ON r.id = l.room_id WHERE {self.rooms}"
        )
        keys = iter(cursor.fetchall())
        while chunk := list(itertools.islice(keys, KEYS_PER_REQUEST)):
            objects = [{"Key": key} for (key,) in chunk]
            client.delete_objects(Bucket=BUCKET, Delete={"Objects": objects, "Quiet": True})
        self.delete_set(cursor)

    @property
    @abstractmethod
    def rooms(self) -> str:
        """The SQL condition for a room `r` that goes."""


class EventCleanup(DeletionCase):
    name = module = "event_cleanup"
    selection = (
        "SELECT event_id FROM event_dates d WHERE ends_at <= now() - interval '30 days' AND NOT EXISTS"
        " (SELECT FROM event_recurrences r WHERE r.event_id = d.event_id) ORDER BY event_id"
    )
    rooms = (
        "EXISTS (SELECT FROM events e JOIN event_dates d ON d.event_id = e.id"
        " WHERE e.room = r.id AND d.ends_at <= now() - interval '30 days')"
    )

    @property
    def title(self) -> str:
        return (
            f"event_cleanup, {self.events // 2:,} of {self.events:,} events, {self.events * 3:,} invites,"
            f" {self.events * 5:,} event invites"
        )

    def delete_set(self, cursor: Any) -> None:
        floor.delete_ended_events(cursor)

    def delete_one(self, connection: Any, delete_object: Callable[[str], None], identifier: str) -> None:
        row_by_row.delete_event(connection, delete_object, identifier)

    def measure_more(self, figures: Figures) -> None:
        previews, queries = [], []
        with self.copy(self.databases.plain) as name:
            for _unused in range(ROUNDS):
                preview = self.run(name, check_mode=True)
                previews.append(preview.seconds)
                figures.memory = max(figures.memory, preview.memory)
                queries.append(self.databases.timed(name, floor.plan_ended_events))
            with Traffic(self.server, name) as traffic:
                self.run(name)
        figures.others["check_mode_seconds"] = sorted(previews)[ROUNDS // 2]
        figures.others["selecting_queries_seconds"] = sorted(queries)[ROUNDS // 2]
        figures.others["check_mode_times_the_queries"] = (
            figures.others["check_mode_seconds"] / figures.others["selecting_queries_seconds"]
        )
        figures.others["longest_statement_of_live_traffic_seconds"] = traffic.longest
        figures.others["statements_of_live_traffic"] = traffic.statements


class EventCleanupWithPermissions(EventCleanup):
    """With the permissions of older schemas.

    The figures have the number of permissions, and how often they were read as a whole.
    """

    name = "event_cleanup with permissions"
    migration = WITH_PERMISSIONS

    def delete_set(self, cursor: Any) -> None:
        floor.delete_ended_events(cursor, permissions=True)

    def run(self, database: str, *, check_mode: bool = False, **options: Any) -> JobRun:
        with contextlib.closing(self.server.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM casbin_rule")
            (self.permissions,) = cursor.fetchone()
        before = self._scans(database)
        run = super().run(database, check_mode=check_mode, **options)
        self.scans = self._scans(database) - before
        return run

    def measure(self, *, row_by_row: bool = True) -> Figures:
        figures = super().measure(row_by_row=row_by_row)
        figures.others.update(permissions=self.permissions, scans_of_permissions=self.scans)
        return figures

    def _scans(self, database: str) -> int:
        # The counters of a session are there at the latest when it has ended, which the job's has.
        with contextlib.closing(self.server.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'casbin_rule'")
            (scans,) = cursor.fetchone()
        return int(scans)


class UserCleanup(DeletionCase):
    name = module = "user_cleanup"
    parameters: ClassVar[dict[str, int]] = {"days_since_user_has_been_disabled": 0}
    selection = "SELECT id FROM users WHERE disabled_since <= now() ORDER BY id"
    rooms = (
        "r.created_by IN (SELECT id FROM users WHERE disabled_since <= now()) OR r.id IN (SELECT room FROM events"
        " WHERE created_by IN (SELECT id FROM users WHERE disabled_since <= now()))"
    )

    @property
    def title(self) -> str:
        return f"user_cleanup, {self.events // 100:,} of {self.events // 10:,} users with their events"

    def delete_set(self, cursor: Any) -> None:
        floor.delete_disabled_users(cursor)

    def delete_one(self, connection: Any, delete_object: Callable[[str], None], identifier: str) -> None:
        row_by_row.delete_user(connection, delete_object, identifier)


class UserCleanupOfHalf(UserCleanup):
    """Every second user goes, and each has four events."""

    name = "user_cleanup of half of the users"
    events_of_user = 4
    prepare = "UPDATE users SET disabled_since = CASE WHEN oidc_sub > '8' THEN now() - interval '1 day' END"
