# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of row keys, and the SQL that is built of them."""

from __future__ import annotations

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion import keys
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.keys import (
    KeySet,
    Sql,
    any_of,
    key_set,
    without,
)
from psycopg2 import sql

from support.catalogues import REFERENCES, TABLES, catalogue
from support.scripted_database import text

PAIRS = KeySet(("id", "room"), ("{a,b}", "{r,NULL}"), 2)


def test_sum_of_sets_keeps_columns_together() -> None:
    both = PAIRS + KeySet(("id", "room"), ("{c}", "{s}"), 1)
    assert (list(both.ids()), list(both.ids("room")), both.count) == (["a", "b", "c"], ["r", "NULL", "s"], 3)
    empty = KeySet(("id", "room"))
    assert (empty + PAIRS, PAIRS + empty) == (PAIRS, PAIRS) and not empty and PAIRS


@pytest.mark.parametrize("number", [0, 1, 2, 100])
@pytest.mark.parametrize("piece", [1, 7, 36, 37, 38, 10_000])
def test_ids_are_whole_wherever_the_literal_is_cut(monkeypatch: pytest.MonkeyPatch, number: int, piece: int) -> None:
    monkeypatch.setattr(keys, "_PIECE", piece)
    ids = [f"00000000-0000-0000-0000-{place:012}" for place in range(number)]
    assert list(KeySet.of_ids(ids).ids()) == ids


def test_values_are_those_of_one_column_once_and_without_null() -> None:
    assert KeySet(("id", "room"), ("{a,b,c,d}", "{s,NULL,r,s}"), 4).values("room") == ["r", "s"]
    assert without(PAIRS, {"a"}) == ["b"]


def test_set_is_read_from_its_row_and_may_be_empty() -> None:
    found = key_set(("id", "room"), (2, "{a,b}", "{r,s}"))
    assert (found.columns, found.literals, found.count) == (("id", "room"), ("{a,b}", "{r,s}"), 2)
    nothing = key_set(("id", "room"), (0, None, None))
    assert (list(nothing.ids()), list(nothing.ids("room")), nothing.count) == ([], [], 0)


def test_condition_has_the_types_of_the_columns_it_is_about() -> None:
    made = catalogue({"a": "id*", "b": "a_id* number*:int"}, {})
    build, table = Sql(made), made.table("b")
    assert text(build.within(table, ("a_id",), PAIRS, ("id",))) == "a_id = ANY ('{a,b}'::uuid[])"
    assert text(build.within(table, ("a_id",), PAIRS, ("id",), alias="x")) == "x.a_id = ANY ('{a,b}'::uuid[])"
    numbered = KeySet(("number", "id"), ("{1}", "{a}"), 1)
    assert (
        text(build.within(table, ("a_id", "number"), numbered, ("id", "number")))
        == "(a_id, number) IN (SELECT * FROM unnest('{a}'::uuid[], '{1}'::int[]))"
    )


def test_values_and_names_are_never_part_of_the_sql() -> None:
    """Each is handed to psycopg2 as what it is, which then quotes it."""
    evil = "'\"; DROP TABLE users"
    made = catalogue({"t": "id*"}, {})
    made.types[made.table(evil)] = {evil: "uuid"}
    condition = Sql(made).within(made.table(evil), (evil,), KeySet((evil,), (evil,), 1), (evil,))
    query = Sql(made).keys(made.table(evil), (evil,), condition, lock=True)
    assert evil not in "".join(_plain(query)) and "FOR UPDATE" in "".join(_plain(query))
    assert text(query).count(evil) == 6


def _plain(query: sql.Composable) -> list[str]:
    if isinstance(query, sql.Composed):
        return [part for inner in query.seq for part in _plain(inner)]
    return [query.string] if isinstance(query, sql.SQL) else []


def test_rows_are_locked_in_the_order_of_their_key() -> None:
    """Two jobs that lock the same rows of a table then wait for each other, but never in a circle."""
    made = catalogue(TABLES, REFERENCES)
    query = Sql(made).keys(made.table("favorites"), ("event_id",), sql.SQL("true"), lock=True)
    assert text(query) == (
        "SELECT count(*), array_agg(event_id)::text FROM"
        " (SELECT event_id FROM main.favorites WHERE true ORDER BY user_id, event_id FOR UPDATE) found"
    )
    assert "FOR UPDATE" not in text(Sql(made).keys(made.table("rooms"), ("id",), sql.SQL("true"), lock=False))


def test_none_of_no_conditions_holds() -> None:
    assert text(any_of([])) == "false"
    assert text(any_of([sql.SQL("a"), sql.SQL("b")])) == "(a OR b)"
