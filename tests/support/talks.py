# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The points at which a module has just sent a statement or a request, or has just got the answer.

Only for a process that was forked for this, because its patches stay.
"""

from __future__ import annotations

import functools
import http.client
import os
import signal
import threading
from typing import Any

import psycopg2
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import database_connection
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.write_gate import READING_METHODS
from psycopg2 import extensions

# The topic of a statement, by its first word.
_TOPICS = {b"WITH": "deletion", b"COMMIT": "commit", b"CREATE": "index", b"DROP": "index", b"UPDATE": "update"}


class Talks:
    """Lists the points that this process reaches.

    :param servers: names of HTTP servers by port
    :param die_at: the number of the point, counted from 1, at which the process is killed
    :ivar points: the topic of each point, and ``sent`` or ``answered``
    """

    def __init__(self, servers: dict[int, str], die_at: int | None = None) -> None:
        self.points: list[str] = []
        self._servers = servers
        self._die_at = die_at
        self._lock = threading.Lock()

    def reach(self, point: str) -> None:
        with self._lock:
            self.points.append(point)
            if len(self.points) == self._die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def listen(self) -> None:
        self._listen_to_database()
        self._listen_to_http()

    def _listen_to_database(self) -> None:
        talks, wait = self, database_connection.wait

        class Cursor(extensions.cursor):
            def execute(self, statement: Any, parameters: Any = None) -> None:
                self.connection.topic = _topic(self.mogrify(statement, parameters))
                super().execute(statement, parameters)
                talks.reach(f"{self.connection.topic} answered")

        psycopg2.connect = functools.partial(psycopg2.connect, cursor_factory=Cursor)
        database_connection.wait = lambda connection: wait(_Watched(connection, talks))

    def _listen_to_http(self) -> None:
        talks, answer = self, http.client.HTTPConnection.getresponse

        def getresponse(connection: Any) -> Any:
            kind = "read" if connection._method in READING_METHODS else "write"
            request = f"{talks._servers[connection.port]} {kind}"
            talks.reach(f"{request} sent")
            response = answer(connection)
            talks.reach(f"{request} answered")
            return response

        http.client.HTTPConnection.getresponse = getresponse  # type: ignore[assignment, method-assign]


class _Watched:
    """A connection to PostgreSQL in a wait callback, which lists its points."""

    def __init__(self, connection: Any, talks: Talks) -> None:
        self._connection = connection
        self._talks: Talks | None = talks if hasattr(connection, "topic") else None

    def poll(self) -> int:
        state: int = self._connection.poll()
        if self._talks and state == extensions.POLL_READ:
            self._talks.reach(f"{self._connection.topic} sent")
            self._talks = None
        return state

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def _topic(statement: bytes) -> str:
    if b" FOR UPDATE" in statement:
        return "lock"
    return _TOPICS.get(statement.split(None, 1)[0], "statement")
