# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small tangled databases, many of them: for every job that deletes, plan, effect and an independent oracle agree.

OPENTALK_TEST_DATABASES is their number, OPENTALK_TEST_SEED the seed of the first one; each one's seed is one more.
"""

from __future__ import annotations

import functools
import os
import random
from collections import Counter
from collections.abc import Callable

import boto3
import pytest

from support.cases import CASES, case
from support.cloud_server import CloudServer
from support.effect import check_effect
from support.folders import stock
from support.schemas import SCHEMAS
from support.tangle import SEED_VARIABLE, UNTOUCHED, Tangle, first_seed
from support.world import World

NUMBER_VARIABLE = "OPENTALK_TEST_DATABASES"
NUMBER = int(os.environ.get(NUMBER_VARIABLE, "300"))
FIRST = first_seed()
AT_ONCE = 20


@pytest.fixture(autouse=True)
def one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run makes a client of its own, but reads botocore's description of S3, a megabyte, only once."""
    monkeypatch.setattr(boto3.session, "Session", functools.cache(boto3.session.Session))


@pytest.mark.parametrize("first", range(FIRST, FIRST + NUMBER, AT_ONCE))
def test_plan_is_effect(open_world: Callable[..., World], open_cloud: Callable[..., CloudServer], first: int) -> None:
    world_at, cloud = functools.cache(open_world), open_cloud()
    seeds = range(first, min(first + AT_ONCE, FIRST + NUMBER))
    effective: Counter[str] = Counter()
    for seed in seeds:
        version = SCHEMAS[seed % len(SCHEMAS)]
        world = world_at(version)
        size = random.Random(seed)
        tangle = Tangle(world.connection, seed, users=size.randint(4, 12), rooms=size.randint(5, 20))
        world.freeze(tangle.now)
        world.storage.upload(world.bucket, tangle.other_objects())
        world.cloud = size.choice((cloud, None))
        before = world.rows()
        assert [table for table, rows in before.items() if not rows and table != UNTOUCHED] == []
        for number, job in enumerate(CASES):
            if number:
                tangle.write()
            world.upload()
            stock(cloud, before)
            made = case(job, tangle.random, before, tangle.now)
            try:
                check_effect(world, made.module, made.options, before, made.expected, again=False, **made.facts)
            except BaseException:
                print(f"Database {seed}, schema {version}: {job} with {made.options}. To repeat it:")
                print(f"{SEED_VARIABLE}={seed} {NUMBER_VARIABLE}=1 tests/all tests/property")
                raise
            effective[job] += made.expected != before
    assert len(seeds) < AT_ONCE or set(effective[job] > 0 for job in CASES) == {True}, effective
