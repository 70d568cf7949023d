# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a job, and its effect on other runs and previews."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.deadline import Deadline
from ansible_collections.opentalk.maintenance.plugins.module_utils.engine import lock
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOB_TYPES
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.database import Database

from support.world import World

Open = Callable[..., World]


@contextlib.contextmanager
def session(world: World, *, read_only: bool) -> Iterator[Database]:
    url = world.options["database_url"]
    with contextlib.closing(
        Database(url, deadline=Deadline(60), read_only=read_only, application_name="test")
    ) as database:
        yield database


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
    world, ended = open_world(), threading.Event()

    def look() -> int:
        looks = 0
        with session(world, read_only=True) as preview:
            while not ended.is_set():
                lock.is_free(preview, "event_cleanup")
                looks += 1
        return looks

    with ThreadPoolExecutor(1) as executor, session(world, read_only=False) as run:
        looking = executor.submit(look)
        try:
            for _unused in range(200):
                assert lock.acquire(run, "event_cleanup")
                lock.release(run)
        finally:
            ended.set()
        assert looking.result() > 0


def test_run_right_after_another_is_not_skipped(open_world: Open) -> None:
    world = open_world()
    world.fill(events=22)
    for _unused in range(40):
        assert not world.run("invite_cleanup")["skipped"]
