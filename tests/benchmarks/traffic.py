# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of people during a job: they read and change events that the job does not touch."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import Any

from support.postgresql import PostgreSQLServer


class Traffic:
    """Reads and updates other events all the time: `with Traffic(...) as traffic: ...; traffic.longest`.

    `statements` is the number of its statements. `longest` is the time in seconds of the slowest one.
    """

    def __init__(self, server: PostgreSQLServer, database: str) -> None:
        self._server, self._database = server, database
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.longest = 0.0
        self.statements = 0

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.closing(self._server.connect(self._database)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("SELECT event_id FROM event_dates WHERE ends_at > now() ORDER BY event_id LIMIT 5000")
            events = [row[0] for row in cursor.fetchall()]
            choice = random.Random(1)
            while not self._stop.is_set():
                event = choice.choice(events)
                self._timed(cursor, "SELECT * FROM events e JOIN rooms r ON r.id = e.room WHERE e.id = %s", event)
                self._timed(cursor, "UPDATE events SET description = 'changed' WHERE id = %s", event)
                self._timed(cursor, "UPDATE event_dates SET ends_at = ends_at + interval '1 hour' WHERE event_id = %s",
                            event)  # fmt: skip
                self._timed(cursor, "INSERT INTO invites (created_by, updated_by, room, active)"
                            " SELECT created_by, created_by, room, true FROM events WHERE id = %s", event)  # fmt: skip
                time.sleep(0.01)

    def _timed(self, cursor: Any, statement: str, event: str) -> None:
        started = time.monotonic()
        cursor.execute(statement, (event,))
        self.longest = max(self.longest, time.monotonic() - started)
        self.statements += 1
