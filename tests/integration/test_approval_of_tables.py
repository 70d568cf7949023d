# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is held to a preview, and a row of each table that came, was changed or was deleted since.

The tables are those of the catalogue whose rows may go or change with the roots. The database is a tangled one.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable

import pytest

from support.approvals import HeldRun, touched
from support.cases import CASES
from support.tangle import Tangle
from support.world import World

# A further row of these tables belongs to no root of the preview, or the key of its root allows only one. Of all other tables,
# chance finds one.
SINGLE = {
    "assets", "event_dates", "event_recurrences", "event_shared_folders",
    "event_training_participation_report_parameter_sets", "events", "invites", "rooms", "sip_configs", "users",
}  # fmt: skip


@pytest.mark.parametrize("version", [52, 67])
@pytest.mark.parametrize("name", CASES)
def test_later_row_keeps_its_root_and_all_that_belongs_to_it(
    open_world: Callable[..., World], name: str, version: int
) -> None:
    world = open_world(version)
    tangle, seed, tables = _tangle_with_many_tables(world, name)
    done: Counter[tuple[str, str]] = Counter()
    for table, in_flight in itertools.product(tables, (False, True)):
        held = HeldRun(world, tangle, name, seed)

        def change(held: HeldRun = held, table: str = table) -> None:
            owners = Counter(row for rows in held.rows.values() for row in rows if row[0] == table)
            changed, *others = [text for _table, text in sorted(owners, key=lambda row: (owners[row], row))[:2]]
            held.touch(table, changed)
            done[table, "added"] += held.add(table)
            for text in others:
                done[table, "deleted"] += held.delete(table, text)

        if not in_flight:
            change()
            held.check_preview()
        stay = held.run(change if in_flight else lambda: None)
        assert stay
        done[table, "gone"] += len(held.case.roots - stay)
        tangle.write()
    if not tables:
        # These schemas have no permissions.
        assert (name, version) == ("invite_cleanup", 67)
        return
    reachable = {table for table in held.tables if name != "room_cleanup" or not table.startswith("event")}
    assert set(tables) - {"casbin_rule"} == (reachable if name != "invite_cleanup" else set())
    assert ("casbin_rule" in tables) == (version == 52)
    for table in tables:
        assert done[table, "gone"], (table, done)
        assert done[table, "added"] or table in SINGLE, (table, done)
    assert sum(done[table, "deleted"] for table in tables) >= len(tables), done


def _tangle_with_many_tables(world: World, name: str) -> tuple[Tangle, int, list[str]]:
    """A tangled database, and a seed for parameters with which the roots of the job have rows in as many tables as possible."""
    found: list[tuple[int, int, int, int]] = []
    for seed in range(6):
        tangle = Tangle(world.connection, seed, users=30, rooms=40)
        before = world.rows()
        for parameters in range(10):
            case = CASES[name](random.Random(parameters), before, tangle.now)
            tables = {table for table, _text in touched(case, before, case.roots)}
            found.append((len(tables), min(len(case.roots), 8), seed, parameters))
    _tables, _roots, seed, parameters = max(found)
    tangle = Tangle(world.connection, seed, users=30, rooms=40)
    world.freeze(tangle.now)
    held = HeldRun(world, tangle, name, parameters)
    return tangle, parameters, sorted({table for rows in held.rows.values() for table, _text in rows})
