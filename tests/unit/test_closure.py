# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From roots to the rows that go with them: what is asked for it, and which conditions find them."""

from __future__ import annotations

from typing import Any

from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.closure import Closure
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.graph import DeletionGraph
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.keys import KeySet

from support.catalogues import REFERENCES, TABLES, catalogue
from support.scripted_database import ScriptedDatabase, text

WITH_PERMISSIONS = {**TABLES, "casbin_rule": "id*:int"}
EVENTS = KeySet(("id", "room"), ("{e1,e2}", "{r1,r2}"), 2)
NOTHING = (0, None)


def closure(
    root: str,
    roots: KeySet,
    *answers: Any,
    tables: dict[str, str] = TABLES,
    references: dict[str, str] = REFERENCES,
    lock: bool = False,
) -> tuple[Closure, list[str]]:
    """A closure and the queries that were asked for it, which are as many as there are answers."""
    made, database = catalogue(tables, references), ScriptedDatabase(*answers)
    found = Closure(database, DeletionGraph(made, made.table(root)), roots, lock=lock)  # type: ignore[arg-type]
    assert len(database.asked) == len(answers)
    return found, [query.split(" WHERE ", 1)[1].removesuffix(") found") for query in database.asked]


def test_plan_asks_only_for_what_it_cannot_know() -> None:
    """The roots are known, and their rooms by them; only invites have to be looked for."""
    found, asked = closure("events", EVENTS, (1, "{i1}"), tables=WITH_PERMISSIONS)
    assert asked == ["(room = ANY ('{r1,r2}'::uuid[])) ORDER BY id"]
    held = {table.label: list(keys.ids()) for table, keys in found.sets.items()}
    assert held == {"events": ["e1", "e2"], "rooms": ["r1", "r2"], "invites": ["i1"]}


def test_batch_looks_for_every_row_and_locks_it() -> None:
    """A root that is gone meanwhile takes nothing along."""
    found, asked = closure(
        "events", KeySet.of_ids(["e1", "e2"]), (1, "{e2}", "{r2}"), (1, "{r2}"), NOTHING, tables=WITH_PERMISSIONS, lock=True
    )  # fmt: skip
    assert asked == [
        "id = ANY ('{e1,e2}'::uuid[]) ORDER BY id FOR UPDATE",
        "(id = ANY ('{r2}'::uuid[])) ORDER BY id FOR UPDATE",
        "(room = ANY ('{r2}'::uuid[])) ORDER BY id FOR UPDATE",
    ]
    assert list(found.keys("events").ids()) == ["e2"] and not found.keys("invites")


def test_batch_locks_the_rows_between_which_the_plan_need_not_look_at() -> None:
    chain = {
        "tables": {"a": "id*", "b": "a_id*", "c": "id* a_id"},
        "references": {"b.a_id -> a.id": "c", "c.a_id -> b.a_id": "c"},
    }
    plan, asked = closure("a", KeySet.of_ids(["a1"]), **chain)
    assert asked == [] and text(plan.condition(plan.graph.catalogue.table("c"))) == "(a_id = ANY ('{a1}'::uuid[]))"
    _batch, asked = closure("a", KeySet.of_ids(["a1"]), (1, "{a1}"), (1, "{a1}"), **chain, lock=True)
    assert asked == [
        "id = ANY ('{a1}'::uuid[]) ORDER BY id FOR UPDATE",
        "(a_id = ANY ('{a1}'::uuid[])) ORDER BY a_id FOR UPDATE",
    ]


def test_way_back_to_known_rows_is_not_asked() -> None:
    """An event of a chosen room leads back to that room, and no further."""
    found, asked = closure("rooms", KeySet.of_ids(["r1"]), (1, "{e1}", "{r1}"))
    assert asked == ["(room = ANY ('{r1}'::uuid[])) ORDER BY id"]
    assert list(found.keys("rooms").ids()) == ["r1"]


def test_circle_ends_when_nothing_new_is_found() -> None:
    found, asked = closure(
        "a", KeySet.of_ids(["a1"]), (1, "{b1}"), (1, "{b2}"), NOTHING,
        tables={"a": "id*", "b": "id* a_id parent"},
        references={"b.a_id -> a.id": "c", "b.parent -> b.id": "c"},
    )  # fmt: skip
    assert asked == [
        "(a_id = ANY ('{a1}'::uuid[])) ORDER BY id",
        "(parent = ANY ('{b1}'::uuid[])) AND (id = ANY ('{b1}'::uuid[])) IS NOT TRUE ORDER BY id",
        "(parent = ANY ('{b2}'::uuid[])) AND (id = ANY ('{b1,b2}'::uuid[])) IS NOT TRUE ORDER BY id",
    ]
    assert list(found.keys("b").ids()) == ["b1", "b2"]


def test_ways_to_the_same_table_are_one_query() -> None:
    _found, asked = closure(
        "a", KeySet.of_ids(["a1"]), (1, "{b1}"),
        tables={"a": "id*", "b": "id* x y", "c": "id* b_id"},
        references={"b.x -> a.id": "c", "b.y -> a.id": "c", "c.b_id -> b.id": "c"},
    )  # fmt: skip
    assert asked == ["(x = ANY ('{a1}'::uuid[]) OR y = ANY ('{a1}'::uuid[])) ORDER BY id"]


def test_rows_on_which_nothing_depends_are_known_by_their_condition() -> None:
    found, _asked = closure("events", EVENTS)
    made = found.graph.catalogue
    assert text(found.condition(made.table("favorites"))) == "(event_id = ANY ('{e1,e2}'::uuid[]))"
    assert text(found.condition(made.table("events"))) == "id = ANY ('{e1,e2}'::uuid[])"
    assert found.concerns(made.table("favorites")) and not found.keys("users")
    nothing, _asked = closure("events", KeySet(("id", "room")))
    assert text(nothing.condition(made.table("favorites"))) == "false"
    assert not nothing.concerns(made.table("favorites")) and not nothing.concerns(made.table("events"))
    assert nothing.changes() == {}


def test_reference_changes_only_in_rows_that_stay() -> None:
    users = KeySet.of_ids(["u1"])
    found, _asked = closure("users", users, (1, "{r1}"), (1, "{e1}", "{r2}"), (1, "{e2}", "{r1}"))
    made, changes = found.graph.catalogue, found.changes()
    events, notes = made.table("events"), made.table("notes")
    assert set(changes) == {events, made.table("invites"), notes}
    assert text(found.change_condition(events, changes[events])) == (
        "(updated_by = ANY ('{u1}'::uuid[])) AND (id = ANY ('{e1,e2}'::uuid[])) IS NOT TRUE"
    )
    # No note goes, whatever is deleted.
    assert text(found.change_condition(notes, changes[notes])) == "(event_id = ANY ('{e1,e2}'::uuid[]))"


def test_ids_that_are_not_held_are_read_no_further_than_asked() -> None:
    found, _asked = closure("events", EVENTS)
    database = ScriptedDatabase([("i1",), ("i2",)], [("i1",)])
    found.database = database  # type: ignore[assignment]
    assert list(found.ids("invites")) == ["i1", "i2"] and list(found.ids("invites", 1)) == ["i1"]
    condition = "SELECT id::text FROM main.invites WHERE (room = ANY ('{r1,r2}'::uuid[])) ORDER BY id LIMIT"
    assert database.asked == [f"{condition} None", f"{condition} 1"]
    assert list(found.ids("invites", 0)) == list(found.ids("users")) == []
    assert list(found.ids("rooms", 1)) == ["r1"] and len(database.asked) == 2
