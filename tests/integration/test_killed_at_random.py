# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""If a job is killed at any time, or loses its session, the next run that is not disturbed completes its work.

OPENTALK_TEST_KILLS is the number of kills for all jobs and schemas together. OPENTALK_TEST_SEED is the seed of the databases
and of the times, but what a run does at a time differs from run to run.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from support.children import Child
from support.kill_scenes import JOBS, Scene
from support.snapshot import Snapshot, deleted
from support.tangle import SEED_VARIABLE, first_seed

NUMBER_VARIABLE = "OPENTALK_TEST_KILLS"
NUMBER = int(os.environ.get(NUMBER_VARIABLE, "208"))
SEED = first_seed()
MOST_IN_A_ROW = 4
# The share of kills at any time of a run. All others come after its plan.
ANY_TIME = 0.15
# The share of kills that end only the session in PostgreSQL.
SESSIONS = 0.3
# Seconds that storage and cloud take for each request at least, so that many kills come while a run waits for them.
LATENCY = 0.005
PLANNED = '"event": "planned"'
IN_A_BATCH, BETWEEN_BATCHES = "in a batch, after its announcement", "before or between batches"


@pytest.mark.parametrize(("job", "version"), JOBS)
def test_killed_at_random(open_scene: Callable[[str, int], Scene], job: str, version: int) -> None:
    print(f"{SEED_VARIABLE}={SEED} {NUMBER_VARIABLE}={NUMBER}")
    killer = Killer(open_scene(job, version), random.Random(f"kills of {SEED}, {job}, {version}"))
    wanted = math.ceil(NUMBER / len(JOBS))
    while killer.hits.total() < wanted:
        killer.play()
    print(f"{killer.hits.total()} kills: {dict(killer.hits)}; {killer.missed} runs ended before they were killed")
    assert killer.hits[IN_A_BATCH] + killer.hits[BETWEEN_BATCHES] >= wanted // 2


class Killer:
    """Disturbs the runs of one job.

    :ivar hits: the number of kills by what the run was doing
    :ivar missed: the number of runs that ended before they could be killed
    """

    def __init__(self, scene: Scene, choose: random.Random) -> None:
        self._scene = scene
        self._random = choose
        self.hits: Counter[str] = Counter()
        self.missed = 0
        self._work = self._left(scene.before)
        # What this process has loaded, its children need not load.
        self._set()
        scene.run()
        scene.settle()
        scene.check_done()
        # How long an undisturbed run takes, and how much of that comes after its plan.
        self._whole, self._apply = min(self._measure() for _unused in range(2))

    def play(self) -> None:
        """Kill some runs one after the other, and let the last one complete the work."""
        self._set()
        for _unused in range(self._random.randint(1, MOST_IN_A_ROW)):
            lines = len(self._scene.audit_lines())
            killed = self._end_session() if self._random.random() < SESSIONS else self._kill()
            self._scene.settle()
            self._scene.check_nothing_orphaned()
            if not killed:
                self.missed += 1
                break
            self.hits[_doing([line["event"] for line in self._scene.audit_lines()[lines:]])] += 1
        self._complete()

    def _set(self) -> None:
        self._scene.set()
        for server in (self._scene.world.proxy, self._scene.cloud):
            server.on_request(lambda request: time.sleep(LATENCY))

    def _measure(self) -> tuple[float, float]:
        self._set()
        started = time.monotonic()
        self._complete()
        whole = time.monotonic() - started
        at = {line["event"]: datetime.fromisoformat(line["time"][:-1]) for line in self._scene.audit_lines()}
        return whole, (at["run_ended"] - at["planned"]).total_seconds()

    def _complete(self) -> None:
        result = Child(self._scene.run).result()
        assert not result.get("failed") and not result["skipped"], result.get("msg")
        self._scene.settle()
        self._scene.check_done()

    def _kill(self) -> bool:
        """Run the job and kill its process.

        :returns: whether it had not ended before
        """
        child = Child(self._scene.run)
        self._wait(child)
        child.kill()
        return child.was_killed()

    def _end_session(self) -> bool:
        """Run the job and end its session.

        :returns: whether the run failed because of that
        """
        before = self._scene.world.rows()
        child = Child(self._scene.run)
        self._wait(child)
        self._scene.world.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND starts_with(application_name, 'opentalk.maintenance')"
        )
        result = child.result()
        assert not result["skipped"]
        self._check_report(result, before)
        return result.get("failed", False)

    def _check_report(self, result: dict[str, Any], before: Snapshot) -> None:
        """A run that lost its session reports the rows that it deleted, but not those of a commit without an answer."""
        self._scene.settle()
        gone = deleted(before, self._scene.world.rows())
        reported = result["done"]["rows_deleted"]
        unsure = self._scene.audit_lines()[-2]["event"] == "unknown"
        assert reported == gone or (unsure and all(gone[table] >= number for table, number in reported.items())), (
            reported,
            gone,
        )

    def _wait(self, child: Child) -> None:
        """Wait for a random time of a run, which has just begun."""
        if self._random.random() < ANY_TIME:
            time.sleep(self._random.uniform(0, 1.1 * self._whole))
            return
        rest = self._left(self._scene.world.rows()) / self._work
        plans = self._scene.audit_log_text().count(PLANNED)
        while child.running and self._scene.audit_log_text().count(PLANNED) == plans:
            time.sleep(0.002)
        time.sleep(self._random.uniform(0, 1.1 * self._apply * max(rest, 0.3)))

    def _left(self, rows: Snapshot) -> int:
        """The number of rows that differ from those after the job, and of orphaned folders that are still there."""
        orphans = sum(path in self._scene.cloud.folders for path in self._scene.orphans)
        return orphans + sum(len(set(rows[table]) ^ set(expected)) for table, expected in self._scene.expected.items())


def _doing(events: list[str]) -> str:
    """What a run did when it was disturbed, by its lines in the audit log."""
    if "planned" not in events:
        return "before its plan"
    if events[-1] in ("deleting", "left_behind") or "rolled_back" in events or "unknown" in events:
        return IN_A_BATCH
    return BETWEEN_BATCHES
