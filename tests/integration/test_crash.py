# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""If a job is killed after it has sent something or got an answer, the next run completes its work.

OPENTALK_TEST_CRASH_POINTS is the number of points for each job and schema; 0 means all points. OPENTALK_TEST_SEED is the
seed of the databases and of the choice of points.
"""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion import batches

from support.children import Child
from support.kill_scenes import JOBS, Scene
from support.talks import Talks
from support.tangle import SEED_VARIABLE, first_seed

NUMBER_VARIABLE = "OPENTALK_TEST_CRASH_POINTS"
NUMBER = int(os.environ.get(NUMBER_VARIABLE, "18"))
SEED = first_seed()


@pytest.fixture(autouse=True)
def _batches_do_not_depend_on_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a run on a busy machine has other points than the one before."""
    monkeypatch.setattr(batches, "TARGET", 3600)


@pytest.mark.parametrize(("job", "version"), JOBS)
def test_killed_at_any_point(open_scene: Callable[[str, int], Scene], job: str, version: int) -> None:
    print(f"{SEED_VARIABLE}={SEED} {NUMBER_VARIABLE}={NUMBER}")
    scene = open_scene(job, version)
    scene.set()
    points = _points(scene)
    scene.check_done()
    chosen = _choose(points, random.Random(f"points of {SEED}"))
    print(f"{len(chosen)} of {len(points)} points: {dict(Counter(points[point - 1] for point in chosen))}")
    missed = 0
    for point in chosen:
        print(f"point {point}: {points[point - 1]}")
        scene.set()
        missed += not _die_at(scene, point)
        scene.check_nothing_orphaned()
        result = scene.run()
        assert not result.get("failed") and not result["skipped"], result.get("msg")
        scene.settle()
        scene.check_done()
    assert missed <= len(chosen) // 10


def _points(scene: Scene) -> list[str]:
    """The points that an undisturbed run in a process of its own reaches."""

    def work() -> list[str]:
        talks = _listen(scene)
        result = scene.run()
        assert not result.get("failed"), result["msg"]
        return talks.points

    return Child(work).result()


def _die_at(scene: Scene, point: int) -> bool:
    """Run in a process that is killed at this point. Then wait until no server works on its requests any more.

    :returns: whether the run reached that point; threads may reach other points
    """

    def work() -> None:
        _listen(scene, point)
        scene.run()

    killed = Child(work).was_killed()
    scene.settle()
    return killed


def _listen(scene: Scene, point: int | None = None) -> Talks:
    servers = {"storage": scene.world.proxy, "cloud": scene.cloud}
    talks = Talks({int(server.url.rsplit(":", 1)[1]): name for name, server in servers.items()}, point)
    talks.listen()
    return talks


def _choose(points: list[str], choose: random.Random) -> Iterable[int]:
    """Points of all kinds, spread evenly."""
    if not NUMBER or len(points) <= NUMBER:
        return range(1, len(points) + 1)
    places = defaultdict(list)
    for place, point in enumerate(points, 1):
        places[point].append(place)
    chosen = {choose.choice(found) for found in places.values()}
    rest = [place for place in range(1, len(points) + 1) if place not in chosen]
    wanted = max(0, NUMBER - len(chosen))
    chosen.update(rest[int((number + choose.random()) * len(rest) / wanted)] for number in range(wanted))
    return sorted(chosen)
