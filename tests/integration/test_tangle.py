# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Large databases in which everything refers to everything: exactly the rows stay that the oracle expects."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from support.cases import BATCH_SIZES, CASES, case
from support.cloud_server import CloudServer
from support.effect import check_effect
from support.oracle import survivors
from support.schemas import SCHEMAS
from support.shared_folders import stock
from support.tangle import SEED_VARIABLE, UNTOUCHED, Tangle, first_seed
from support.world import World

SEED = first_seed()
Open = Callable[[int], tuple[World, Tangle]]


@pytest.fixture
def open_tangle(open_world: Callable[..., World], open_cloud: Callable[..., CloudServer]) -> Open:
    """Makes an installation with a tangled database, the objects of its assets, and its shared folders."""
    return lambda version: tangled(open_world(version), open_cloud())


def tangled(world: World, cloud: CloudServer) -> tuple[World, Tangle]:
    print(f"{SEED_VARIABLE}={SEED}")
    tangle = Tangle(world.connection, SEED, users=30, rooms=100)
    world.freeze(tangle.now)
    world.upload()
    world.storage.upload(world.bucket, tangle.other_objects())
    world.cloud = cloud
    stock(cloud, world.rows())
    return world, tangle


@pytest.mark.parametrize("version", SCHEMAS)
def test_any_users_go_with_all_that_is_theirs(open_tangle: Open, version: int) -> None:
    world, tangle = open_tangle(version)
    choose, users = tangle.random, sorted(world.ids("users"))
    rows = world.rows()
    empty = [table for table, content in rows.items() if not content and table != UNTOUCHED]
    assert empty == [] and len(users) >= 30 and len(rows["rooms"]) >= 100
    for number in (1, choose.randint(2, 6), choose.randint(7, 25), 29):
        tangle.write()
        world.upload()
        chosen = frozenset(choose.sample(users, number))
        disabled = tangle.now - timedelta(days=30, microseconds=choose.choice((0, 1, 10**12)))
        world.query(
            "UPDATE users SET disabled_since = CASE WHEN id = ANY (%s::uuid[]) THEN %s"
            " WHEN disabled_since IS NOT NULL THEN %s END",
            (list(chosen), disabled, tangle.now - timedelta(days=30) + timedelta(microseconds=1)),
        )
        before = world.rows()
        stock(world.cloud, before)
        expected = survivors(before, "users", set(chosen))
        options = {"batch_size": choose.choice(BATCH_SIZES)}
        check_effect(world, "user_cleanup", options, before, expected, users=chosen)
        assert world.ids("users") == set(users) - chosen


@pytest.mark.parametrize("version", SCHEMAS)
@pytest.mark.parametrize("job", CASES)
def test_every_job(open_tangle: Open, version: int, job: str) -> None:
    world, tangle = open_tangle(version)
    before = world.rows()
    made = case(job, tangle.random, before, tangle.now)
    check_effect(world, made.module, made.options, before, made.expected, **made.facts)
