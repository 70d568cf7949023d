# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PgBouncer: a job works where it has a session of its own, refuses to begin otherwise, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.deadline import Deadline
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import DatabaseError
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import database, pooler
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.database import Database

from support.limits import HANGS
from support.messages import is_sentence
from support.pgbouncer import PgBouncer, PgBouncerUnavailable
from support.postgresql import PostgreSQLServer
from support.real import missing
from support.snapshot import deleted
from support.world import World

Open = Callable[..., World]
REFUSED = "no session of its own; give the job the URL of PostgreSQL itself, or of a pool in session mode"
# Without this query, PgBouncer cleans nothing up itself.
CARELESS = {"server_reset_query": ""}


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooler, "PATIENCE", 1.0)


@contextlib.contextmanager
def bouncer(server: PostgreSQLServer, mode: str, **settings: str) -> Iterator[PgBouncer]:
    try:
        started = PgBouncer(server, pool_mode=mode, **settings)
    except PgBouncerUnavailable as error:
        missing("postgresql", error)
    with started:
        yield started


def open_session(proxy: PgBouncer, world: World, *, read_only: bool = True) -> Database:
    return Database(proxy.url(world.database), deadline=Deadline(60), read_only=read_only, application_name="ours")


def traces(proxy: PgBouncer, world: World, sessions: int) -> list[Any]:
    """What the server connections of the pool show to a client. All are used at once."""
    with contextlib.ExitStack() as clients:
        found, cursors = {}, []
        for _session in range(sessions):
            cursor = clients.enter_context(contextlib.closing(proxy.connect(world.database))).cursor()
            cursor.execute("BEGIN")
            cursor.execute(
                "SELECT pg_backend_pid(), array_agg((name, setting) ORDER BY name) FILTER (WHERE source = 'session'),"
                " (SELECT count(*) FROM pg_cursors), (SELECT count(*) FROM pg_prepared_statements) FROM pg_settings"
            )
            pid, *trace = cursor.fetchone()
            found[pid] = trace
            cursors.append(cursor)
        for cursor in cursors:
            cursor.execute("ROLLBACK")
        assert len(found) == sessions
        return list(found.values())


def check_nothing_left(world: World) -> None:
    """PgBouncer may need a moment to close a server connection."""
    left = (
        "SELECT application_name, state FROM pg_stat_activity WHERE datname = current_database()"
        " AND (application_name LIKE 'opentalk%' OR application_name = 'ours' OR state LIKE 'idle in%')"
        " UNION ALL SELECT locktype, mode FROM pg_locks WHERE locktype = 'advisory'"
    )
    end = time.monotonic() + HANGS
    while found := world.query(left):
        assert time.monotonic() < end, found
        time.sleep(0.1)


@contextlib.contextmanager
def traffic(proxy: PgBouncer, world: World, clients: int, pause: float) -> Iterator[None]:
    """Others use the pool meanwhile."""
    ended = threading.Event()

    def work() -> None:
        with contextlib.closing(proxy.connect(world.database)) as connection:
            cursor = connection.cursor()
            while not ended.is_set():
                cursor.execute("BEGIN")
                cursor.execute("SELECT pg_sleep(%s)", (pause,))
                cursor.execute("COMMIT")

    threads = [threading.Thread(target=work) for _client in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("round_robin", ["0", "1"])
@pytest.mark.parametrize(
    ("size", "clients", "pause"), [(1, 0, 0), (2, 0, 0), (20, 0, 0), (1, 1, 0.3), (3, 2, 0.001), (2, 5, 0.02)]
)
def test_shared_session_is_refused(open_world: Open, size: int, clients: int, pause: float, round_robin: str) -> None:
    world = open_world()
    with bouncer(world.server, "transaction", default_pool_size=str(size), server_round_robin=round_robin) as proxy:
        before = traces(proxy, world, size)
        with traffic(proxy, world, clients, pause):
            for _time in range(5):
                with pytest.raises(DatabaseError, match=REFUSED) as refused:
                    open_session(proxy, world)
        assert is_sentence(str(refused.value)) and str(proxy.port) in str(refused.value)
        check_nothing_left(world)
        assert traces(proxy, world, size) == before


@pytest.mark.parametrize("size", [1, 5])
def test_pool_of_statements_is_refused(open_world: Open, size: int) -> None:
    world = open_world()
    with bouncer(world.server, "statement", default_pool_size=str(size)) as proxy:
        for _time in range(3):
            with pytest.raises(DatabaseError, match=REFUSED):
                open_session(proxy, world)
        check_nothing_left(world)
        with contextlib.closing(proxy.connect(world.database)) as client:
            client.cursor().execute("UPDATE rooms SET waiting_room = true")


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_job_that_is_refused_touches_nothing(open_world: Open, mode: str) -> None:
    world = open_world()
    world.fill(events=44)
    before = world.rows()
    with bouncer(world.server, mode) as proxy:
        for check_mode in (True, False):
            run = world.run("event_cleanup", check_mode=check_mode, database_url=proxy.url(world.database))
            assert run["failed"] and REFUSED in run["msg"] and "database_url" in run["msg"]
            with contextlib.closing(proxy.connect(world.database)) as controller:
                controller.cursor().execute("UPDATE rooms SET waiting_room = waiting_room")
    assert world.rows() == before and not world.proxy.writes


@pytest.mark.parametrize("reset", [{}, CARELESS], ids=["resets", "careless"])
@pytest.mark.parametrize(("size", "clients"), [(1, 0), (2, 0), (2, 1), (20, 6)])
def test_pool_of_sessions(open_world: Open, size: int, clients: int, reset: dict[str, str]) -> None:
    world = open_world()
    world.fill(events=44)
    with bouncer(world.server, "session", default_pool_size=str(size), **reset) as proxy:
        before = traces(proxy, world, size)
        options = {"database_url": proxy.url(world.database), "batch_size": 5}
        with traffic(proxy, world, clients, 0.001):
            preview = world.run("event_cleanup", check_mode=True, **options)
            assert not preview.get("failed"), preview["msg"]
            rows = world.rows()
            run = world.run("event_cleanup", **options)
        assert not run.get("failed"), run["msg"]
        assert run["plan"] == preview["plan"] and run["done"]["events"]["count"] > 10
        assert deleted(rows, world.rows()) == run["done"]["rows_deleted"]
        check_nothing_left(world)
        assert traces(proxy, world, size) == before


def test_failed_run_leaves_nothing_in_a_pool_of_sessions(open_world: Open) -> None:
    world = open_world()
    world.fill(events=44)
    with bouncer(world.server, "session", default_pool_size="2", **CARELESS) as proxy:
        before = traces(proxy, world, 2)
        world.proxy.fail(403, lambda request: request.operation == "DeleteObjects")
        run = world.run("event_cleanup", database_url=proxy.url(world.database))
        assert run["failed"] and "denies access" in run["msg"]
        check_nothing_left(world)
        assert traces(proxy, world, 2) == before


def test_session_that_is_shared_later(open_world: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a pooler looks as if it gave sessions away, the first transaction on another server connection ends the job."""
    world = open_world()
    monkeypatch.setattr(pooler, "CONNECTIONS", 0)
    with bouncer(world.server, "transaction") as proxy, contextlib.closing(open_session(proxy, world)) as session:
        with session.transaction():
            session.row("SELECT 1")
        with contextlib.closing(proxy.connect(world.database)) as other:
            other.cursor().execute("BEGIN")
            with pytest.raises(DatabaseError, match=REFUSED), session.transaction():
                raise AssertionError("the transaction began")


def test_no_second_connection_without_a_pooler(open_world: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    world = open_world()
    monkeypatch.setattr(database.database_connection, "connect_again", None)
    assert not world.run("invite_cleanup").get("failed")


def test_pooler_that_refuses(open_world: Open) -> None:
    world = open_world()
    with bouncer(world.server, "session") as proxy:
        wrong = proxy.url(world.database).replace(world.server.password, "wrong")
        for url in (proxy.url("missing"), wrong):
            run = world.run("invite_cleanup", database_url=url)
            assert run["failed"] and "as poolers do" in run["msg"] and is_sentence(run["msg"]), run["msg"]
