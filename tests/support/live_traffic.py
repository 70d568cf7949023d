# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of people while a job runs: they create, change, move and delete events, upload recordings and come back."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg2
from psycopg2 import errors, extensions

from support.builders import Builder
from support.children import Child
from support.oracle import BELONGS
from support.world import World

NAME = "live traffic"
# After so many transactions the ids are read again.
REFRESH = 40


@dataclass
class Journal:
    """The committed work of the traffic.

    :ivar descriptions: the last description of each event
    :ivar moved: events that were moved into the future and stayed there
    :ivar returned: users who were enabled again
    :ivar transactions: the number of transactions of each kind that changed something
    :ivar retried: the number of transactions that PostgreSQL stopped to end a deadlock, and that were done again
    :ivar refused: PostgreSQL's messages about other statements that failed
    """

    descriptions: dict[str, str] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    returned: set[str] = field(default_factory=set)
    transactions: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    refused: list[str] = field(default_factory=list)


@contextlib.contextmanager
def live_traffic(world: World, seed: int) -> Iterator[Callable[[], Journal]]:
    """A second process that works on the installation. It yields a function that ends it and returns its journal."""
    stop = multiprocessing.get_context("fork").Event()
    child = Child(lambda: _Traffic(world, seed).run(stop))
    try:
        yield lambda: (stop.set(), child.result())[1]
    finally:
        stop.set()


class _Writes(Builder):
    """A builder that does not commit. The caller commits its rows together."""

    def _execute(self, statement: Any, parameters: Any = None) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []


class _Traffic:
    def __init__(self, world: World, seed: int) -> None:
        # A job may have run in this process before the fork. Its wait callback only works for the job's own connections.
        extensions.set_wait_callback(None)
        self._world, self._random, self._journal = world, random.Random(seed), Journal()
        self._connection = psycopg2.connect(world.server.url(world.database), application_name=NAME)
        self._client = world.storage.client()
        self._build = _Writes(self._connection)
        self._connection.commit()
        self._dates = "events" if world.version < 61 else "event_dates"
        self._event = "id" if world.version < 61 else "event_id"
        self._ids: dict[str, list[str]] = {}

    def run(self, stop: Any) -> Journal:
        actions = (
            self._create, self._create_ended, self._describe, self._move, self._move, self._delete, self._upload,
            self._upload, self._leave_room, self._disable, self._enable, self._invite,
        )  # fmt: skip
        number = 0
        while not stop.is_set():
            if number % REFRESH == 0:
                self._refresh()
            number += 1
            action = self._random.choice(actions)
            state = self._random.getstate()
            for _unused in range(5):
                self._random.setstate(state)
                try:
                    action()
                    break
                except errors.DeadlockDetected:
                    self._connection.rollback()
                    self._journal.retried += 1
                except psycopg2.Error as error:
                    self._connection.rollback()
                    self._journal.refused.append(f"{action.__name__}: {error}")
                    break
            time.sleep(0.001)
        return self._journal

    def _refresh(self) -> None:
        queries = {
            "events": "SELECT id FROM events ORDER BY id",
            "ended": f"SELECT {self._event} FROM {self._dates} WHERE ends_at <= now() - interval '30 days' ORDER BY 1",
            "rooms": "SELECT id FROM rooms ORDER BY id",
            "users": "SELECT id FROM users WHERE disabled_since IS NULL ORDER BY id",
            "disabled": "SELECT id FROM users WHERE disabled_since IS NOT NULL ORDER BY id",
        }
        self._ids = {name: [row[0] for row in self._execute(query)] for name, query in queries.items()}
        self._connection.rollback()

    def _create(self, age: timedelta = timedelta(days=-7)) -> None:
        when = datetime.now(timezone.utc) - age
        user = self._locked("users", "users", "FOR KEY SHARE")
        if user:
            adhoc = self._random.random() < 0.2
            event = self._build.event(user, starts_at=when, ends_at=when, is_adhoc=adhoc)
            room = self._build.room_of(event)
            self._build.invite(room)
            self._record(room)
        self._done("created", user)

    def _create_ended(self) -> None:
        self._create(timedelta(days=90))

    def _describe(self) -> None:
        event, text = self._pick("events"), f"described {self._random.getrandbits(64):x}"
        changed = event and self._execute("UPDATE events SET description = %s WHERE id = %s RETURNING id", text, event)
        if self._done("described", changed):
            self._journal.descriptions[event] = text

    def _move(self) -> None:
        event = self._pick("ended")
        changed = event and self._execute(
            f"UPDATE {self._dates} SET starts_at = now() + interval '7 days', ends_at = now() + interval '8 days'"
            f" WHERE {self._event} = %s RETURNING {self._event}",
            event,
        )
        if self._done("moved", changed):
            self._journal.moved.add(event)

    def _delete(self) -> None:
        """Delete as the controller does: lock the event first, and delete the objects after the rows."""
        event = self._locked("events", "events", "FOR UPDATE")
        keys = []
        if event:
            ((room,),) = self._execute("SELECT room FROM events WHERE id = %s", event)
            self._execute("SELECT FROM rooms WHERE id = %s FOR UPDATE", room)
            self._delete_belongings("events", event)
            self._execute("DELETE FROM events WHERE id = %s", event)
            assets = [row[0] for row in self._execute("SELECT asset_id FROM room_assets WHERE room_id = %s", room)]
            self._delete_belongings("rooms", room)
            self._execute("DELETE FROM assets WHERE id = ANY (%s::uuid[])", assets)
            self._execute("DELETE FROM rooms WHERE id = %s", room)
            keys = [f"assets/{asset}" for asset in assets]
        if self._done("deleted", event):
            self._journal.moved.discard(event)
            self._journal.descriptions.pop(event, None)
            for key in keys:
                self._client.delete_object(Bucket=self._world.bucket, Key=key)

    def _delete_belongings(self, of: str, identifier: str) -> None:
        for table, references in BELONGS.items():
            column = next((column for column, target in references.items() if target == of), None)
            if column and table not in ("events", "rooms") and (table, column) in self._build.columns:
                self._execute(f"DELETE FROM {table} WHERE {column} = %s", identifier)

    def _upload(self) -> None:
        room = self._locked("rooms", "rooms", "FOR KEY SHARE")
        if room:
            self._record(room)
        self._done("uploaded", room)

    def _leave_room(self) -> None:
        user = self._locked("users", "users", "FOR KEY SHARE")
        if user:
            self._record(self._build.room(user))
        self._done("left a room", user)

    def _invite(self) -> None:
        room = self._locked("rooms", "rooms", "FOR KEY SHARE")
        owner = room and self._execute(
            "SELECT u.id FROM rooms r JOIN users u ON u.id = r.created_by WHERE r.id = %s FOR KEY SHARE OF u", room
        )
        if owner:
            self._build.invite(room, active=self._random.random() < 0.5)
        self._done("invited", owner)

    def _disable(self) -> None:
        user = self._pick("users") if self._random.random() < 0.3 else None
        changed = user and self._execute(
            "UPDATE users SET disabled_since = now() - interval '99 days' WHERE id = %s RETURNING id", user
        )
        if self._done("disabled", changed):
            self._journal.returned.discard(user)

    def _enable(self) -> None:
        user = self._pick("disabled")
        changed = user and self._execute("UPDATE users SET disabled_since = NULL WHERE id = %s RETURNING id", user)
        if self._done("enabled", changed):
            self._journal.returned.add(user)

    def _record(self, room: str) -> None:
        """Write an asset and its object. The commit, which makes the asset visible, comes after both."""
        asset = self._build.asset(room, size=1)
        self._client.put_object(Bucket=self._world.bucket, Key=f"assets/{asset}", Body=b"x")

    def _locked(self, table: str, kind: str, lock: str) -> str | None:
        identifier = self._pick(kind)
        there = identifier and self._execute(f"SELECT id FROM {table} WHERE id = %s {lock}", identifier)
        return identifier if there else None

    def _pick(self, kind: str) -> str | None:
        ids = self._ids[kind]
        return self._random.choice(ids) if ids else None

    def _execute(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def _done(self, what: str, changed: Any) -> bool:
        self._connection.commit()
        self._journal.transactions[what] += bool(changed)
        return bool(changed)
