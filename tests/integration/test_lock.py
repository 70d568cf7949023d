# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a job, and its effect on other runs and previews."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.deadline import Deadline
from ansible_collections.opentalk.maintenance.plugins.module_utils.engine import lock
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOB_TYPES
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.database import Database

from support.limits import HANGS
from support.messages import is_sentence
from support.world import World

Open = Callable[..., World]


@contextlib.contextmanager
def session(world: World, *, read_only: bool, url: str = "", application_name: str = "test") -> Iterator[Database]:
    with contextlib.closing(
        Database(
            url or world.options["database_url"],
            deadline=Deadline(60),
            read_only=read_only,
            application_name=application_name,
        )
    ) as database:
        yield database


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(socket, "gethostname", lambda: "controller-2.example.org")
    return "controller-2"


def run_meanwhile(world: World, *, check_mode: bool) -> tuple[dict[str, Any], str]:
    """A run while another one holds the lock, and what its log says about the other one."""
    result = world.run("event_cleanup", check_mode=check_mode)
    (line,) = [line for line in result["log"] if "nother run of this job" in line]
    return result, line


@pytest.mark.parametrize("job", JOB_TYPES)
def test_preview_sees_a_run_of_its_job_on_its_database(open_world: Open, job: str) -> None:
    world, other = open_world(), open_world()
    with session(world, read_only=True) as preview:
        assert lock.is_free(preview, job)
        with session(other, read_only=False) as run:
            assert lock.acquire(run, job) and lock.is_free(preview, job)
        with session(world, read_only=False) as run:
            assert lock.acquire(run, job)
            assert [name for name in JOB_TYPES if not lock.is_free(preview, name)] == [job]
            lock.release(run)
            assert lock.is_free(preview, job)


def test_previews_never_make_a_run_skip(open_world: Open) -> None:
    world, begun, ended = open_world(), threading.Event(), threading.Event()

    def look() -> None:
        with session(world, read_only=True) as preview:
            while not ended.is_set():
                lock.is_free(preview, "event_cleanup")
                begun.set()

    with ThreadPoolExecutor(1) as executor, session(world, read_only=False) as run:
        looking = executor.submit(look)
        looking.add_done_callback(lambda _future: begun.set())
        try:
            begun.wait(HANGS)
            for _unused in range(200):
                assert lock.acquire(run, "event_cleanup")
                lock.release(run)
        finally:
            ended.set()
        looking.result()


def test_run_right_after_another_is_not_skipped(open_world: Open) -> None:
    world = open_world()
    world.fill(events=22)
    for _unused in range(40):
        assert not world.run("invite_cleanup")["skipped"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_run_that_is_skipped_says_since_when_and_where_the_other_one_runs(
    open_world: Open, host: str, check_mode: bool
) -> None:
    world = open_world()
    with session(world, read_only=False, application_name=lock.session_name("event_cleanup", 3600)) as other:
        # A pooler may have opened the session long before the run.
        time.sleep(2)
        before = world.query("SELECT date_trunc('second', clock_timestamp())")[0][0]
        assert lock.acquire(other, "event_cleanup")
        after = world.query("SELECT clock_timestamp()")[0][0]
        result, line = run_meanwhile(world, check_mode=check_mode)
    assert result["skipped"] and not result.get("failed") and not result["changed"]
    found = re.search(r"in progress since (\S+) from host controller-2 \(127\.0\.0\.1\), so this one is skipped$", line)
    assert found and before <= datetime.fromisoformat(found[1].replace("Z", "+00:00")) <= after, line
    assert found[0] in str(result["warnings"])


@pytest.mark.parametrize("check_mode", [True, False])
def test_run_that_holds_the_lock_longer_than_its_timeout_is_a_failure(
    open_world: Open, host: str, monkeypatch: pytest.MonkeyPatch, check_mode: bool
) -> None:
    world = open_world()
    world.fill(events=22)
    before = world.rows()
    with session(world, read_only=False, application_name=lock.session_name("event_cleanup", 2)) as other:
        assert lock.acquire(other, "event_cleanup")
        monkeypatch.setattr(lock, "_GRACE", HANGS)
        assert run_meanwhile(world, check_mode=check_mode)[0]["skipped"]
        monkeypatch.setattr(lock, "_GRACE", 1)
        time.sleep(4)
        result, _line = run_meanwhile(world, check_mode=check_mode)
        assert result["failed"] and not result["skipped"] and is_sentence(result["msg"]), result
        for part in ("since 20", "from host controller-2 (127.0.0.1)", "timeout of 2 seconds"):
            assert part in result["msg"]
        (statement,) = re.findall(r"SELECT pg_terminate_backend\(\d+\)", result["msg"])
        assert world.rows() == before
        world.query(statement)
    assert not world.run("event_cleanup", check_mode=check_mode).get("failed")


@pytest.mark.parametrize(("timeout", "is_too_old"), [(1, True), (60, False)])
def test_timeout_of_the_other_run_is_unknown(
    open_world: Open, monkeypatch: pytest.MonkeyPatch, timeout: int, is_too_old: bool
) -> None:
    """Then the timeout of this run counts."""
    world = open_world()
    monkeypatch.setattr(lock, "_GRACE", 0)
    with session(world, read_only=False) as other:
        assert lock.acquire(other, "event_cleanup")
        time.sleep(2.5)
        result = world.run("event_cleanup", check_mode=True, timeout=timeout)
    assert bool(result.get("failed")) == is_too_old and result["skipped"] != is_too_old, result
    assert "(127.0.0.1)" in str(result["log"])


def test_other_run_about_which_nothing_is_known(open_world: Open) -> None:
    """An earlier version of the collection kept no moment, and another role does not see when its session began."""
    world = open_world()
    role = f"other_{world.database}"
    world.query(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    try:
        with session(world, read_only=False) as other:
            other.row("SELECT pg_try_advisory_lock(%(space)s, %(job)s)", lock._key("event_cleanup"))
            url = world.server.url(world.database, user=role, password="secret")
            result = world.run("event_cleanup", database_url=url)
            assert "[INFO ] Another run of this job is in progress, so this one is skipped" in result["log"]
            assert result["skipped"] and not result.get("failed")
    finally:
        world.query(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_name_of_a_session_fits(open_world: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL cuts names. Only the host's name may lose its end."""
    world = open_world()
    for name in ("x" * 70, "b\u00fcro", ""):
        monkeypatch.setattr(socket, "gethostname", lambda name=name: name)
        for job in JOB_TYPES:
            wanted = lock.session_name(job, 86_400)
            assert f"{job} 86400s" in wanted
            with session(world, read_only=False, application_name=wanted) as run:
                assert run.row("SHOW application_name") == (wanted,)
                assert lock.acquire(run, job)
                assert lock.other_run(run, job, 1).startswith("Another run of this job is in progress since 20")
