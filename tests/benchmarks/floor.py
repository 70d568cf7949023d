# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor: SQL for exactly this schema, written by hand, with all indexes and in one transaction."""

from __future__ import annotations

from typing import Any

_ENDED = (
    "FROM events e JOIN event_dates d ON d.event_id = e.id LEFT JOIN event_recurrences r ON r.event_id = e.id"
    " WHERE r.recurrence_pattern IS NULL AND d.ends_at <= now() - interval '30 days'"
)
_ENDED_BEFORE = (
    "FROM events e JOIN event_dates d ON d.event_id = e.id"
    " WHERE d.recurrence_pattern IS NULL AND d.ends_at <= now() - interval '30 days'"
)
_OF_EVENTS = (
    "event_recurrences", "event_dates", "event_email_invites", "event_exceptions", "event_favorites", "event_invites",
    "event_shared_folders", "event_training_participation_report_parameter_sets",
)  # fmt: skip
_OF_ROOMS = (
    ("invites", "room"), ("module_resources", "room_id"), ("room_streaming_targets", "room_id"), ("sip_configs", "room"),
)  # fmt: skip


def delete_ended_events(cursor: Any, *, permissions: bool = False) -> None:
    """:param permissions: whether the schema is an older one, with permissions and without a table of recurrences"""
    cursor.execute(
        f"CREATE TEMP TABLE gone_events ON COMMIT DROP AS SELECT e.id, e.room {_ENDED_BEFORE if permissions else _ENDED};"
        "CREATE TEMP TABLE gone_rooms ON COMMIT DROP AS SELECT room AS id FROM gone_events;"
        "ANALYZE gone_events, gone_rooms"
    )
    if permissions:
        _delete_permissions(cursor)
    _delete_events_and_rooms(cursor, _OF_EVENTS[1:] if permissions else _OF_EVENTS)


def delete_disabled_users(cursor: Any) -> None:
    cursor.execute(
        "CREATE TEMP TABLE gone_users ON COMMIT DROP AS"
        " SELECT id FROM users WHERE disabled_since <= now(); ANALYZE gone_users;"
        "CREATE TEMP TABLE gone_rooms ON COMMIT DROP AS"
        " SELECT id FROM rooms WHERE created_by IN (SELECT id FROM gone_users)"
        " UNION SELECT room FROM events WHERE created_by IN (SELECT id FROM gone_users); ANALYZE gone_rooms;"
        "CREATE TEMP TABLE gone_events ON COMMIT DROP AS"
        " SELECT id FROM events WHERE room IN (SELECT id FROM gone_rooms); ANALYZE gone_events"
    )
    for table, columns in {
        "event_email_invites": ["created_by"],
        "event_exceptions": ["created_by"],
        "event_favorites": ["user_id"],
        "event_invites": ["created_by", "invitee"],
        "invites": ["created_by"],
        "module_resources": ["created_by"],
        "user_groups": ["user_id"],
    }.items():
        for column in columns:
            cursor.execute(f"DELETE FROM {table} t USING gone_users u WHERE t.{column} = u.id")
    _delete_events_and_rooms(cursor)
    for table in ("events", "invites"):
        cursor.execute(f"UPDATE {table} t SET updated_by = created_by FROM gone_users u WHERE t.updated_by = u.id")
    cursor.execute("DELETE FROM users t USING gone_users u WHERE t.id = u.id")


def plan_ended_events(cursor: Any) -> None:
    """Only the queries of the plan: all ids that go, and the number of rows of every table."""
    cursor.execute(
        f"CREATE TEMP TABLE gone_events ON COMMIT DROP AS SELECT e.id, e.room {_ENDED};"
        "CREATE TEMP TABLE gone_rooms ON COMMIT DROP AS SELECT room AS id FROM gone_events;"
        "ANALYZE gone_events, gone_rooms"
    )
    for table in _OF_EVENTS:
        cursor.execute(f"SELECT count(*) FROM {table} t JOIN gone_events e ON t.event_id = e.id")
    for table, column in _OF_ROOMS[1:]:  # the invites are read
        cursor.execute(f"SELECT count(*) FROM {table} t JOIN gone_rooms r ON t.{column} = r.id")
    for query in (
        "SELECT id, room FROM gone_events ORDER BY id",
        "SELECT i.id FROM invites i JOIN gone_rooms r ON i.room = r.id ORDER BY i.id",
        "SELECT a.id, a.size FROM assets a JOIN room_assets l ON l.asset_id = a.id JOIN gone_rooms r ON r.id = l.room_id",
    ):
        cursor.execute(query)
        cursor.fetchall()


def _delete_permissions(cursor: Any) -> None:
    """Delete the permissions of everything below the rooms and events that go; an invite's permission is below its room."""
    for things in ("rooms", "events"):
        cursor.execute(
            f"DELETE FROM casbin_rule c USING gone_{things} g WHERE c.ptype = 'p'"
            f" AND c.v1 LIKE '/{things}/%' AND split_part(c.v1, '/', 3) = g.id::text"
        )
    for path, ids in {
        "/users/me/event_favorites/": "SELECT id FROM gone_events",
        "/module_resources/": "SELECT m.id FROM module_resources m JOIN gone_rooms r ON r.id = m.room_id",
    }.items():
        cursor.execute(f"DELETE FROM casbin_rule c USING ({ids}) g WHERE c.ptype = 'p' AND c.v1 = '{path}' || g.id")


def _delete_events_and_rooms(cursor: Any, of_events: tuple[str, ...] = _OF_EVENTS) -> None:
    for table in of_events:
        cursor.execute(f"DELETE FROM {table} t USING gone_events e WHERE t.event_id = e.id")
    cursor.execute("DELETE FROM events t USING gone_events e WHERE t.id = e.id")
    for table, column in _OF_ROOMS:
        cursor.execute(f"DELETE FROM {table} t USING gone_rooms r WHERE t.{column} = r.id")
    cursor.execute(
        "WITH links AS (DELETE FROM room_assets t USING gone_rooms r WHERE t.room_id = r.id RETURNING t.asset_id)"
        " DELETE FROM assets a USING links WHERE a.id = links.asset_id"
    )
    cursor.execute("DELETE FROM rooms t USING gone_rooms r WHERE t.id = r.id")
