# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of people who use the very rows that a job is about to delete. They measure how long each statement takes."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from psycopg2 import errors

from support.children import Child
from support.postgresql import PostgreSQLServer

SESSIONS = 6
# The sessions use so many of the first rows that are still there. A batch takes its rows from the same side.
WINDOW = 1000
# The share of statements on one row that all sessions want.
POPULAR = 0.1
# A statement that takes so many seconds has waited.
WAITED = 0.1
OTHERS = "UPDATE users SET display_name = display_name WHERE id = %(id)s"


@dataclass
class Durations:
    """How long statements took.

    :ivar longest: seconds by statement
    :ivar statements: the number of statements
    :ivar waited: the number of those that waited
    :ivar deadlocks: the number of those that PostgreSQL ended, because session and job waited for each other
    """

    longest: dict[str, float] = field(default_factory=dict)
    statements: int = 0
    waited: int = 0
    deadlocks: int = 0

    def add(self, statement: str, seconds: float) -> None:
        self.longest[statement] = max(seconds, self.longest.get(statement, 0.0))
        self.statements += 1
        self.waited += seconds > WAITED

    @property
    def most(self) -> float:
        return max(self.longest.values(), default=0.0)


class LiveSessions:
    """Sessions in a process of their own: `with LiveSessions(...) as live: ...; live.rows.most`.

    :param statements: with the parameter ``id`` of a row; if the first of them changes nothing, the row is gone
    :param ids: the ids of the rows that the job deletes, in its order
    :param bystanders: ids of users of whom the job deletes nothing
    :ivar rows: the durations of statements on rows that the job deletes
    :ivar others: the durations of statements on other rows, which should never wait
    """

    rows: Durations
    others: Durations

    def __init__(
        self,
        server: PostgreSQLServer,
        database: str,
        statements: tuple[str, ...],
        ids: list[str],
        bystanders: list[str],
    ) -> None:
        self._server, self._database, self._statements = server, database, statements
        self._ids, self._bystanders = ids, bystanders
        self._stop = multiprocessing.get_context("fork").Event()
        # The number of rows, from the first one, that are gone.
        self._gone = 0

    def __enter__(self) -> LiveSessions:
        self._child = Child(self._work)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        self._stop.set()
        self.rows, self.others = self._child.result()

    def _work(self) -> tuple[Durations, Durations]:
        rows, others, failures = Durations(), Durations(), list[BaseException]()

        def attempt(number: int) -> None:
            try:
                if number:
                    self._use_rows(random.Random(number), rows)
                else:
                    self._use_others(random.Random(number), others)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=attempt, args=(number,)) for number in range(SESSIONS + 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return rows, others

    def _use_rows(self, choose: random.Random, durations: Durations) -> None:
        with contextlib.closing(self._server.connect(self._database)) as connection:
            connection.autocommit = True
            while not self._stop.is_set() and self._gone < len(self._ids):
                gone = self._gone
                window = min(WINDOW, len(self._ids) - gone)
                place = gone + (0 if choose.random() < POPULAR else choose.randrange(window))
                statement = choose.choice(self._statements)
                changed = self._timed(connection, statement, self._ids[place], durations)
                if not changed and statement == self._statements[0]:
                    self._gone = max(self._gone, place + 1)
                time.sleep(0.002)

    def _use_others(self, choose: random.Random, durations: Durations) -> None:
        with contextlib.closing(self._server.connect(self._database)) as connection:
            connection.autocommit = True
            while not self._stop.is_set():
                self._timed(connection, OTHERS, choose.choice(self._bystanders), durations)
                time.sleep(0.002)

    @staticmethod
    def _timed(connection: Any, statement: str, identifier: str, durations: Durations) -> int:
        """Run a statement, and return the number of rows that it changed."""
        started = time.monotonic()
        with connection.cursor() as cursor:
            try:
                cursor.execute(statement, {"id": identifier})
                changed = cursor.rowcount
            except errors.ForeignKeyViolation:  # the row is gone since the statement began
                changed = 0
            except errors.DeadlockDetected:
                changed = 1
                durations.deadlocks += 1
        durations.add(statement, time.monotonic() - started)
        return changed
