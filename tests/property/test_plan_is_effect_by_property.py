# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many small tangled databases: for every job that deletes, plan, effects and an independent oracle agree.

OPENTALK_TEST_DATABASES is the number of databases, and OPENTALK_TEST_SEED the seed of the first one. Each further database
has a seed that is one higher.
"""

from __future__ import annotations

import functools
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from support import storage_sync
from support.cases import CASES, case
from support.cloud_server import CloudServer
from support.effect import check_effect
from support.schemas import SCHEMAS
from support.shared_folders import stock
from support.tangle import SEED_VARIABLE, UNTOUCHED, Tangle, first_seed
from support.world import World

NUMBER_VARIABLE = "OPENTALK_TEST_DATABASES"
NUMBER = int(os.environ.get(NUMBER_VARIABLE, "100"))
FIRST = first_seed()
AT_ONCE = 20
INVITE_CLEANUPS = ("invite_cleanup", "invite_cleanup delete_invites")


@pytest.mark.parametrize("first", range(FIRST, FIRST + NUMBER, AT_ONCE))
def test_plan_is_effect(open_world: Callable[..., World], open_cloud: Callable[..., CloudServer], first: int) -> None:
    world_at, cloud = functools.cache(open_world), open_cloud()
    seeds = range(first, min(first + AT_ONCE, FIRST + NUMBER))
    effective: Counter[str] = Counter()
    for seed in seeds:
        try:
            effective.update(_check_database(world_at(SCHEMAS[seed % len(SCHEMAS)]), cloud, seed))
        except BaseException:
            print(f"Database {seed} failed. To repeat it:")
            print(f"{SEED_VARIABLE}={seed} {NUMBER_VARIABLE}=1 tests/all tests/property")
            raise
    # Else all this would prove little.
    assert len(seeds) < AT_ONCE or all(effective[job] for job in (*CASES, storage_sync.JOB)), effective


def _check_database(world: World, cloud: CloudServer, seed: int) -> Iterator[str]:
    """Run every job on a database of its own, and yield the names of the cases that had something to do."""
    choose = random.Random(f"sizes of {seed}")
    tangle = Tangle(world.connection, seed, users=choose.randint(4, 12), rooms=choose.randint(5, 20))
    world.freeze(tangle.now)
    world.cloud = choose.choice((cloud, None, None, None))
    world.storage.upload(world.bucket, tangle.other_objects())
    before, objects = world.rows(), world.objects()
    assert [table for table, rows in before.items() if not rows and table != UNTOUCHED] == []
    assets = {f"assets/{asset['id']}": asset["size"] for asset in tangle.rows["assets"]}
    # Either way of invite_cleanup has its turn on each schema.
    left_out = INVITE_CLEANUPS[seed // len(SCHEMAS) % len(INVITE_CLEANUPS)]
    for name in filter(left_out.__ne__, CASES):
        missing = {key: size for key, size in assets.items() if key not in objects}
        world.storage.upload(world.bucket, missing.items())
        stock(cloud, before)
        made = case(name, tangle.random, before, tangle.now)
        print(f"{name} with {made.options} on database {seed}")
        stored = {**objects, **missing}
        objects = check_effect(
            world, made.module, made.options, before, made.expected, objects=stored, again=False, **made.facts
        )
        if made.expected != before:
            yield name
            tangle.write(table for table, rows in before.items() if rows != made.expected[table])
    made = storage_sync.disagree(tangle.random, before, tangle.now)
    _store(world, objects, made.objects)
    print(f"{storage_sync.JOB} with {made.options} on database {seed}")
    storage_sync.check(world, made, before, batch_size=choose.choice((1, 7, 1000)))
    if made.has_effect(before):
        yield storage_sync.JOB


def _store(world: World, present: dict[str, int], wanted: dict[str, int]) -> None:
    """Make the bucket have exactly these objects."""
    world.storage.remove(world.bucket, present.keys() - wanted.keys())
    world.storage.upload(world.bucket, [item for item in wanted.items() if item not in present.items()])
