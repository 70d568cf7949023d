# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from deleting rows of a table, on catalogues that are made up."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import SchemaError
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.graph import Change, DeletionGraph, Edge

from support.catalogues import REFERENCES, TABLES, catalogue


def graph(root: str, tables: dict[str, str], references: dict[str, str]) -> DeletionGraph:
    made = catalogue({**TABLES, **tables}, {**REFERENCES, **references})
    return DeletionGraph(made, made.table(root))


def edges(found: Iterable[Edge]) -> set[str]:
    return {
        f"{edge.source.label}.{','.join(edge.source_columns)} > {edge.target.label}.{','.join(edge.target_columns)}"
        for edge in found
    }


def changes(found: Iterable[Change]) -> set[str]:
    return {
        f"{change.reference.table.label}.{','.join(change.reference.columns)} = {change.replacement}"
        for change in found
    }


def test_events_take_along_what_refers_to_them_and_their_rooms() -> None:
    found = graph("events", {}, {})
    assert [table.label for table in found.tables] == ["events", "favorites", "rooms", "invites"]
    assert edges(found.edges) == {
        "events.id > favorites.event_id",
        "events.room > rooms.id",
        "rooms.id > events.room",
        "rooms.id > invites.room",
    }
    assert edges(filter(found.carries, found.edges)) == {"events.room > rooms.id"}
    assert changes(found.changes) == {"notes.event_id = None"}


def test_users_leave_what_they_only_updated() -> None:
    found = graph("users", {}, {})
    assert changes(found.changes) == {
        "events.updated_by = created_by",
        "invites.updated_by = created_by",
        "notes.event_id = None",
    }
    into_events = {edge for edge in edges(found.edges) if "> events." in edge}
    assert into_events == {"users.id > events.created_by", "rooms.id > events.room"}


def test_only_users_who_are_roots_take_along_invitations_to_their_address() -> None:
    tables = {"users": "id* email:text", "event_email_invites": "event_id* email*:text"}
    for root, by_address in (("users", {"users.id > event_email_invites.email"}), ("events", set())):
        found = graph(root, tables, {"event_email_invites.event_id -> events.id": "c"})
        assert edges(edge for edge in found.edges if edge.by_address) == by_address
        assert "events.id > event_email_invites.event_id" in edges(found.edges)
    assert not any(edge.by_address for edge in graph("users", {"event_email_invites": "event_id*"}, {}).edges)


def test_rooms_leave_events_no_way_to_their_users() -> None:
    assert "users" not in {table.label for table in graph("rooms", {}, {}).tables}


@pytest.mark.parametrize("rule", ["a", "r", "d"])
@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("new.room -> rooms.id", "new, column room refers to rooms"),
        ("new.room,owner -> rooms.id,created_by", "new, column room, owner refers to rooms"),
        ("other.events.created_by -> rooms.created_by", "other.events, column created_by refers to rooms"),
    ],
)
def test_reference_without_a_known_end_is_refused(reference: str, named: str, rule: str) -> None:
    """Also one that is known by its name in the controller's schema, but is in another."""
    tables = {"new": "id* room owner", "other.events": "id* created_by"}
    with pytest.raises(SchemaError, match=named):
        graph("events", tables, {reference: rule})
    graph("events", tables, {reference: "c"})
    graph("favorites", tables, {reference: rule})


def test_room_that_events_may_share_is_refused() -> None:
    with pytest.raises(SchemaError, match="events, column room is not unique"):
        graph("events", {"events": "id* room created_by updated_by"}, {})


def test_cascades_are_followed_in_circles_and_over_several_columns() -> None:
    found = graph(
        "events",
        {"other.threads": "event_id* number*:int", "other.posts": "id* event_id number:int answers"},
        {
            "other.threads.event_id -> events.id": "c",
            "other.posts.event_id,number -> other.threads.event_id,number": "c",
            "other.posts.answers -> other.posts.id": "c",
        },
    )
    assert edges(found.edges) >= {
        "events.id > other.threads.event_id",
        "other.threads.event_id,number > other.posts.event_id,number",
        "other.posts.id > other.posts.answers",
    }
    (posts,) = (table for table in found.tables if table.name == "posts")
    assert found.tracked_columns(posts) == ("id",)


# Settings belong to a room and are known by its id, as are their values.
CHAIN = {"settings": "room_id*", "values": "id* room_id"}
CHAIN_REFERENCES = {"settings.room_id -> rooms.id": "c", "values.room_id -> settings.room_id": "c"}


def test_graph_for_reading_needs_no_look_at_rows_between() -> None:
    whole = graph("rooms", CHAIN, CHAIN_REFERENCES)
    reading = whole.for_reading()
    settings = whole.catalogue.table("settings")
    assert "settings.room_id > values.room_id" in edges(whole.edges)
    assert whole.tracked_columns(settings) == ("room_id",)
    assert edges(reading.edges) >= {"rooms.id > settings.room_id", "rooms.id > values.room_id"}
    assert "settings.room_id > values.room_id" not in edges(reading.edges)
    assert reading.tracked_columns(settings) == () and reading.tables == whole.tables


def test_nothing_is_shortened_where_rows_are_found_in_more_than_one_way() -> None:
    other_way = {"settings.room_id -> events.id": "c"}
    reading = graph("rooms", CHAIN, {**CHAIN_REFERENCES, **other_way}).for_reading()
    assert "settings.room_id > values.room_id" in edges(reading.edges)


def test_nothing_is_shortened_where_the_row_between_has_another_key() -> None:
    tables = {"settings": "id* room_id", "values": "id* setting_id"}
    references = {"settings.room_id -> rooms.id": "c", "values.setting_id -> settings.id": "c"}
    reading = graph("rooms", tables, references).for_reading()
    assert "settings.id > values.setting_id" in edges(reading.edges)


def test_nothing_is_shortened_over_a_carried_row() -> None:
    reading = graph("events", {}, {}).for_reading()
    assert edges(reading.edges) == edges(graph("events", {}, {}).edges)


def test_only_what_is_needed_is_known_of_rows() -> None:
    made = catalogue(TABLES, REFERENCES)
    events = DeletionGraph(made, made.table("events"))
    known = {table.label: events.tracked_columns(table) for table in events.tables}
    assert known == {"events": ("id", "room"), "favorites": (), "rooms": ("id",), "invites": ()}
    more = DeletionGraph(made, made.table("events"), locked=("favorites",), read={"invites": ("room",)})
    assert more.tracked_columns(made.table("favorites")) == ("user_id", "event_id")
    assert more.tracked_columns(made.table("invites")) == ("id", "room")
    assert more.for_reading().tracked_columns(made.table("favorites")) == ()


def test_ids_of_resources_are_known_where_there_are_permissions() -> None:
    invites = graph("events", {"casbin_rule": "id*:int"}, {})
    assert invites.tracked_columns(invites.catalogue.table("invites")) == ("id",)
