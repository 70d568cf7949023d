# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""People come first: a batch that waits for a session which waits for the batch gives way, before PostgreSQL ends a statement."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

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
