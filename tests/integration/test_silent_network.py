# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network between job and database falls silent: the server ends the session soon, and another run does the work.

The proxy between them answers the keepalives of both sides, so only what PostgreSQL and the job send themselves helps.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.deadline import Deadline
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import ConnectionLostError
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import (
    database,
    heartbeat,
    object_storage_client,
)
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.database import Database, sql

from support.limits import HANGS
from support.messages import is_sentence
from support.oracle import survivors
from support.recording_server import Request
from support.silent_proxy import SilentProxy
from support.snapshot import deleted
from support.world import World

Open = Callable[..., World]
OURS = "datname = current_database() AND application_name LIKE 'opentalk.maintenance%'"


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as in production, in a shorter time."""
    monkeypatch.setattr(database, "SILENCE", 3)
    monkeypatch.setattr(database, "BEAT_TIMEOUT", 1.5)
    monkeypatch.setattr(heartbeat, "IDLE", 0.5)


@contextlib.contextmanager
def proxied(world: World) -> Iterator[tuple[SilentProxy, str]]:
    """A proxy to the world's server, and the URL that leads through it."""
    with SilentProxy(world.server.port) as proxy:
        yield proxy, world.server.url(world.database).replace(f":{world.server.port}/", f":{proxy.port}/")


def held(world: World) -> int:
    """How many row locks, advisory locks and sessions our runs have at the server."""
    ((count,),) = world.query(f"SELECT count(*) FROM pg_stat_activity LEFT JOIN pg_locks USING (pid) WHERE {OURS}")
    return count


def seconds_until_released(world: World, since: float) -> float:
    while held(world):
        assert time.monotonic() < since + HANGS, "the server keeps the session"
        time.sleep(0.05)
    return time.monotonic() - since


def cut(world: World, point: str) -> float:
    """Let the network fall silent at a point of a run, and check that the next run completes the work.

    :returns: the seconds until the server had nothing left of the run
    """
    before = world.rows()
    seconds: list[float] = []
    next_run: list[dict[str, Any]] = []
    begun, ended = threading.Event(), threading.Event()
    with proxied(world) as (proxy, url):

        def look(request: Request) -> None:
            deletions = len(world.proxy.deletions)
            # A batch deletes its objects inside of its transaction. Before the first, the job asks for the bucket.
            here = request.operation == "DeleteObjects" and deletions == 2 if point == "in a batch" else not deletions
            if not here or begun.is_set():
                return
            begun.set()
            states = {state for (state,) in world.query(f"SELECT state FROM pg_stat_activity WHERE {OURS}")}
            assert states == {"idle in transaction" if point == "in a batch" else "idle"}
            proxy.silence()
            seconds.append(seconds_until_released(world, time.monotonic()))
            # The job has not ended yet: it waits for this answer.
            next_run.append(world.run_in_process("event_cleanup"))
            assert not ended.is_set()

        world.proxy.on_request(look)
        run = world.run("event_cleanup", database_url=url, batch_size=5)
        ended.set()
    assert run["failed"] and "connection to PostgreSQL was lost" in run["msg"] and is_sentence(run["msg"]), run
    (completed,) = next_run
    assert not completed.get("failed") and not completed["skipped"], completed
    chosen = set(run["plan"]["events"]["ids"]) | set(completed["plan"]["events"]["ids"])
    assert chosen and world.rows() == survivors(before, "events", chosen)
    together = {
        table: run["done"]["rows_deleted"].get(table, 0) + completed["done"]["rows_deleted"].get(table, 0)
        for table in run["done"]["rows_deleted"].keys() | completed["done"]["rows_deleted"].keys()
    }
    assert together == deleted(before, world.rows())
    assert not world.run("event_cleanup")["changed"]
    return seconds[0]


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("point", ["in a batch", "outside of transactions"])
def test_server_ends_the_session_and_the_next_run_completes_the_work(
    open_world: Open, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setattr(object_storage_client, "READ_TIMEOUT", HANGS)
    world = open_world()
    world.fill(events=66)
    seconds = cut(world, point)
    print(f"{point}: the server had nothing left after {seconds:.1f} seconds, with a limit of {database.SILENCE}")
    assert seconds < database.SILENCE + 20


@pytest.mark.usefixtures("hurry")
def test_job_that_waits_for_others_keeps_its_session(open_world: Open) -> None:
    """The waits are longer than the limit: between transactions, in one, with open cursor, and in a failed one."""
    world = open_world()
    url = world.server.url(world.database)
    with contextlib.closing(
        Database(url, deadline=Deadline(HANGS), read_only=False, application_name="ours")
    ) as session:
        pid = session.row("SELECT pg_backend_pid()")
        wait = database.SILENCE + 1
        time.sleep(wait)
        with session.transaction(snapshot=True):
            rows = session.stream(sql.SQL("SELECT generate_series(1, 25000)"))
            total = next(rows)[0]
            time.sleep(wait)
            assert total + sum(number for (number,) in rows) == 25_000 * 25_001 / 2
        with pytest.raises(database.DatabaseError), session.transaction():
            with contextlib.suppress(database.DatabaseError):
                session.execute("SELECT 1 / 0")
            time.sleep(wait)
            session.execute("SELECT 1")
        assert session.row("SELECT pg_backend_pid()") == pid
    for thread in threading.enumerate():
        if thread.name == "heartbeat":
            thread.join(HANGS)
            assert not thread.is_alive(), "the heartbeat goes on after the session"


@pytest.mark.usefixtures("hurry")
def test_job_notices_before_its_timeout(open_world: Open) -> None:
    world = open_world()
    with proxied(world) as (proxy, url):
        session = Database(url, deadline=Deadline(HANGS), read_only=False, application_name="ours")
        with pytest.raises(ConnectionLostError, match="did not answer") as lost, session.transaction():
            session.row("SELECT 1")
            proxy.silence()
            time.sleep(heartbeat.IDLE + database.BEAT_TIMEOUT + 2)
            started = time.monotonic()
        assert time.monotonic() - started < 1 and not lost.value.in_commit
        session.close()


def test_limits_of_the_server(open_world: Open) -> None:
    """What a session of a job is set to, so that a network that answers nothing is noticed within 30 seconds."""
    world = open_world()
    url = world.server.url(world.database)
    with contextlib.closing(
        Database(url, deadline=Deadline(HANGS), read_only=True, application_name="ours")
    ) as session:
        limits = dict(session.rows("SELECT name, setting::int FROM pg_settings WHERE name ~ '^tcp_|^idle_'"))
    for name in ("idle_in_transaction_session_timeout", "idle_session_timeout"):
        assert 0 < limits.get(name, 30_000) <= 30_000
    idle, interval, count = (limits[f"tcp_keepalives_{name}"] for name in ("idle", "interval", "count"))
    assert idle + interval * count <= 30 and 0 < limits["tcp_user_timeout"] <= 30_000


def test_local_socket(open_world: Open) -> None:
    """The settings for TCP do no harm on a Unix socket."""
    world = open_world()
    ((folder,),) = world.query("SHOW unix_socket_directories")
    url = re.sub(r"@.*/", f"@{folder.replace('/', '%2F')}:{world.server.port}/", world.server.url(world.database))
    assert not world.run("invite_cleanup", database_url=url).get("failed")
