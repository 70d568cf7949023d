# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Row by row: each event, room and user in a transaction of its own, and each object with a request of its own.

By its documentation, the controller's own jobs work like this. The time is measured on a sample and extrapolated.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_OF_EVENT = (
    "event_recurrences", "event_dates", "event_email_invites", "event_exceptions", "event_favorites", "event_invites",
    "event_shared_folders", "event_training_participation_report_parameter_sets",
)  # fmt: skip
_OF_ROOM = (
    ("invites", "room"), ("module_resources", "room_id"), ("room_streaming_targets", "room_id"), ("sip_configs", "room"),
    ("room_assets", "room_id"),
)  # fmt: skip
_OF_USER = (
    ("event_email_invites", "created_by"), ("event_exceptions", "created_by"), ("event_favorites", "user_id"),
    ("event_invites", "created_by"), ("event_invites", "invitee"), ("invites", "created_by"),
    ("module_resources", "created_by"), ("user_groups", "user_id"),
)  # fmt: skip


def extrapolate(sample: list[Any], total: int, work: Callable[[Any], None]) -> float:
    """The estimated seconds for all rows, from the seconds for a sample."""
    started = time.monotonic()
    for thing in sample:
        work(thing)
    return (time.monotonic() - started) / len(sample) * total


def delete_event(connection: Any, delete_object: Callable[[str], None], event: str) -> None:
    """Delete an event with its room, and commit."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT room FROM events WHERE id = %s", (event,))
        (room,) = cursor.fetchone()
        _delete_objects(cursor, delete_object, room)
        for table in _OF_EVENT:
            cursor.execute(f"DELETE FROM {table} WHERE event_id = %s", (event,))
        cursor.execute("DELETE FROM events WHERE id = %s", (event,))
        _delete_room(cursor, room)
    connection.commit()


def delete_user(connection: Any, delete_object: Callable[[str], None], user: str) -> None:
    """Delete a user with their events and rooms, and commit after each."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.id FROM events e JOIN rooms r ON r.id = e.room WHERE %s IN (e.created_by, r.created_by)", (user,)
        )
        for (event,) in cursor.fetchall():
            delete_event(connection, delete_object, event)
        cursor.execute("SELECT id FROM rooms WHERE created_by = %s", (user,))
        for (room,) in cursor.fetchall():
            _delete_objects(cursor, delete_object, room)
            _delete_room(cursor, room)
        for table, column in _OF_USER:
            cursor.execute(f"DELETE FROM {table} WHERE {column} = %s", (user,))
        for table in ("events", "invites"):
            cursor.execute(f"UPDATE {table} SET updated_by = created_by WHERE updated_by = %s", (user,))
        cursor.execute("DELETE FROM users WHERE id = %s", (user,))
    connection.commit()


def sync_account(connection: Any, subject: str, enabled: bool) -> None:
    """Find the user of an account, enable or disable the user, and commit."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, disabled_since FROM users WHERE oidc_sub = %s", (subject,))
        row = cursor.fetchone()
        if row and (row[1] is None) != enabled:
            value = "NULL" if enabled else "now()"
            cursor.execute(f"UPDATE users SET disabled_since = {value} WHERE id = %s", (row[0],))
    connection.commit()


def _delete_objects(cursor: Any, delete_object: Callable[[str], None], room: str) -> None:
    cursor.execute("SELECT 'assets/' || asset_id FROM room_assets WHERE room_id = %s", (room,))
    for (key,) in cursor.fetchall():
        delete_object(key)


def _delete_room(cursor: Any, room: str) -> None:
    cursor.execute("SELECT asset_id FROM room_assets WHERE room_id = %s", (room,))
    assets = [row[0] for row in cursor.fetchall()]
    for table, column in _OF_ROOM:
        cursor.execute(f"DELETE FROM {table} WHERE {column} = %s", (room,))
    for asset in assets:
        cursor.execute("DELETE FROM assets WHERE id = %s", (asset,))
    cursor.execute("DELETE FROM rooms WHERE id = %s", (room,))
