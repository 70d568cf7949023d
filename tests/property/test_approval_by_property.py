# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random changes between a preview and the run that is held to it, and while it runs: an independent oracle says what may go.

OPENTALK_TEST_APPROVALS is the number of databases, and OPENTALK_TEST_SEED the seed of the first one. Each further database
has a seed that is one higher.
"""

from __future__ import annotations

import functools
import os
import random
from collections import Counter
from collections.abc import Callable

import pytest

from support.approvals import HeldRun
from support.cases import CASES
from support.schemas import SCHEMAS
from support.tangle import SEED_VARIABLE, UNTOUCHED, Tangle, first_seed
from support.world import World

NUMBER_VARIABLE = "OPENTALK_TEST_APPROVALS"
NUMBER = int(os.environ.get(NUMBER_VARIABLE, "40"))
FIRST = first_seed()
AT_ONCE = 20


@pytest.mark.parametrize("first", range(FIRST, FIRST + NUMBER, AT_ONCE))
def test_run_is_held_to_its_preview(open_world: Callable[..., World], first: int) -> None:
    world_at = functools.cache(open_world)
    seeds = range(first, min(first + AT_ONCE, FIRST + NUMBER))
    found: Counter[str] = Counter()
    for seed in seeds:
        try:
            _check_database(world_at(SCHEMAS[seed % len(SCHEMAS)]), seed, found)
        except BaseException:
            print(f"Database {seed} failed. To repeat it:")
            print(f"{SEED_VARIABLE}={seed} {NUMBER_VARIABLE}=1 tests/all tests/property/test_approval_by_property.py")
            raise
    # Else all this would prove little.
    assert len(seeds) < AT_ONCE or (found["stayed"] > AT_ONCE and found["gone"] > AT_ONCE), found


def _check_database(world: World, seed: int, found: Counter[str]) -> None:
    choose = random.Random(f"approvals of {seed}")
    tangle = Tangle(world.connection, seed, users=choose.randint(6, 20), rooms=choose.randint(10, 30))
    world.freeze(tangle.now)
    before = world.rows()
    for name in CASES:
        held = HeldRun(world, tangle, name, seed)
        print(f"{name} with {held.case.options} on database {seed}")
        changes = functools.partial(_change, held, choose, [table for table in before if table != UNTOUCHED])
        changes(choose.randint(0, 4))
        stay = held.run(functools.partial(changes, choose.randint(0, 3)))
        found["stayed"] += len(stay)
        found["gone"] += len(held.case.roots - stay)
        tangle.write()


def _change(held: HeldRun, choose: random.Random, tables: list[str], number: int) -> None:
    """Change the database a number of times, more often where the roots of the preview have rows."""
    touched = [row for rows in held.rows.values() for row in rows]
    for _unused in range(number):
        table = choose.choice(tables)
        kind = choose.choice(("write again", "change", "delete", "add"))
        if kind == "add":
            held.add_any(table)
            continue
        rows = [(table, text) for text in held.world.rows()[table]]
        near = sorted(set(touched).intersection(rows))
        if near and choose.random() < 0.6:
            rows = near
        if not rows:
            continue
        _table, text = choose.choice(rows)
        {"write again": held.touch, "change": held.change, "delete": held.delete}[kind](table, text)
