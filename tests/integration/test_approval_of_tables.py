# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is held to a preview, and a row of each table that came, was changed or was deleted since.

The tables are those of the catalogue whose rows go or are changed with the roots of a tangled database.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable

import pytest

from support.approvals import HeldRun
from support.cases import CASES
from support.tangle import Tangle
from support.world import World

SEED = 7
# A row that is added to these tables belongs to no root of the preview: it is a root itself, or the key of its root allows only
# one. The other tables get a row wherever chance finds one.
NEVER_ADDED = {
    ("event_cleanup", "rooms"), ("adhoc_event_cleanup", "rooms"), ("room_cleanup", "rooms"), ("user_cleanup", "users"),
    ("invite_cleanup", "invites"),
}  # fmt: skip


@pytest.mark.parametrize("version", [52, 67])
@pytest.mark.parametrize("name", CASES)
def test_later_row_keeps_its_root_and_all_that_belongs_to_it(
    open_world: Callable[..., World], name: str, version: int
) -> None:
    world = open_world(version)
    tangle = Tangle(world.connection, SEED, users=30, rooms=40)
    world.freeze(tangle.now)
    before = world.rows()
    # Parameters with which the job has much to do.
    seed = max(range(12), key=lambda seed: len(CASES[name](random.Random(seed), before, tangle.now).roots))
    first = HeldRun(world, tangle, name, seed)
    tables = sorted({table for rows in first.rows.values() for table, _text in rows})
    done: Counter[tuple[str, str]] = Counter()
    for table, in_flight in itertools.product(tables, (False, True)):
        held = HeldRun(world, tangle, name, seed)

        def change(held: HeldRun = held, table: str = table) -> None:
            owners = Counter(row for rows in held.rows.values() for row in rows if row[0] == table)
            touched, *others = [text for (_table, text), _number in owners.most_common()[:-3:-1]]
            held.touch(table, touched)
            done[table, "touched"] += 1
            done[table, "added"] += held.add(table)
            if others:
                done[table, "deleted"] += held.delete(table, others[0])

        if not in_flight:
            change()
        stay = held.run(change if in_flight else lambda: None)
        assert stay
        done[table, "gone"] += len(held.case.roots - stay)
        tangle.write()
    print(name, version, dict(done))
