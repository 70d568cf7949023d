# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""People come first: a batch that waits for a session which waits for the batch gives way, before PostgreSQL ends a statement."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.limits import HANGS
from support.scenes import JOBS, Scene
from support.world import World

# Waits until another session waits for this one.
SOMEBODY_WAITS = f"""
DO $$
BEGIN
    FOR tries IN 1 .. {int(HANGS) * 100} LOOP
        IF EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))) THEN
            RETURN;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RAISE 'nobody waits';
END $$
"""

# Changes the schema for longer than a batch would wait.
MIGRATION = f"BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE; {SOMEBODY_WAITS}; SELECT pg_sleep(0.6); COMMIT"


@pytest.mark.parametrize("version", [52, 67])
@pytest.mark.parametrize("job", JOBS)
def test_nobody_is_ended_by_a_deadlock(open_world: Callable[..., World], job: str, version: int) -> None:
    scene = Scene(open_world(version), job)
    first, last = scene.roots[0], scene.roots[-1]
    holds, failures = threading.Event(), list[BaseException]()

    def cross() -> None:
        """Hold the last row of the batch, and take the first one as soon as the batch has it."""
        lock = f"SELECT FROM {scene.table} WHERE id = %s FOR UPDATE"
        with (
            contextlib.closing(scene.world.server.connect(scene.world.database)) as session,
            session.cursor() as cursor,
        ):
            try:
                cursor.execute(lock, (last.id,))
                holds.set()
                cursor.execute(SOMEBODY_WAITS)
                # The job may have deleted it meanwhile.
                cursor.execute(lock, (first.id,))
                session.commit()
            except BaseException as error:
                failures.append(error)
                holds.set()

    person = threading.Thread(target=cross)
    person.start()
    assert holds.wait(HANGS)
    run = scene.run()
    person.join(HANGS)
    assert not failures, failures
    assert not run.get("failed"), run["msg"]
    scene.check(run)
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert scene.world.query(deadlocks) == [(0,)]


def test_plan_waits_longer_for_a_short_change_of_the_schema(open_world: Callable[..., World]) -> None:
    scene = Scene(open_world(67), "event_cleanup")
    world = scene.world
    with contextlib.closing(world.server.connect(world.database)) as session, ThreadPoolExecutor(1) as executor:
        session.autocommit = True
        changing = executor.submit(session.cursor().execute, MIGRATION)
        locks = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'events'::regclass AND granted"
        end = time.monotonic() + HANGS
        while world.query(locks) == [(0,)]:
            assert time.monotonic() < end
        run = scene.run()
        changing.result()
    assert not run.get("failed"), run["msg"]
    scene.check(run)
