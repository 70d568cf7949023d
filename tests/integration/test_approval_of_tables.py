# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is held to a preview, and a row of each table that came, was changed or was deleted since.

The tables are those of the catalogue whose rows may go or change with the roots. The database is a tangled one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection

import pytest

from support.approvals import HeldRun
from support.cases import CASES
from support.snapshot import removed
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

    def check(before: str | None, in_flight: str) -> None:
        """Change a row of one table before the run, and of another one in flight."""
        held = HeldRun(world, tangle, name, seed)

        def change(table: str, kept: Collection[str] = ()) -> None:
            there = {(table, text) for text in world.rows()[table]}
            owners = Counter(row for rows in held.rows.values() for row in there.intersection(rows))
            useful = {row for root, rows in held.rows.items() if root not in kept for row in rows}
            chosen = sorted(owners, key=lambda row: (row not in useful, owners[row], row))[:2]
            for row in chosen[:1]:
                held.touch(*row)
            done[table, "added"] += held.add(table)
            for row in chosen[1:]:
                done[table, "deleted"] += held.delete(*row)

        kept: set[str] = set()
        if before:
            change(before)
            kept = held.check_preview()
            assert kept
        stay = held.run(lambda: change(in_flight, kept))
        done[in_flight, "kept in flight"] += len(stay - kept)
        for table in filter(None, (before, in_flight)):
            done[table, "gone"] += len(held.case.roots - stay)
        seen.update(held.tables)
        tangle.write()

    seen: set[str] = set()
    for before, in_flight in zip(tables, tables[1:] + tables[:1], strict=True):
        check(before, in_flight)
    for table in tables:
        # What was changed before may have kept all roots that this table could keep, or not have left one to go.
        if not (done[table, "kept in flight"] and done[table, "gone"]):
            check(None, table)
    if not tables:
        # These schemas have no permissions.
        assert (name, version) == ("invite_cleanup", 67)
        return
    reachable = {table for table in seen if name != "room_cleanup" or not table.startswith("event")}
    assert set(tables) - {"casbin_rule"} == (reachable if name != "invite_cleanup" else set())
    assert ("casbin_rule" in tables) == (version == 52)
    for table in tables:
        assert done[table, "kept in flight"] and done[table, "gone"], (table, done)
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
            found.append((len(removed(before, case.expected)), min(len(case.roots), 8), seed, parameters))
    _tables, _roots, seed, parameters = max(found)
    tangle = Tangle(world.connection, seed, users=30, rooms=40)
    world.freeze(tangle.now)
    held = HeldRun(world, tangle, name, parameters)
    return tangle, parameters, sorted({table for rows in held.rows.values() for table, _text in rows})
