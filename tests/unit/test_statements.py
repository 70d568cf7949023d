# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one statement of a batch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.closure import Closure
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.graph import DeletionGraph
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.keys import KeySet
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.statements import delete_rows

from support.catalogues import REFERENCES, TABLES, catalogue
from support.scripted_database import ScriptedDatabase


def run(
    root: str,
    roots: KeySet,
    found: list[Any],
    counts: Iterable[int],
    tables: dict[str, str],
    references: dict[str, str],
) -> tuple[Any, list[str]]:
    """What the deletion gives and asks, on the standard catalogue with further tables and references.

    :param found: the answers to the queries of the closure
    :param counts: the numbers of rows, which the statement gives
    """
    made = catalogue({**TABLES, **tables}, {**REFERENCES, **references})
    reading, writing = ScriptedDatabase(*found), ScriptedDatabase([(count, 0) for count in counts])
    closure = Closure(reading, DeletionGraph(made, made.table(root)), roots, lock=True)  # type: ignore[arg-type]
    return delete_rows(writing, closure), writing.asked  # type: ignore[arg-type]


NOTHING = (0, None)
ROOM = KeySet.of_ids(["r1"])


def test_every_table_is_in_it_once_and_counted_as_what_it_is() -> None:
    found = [(1, "{e1}", "{r1}"), (1, "{r1}")]
    (deleted, updated), (statement,) = run("events", KeySet.of_ids(["e1"]), found, (10, 11, 12, 13, 14), {}, {})
    assert deleted == {"events": 10, "favorites": 11, "rooms": 12, "invites": 13} and updated == {"notes": 14}
    assert re.findall(r"DELETE FROM main\.(\w+)", statement) == list(deleted)
    assert re.findall(r"UPDATE main\.(\w+)", statement) == ["notes"]
    assert statement.count(" RETURNING 1 AS found)") == 5
    steps = [f"(SELECT ARRAY[count(*){', 0' * (number < 4)}] FROM step_{number})" for number in range(5)]
    assert statement.endswith(f" SELECT {', '.join(steps)}")


def test_table_without_rows_that_go_is_left_out() -> None:
    """A room without events: nothing can be a favorite or have notes."""
    (deleted, updated), (statement,) = run("rooms", ROOM, [(1, "{r1}"), (0, None, None)], (1, 0), {}, {})
    assert (deleted, updated) == ({"rooms": 1, "invites": 0}, {})
    assert "favorites" not in statement and "UPDATE" not in statement


def test_nothing_is_asked_when_nothing_goes() -> None:
    assert run("rooms", ROOM, [NOTHING], (), {}, {}) == (({}, {}), [])


def test_all_references_of_a_table_change_at_once() -> None:
    """A row with two of them would else be updated twice in one statement, of which PostgreSQL does only one."""
    references = {"other.talks.speaker -> users.id": "n", "other.talks.host,guest -> users.id,other": "nguest"}
    tables = {"users": "id* other", "other.talks": "id* speaker host guest"}
    found = [(1, "{u1}", "{x1}"), NOTHING, (0, None, None)]
    (_deleted, updated), (statement,) = run("users", KeySet.of_ids(["u1"]), found, range(1, 7), tables, references)
    (update,) = re.findall(r"UPDATE other\.talks .*? RETURNING", statement)
    speaker = "speaker = ANY ('{u1}'::uuid[])"
    guest = "(host, guest) IN (SELECT * FROM unnest('{u1}'::uuid[], '{x1}'::uuid[]))"
    assert update == (
        f"UPDATE other.talks SET speaker = CASE WHEN {speaker} THEN NULL ELSE speaker END,"
        f" guest = CASE WHEN {guest} THEN NULL ELSE guest END WHERE ({speaker} OR {guest}) RETURNING"
    )
    assert "other.talks" in updated


def test_column_of_two_references_is_set_once() -> None:
    references = {"notes.event_id,user_id -> favorites.event_id,user_id": "nevent_id"}
    found = [(1, "{e1}", "{r1}"), (1, "{u1}", "{e1}"), (1, "{r1}")]
    tables = {"notes": "id* event_id user_id"}
    _counts, (statement,) = run("events", KeySet.of_ids(["e1"]), found, range(1, 6), tables, references)
    (assignments,) = re.findall(r"UPDATE main\.notes SET (.*?) WHERE", statement)
    assert re.sub(r"WHEN .*? THEN", "WHEN … THEN", assignments) == (
        "event_id = CASE WHEN … THEN NULL WHEN … THEN NULL ELSE event_id END"
    )


def test_reference_to_who_updated_a_row_becomes_who_created_it() -> None:
    found = [(1, "{u1}"), NOTHING, (0, None, None)]
    (_deleted, updated), (statement,) = run("users", KeySet.of_ids(["u1"]), found, range(1, 6), {}, {})
    by_user = "updated_by = ANY ('{u1}'::uuid[])"
    assert f"UPDATE main.events SET updated_by = CASE WHEN {by_user} THEN created_by ELSE updated_by END" in statement
    assert set(updated) == {"events", "invites"}


def test_permissions_go_with_their_resources() -> None:
    found = [(1, "{r1}"), (0, None, None), (1, "{i1}")]
    tables = {"casbin_rule": "id*:int ptype:text v0:text v1:text"}
    (deleted, _updated), (statement,) = run("rooms", ROOM, found, (1, 2, 3), tables, {})
    assert deleted == {"rooms": 1, "invites": 2, "casbin_rule": 3}
    (condition,) = re.findall(r"DELETE FROM main\.casbin_rule WHERE (.*?) RETURNING", statement)
    assert condition == (
        "((ptype = 'p' AND ((v1 LIKE '/rooms/%' AND split_part(v1, '/', 3) = ANY ('{r1}'::text[]))"
        " OR v0 = ANY ('{invite::i1}'::text[]))))"
    )
