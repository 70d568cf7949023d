# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What deleting must leave, worked out row by row from a snapshot and from nothing of the collection."""

from __future__ import annotations

import json
from typing import Any

from support.snapshot import Snapshot

# Rows of the table go when the row that the column names goes. Columns of the controller's schema, 52 to 67.
BELONGS = {
    "events": {"created_by": "users", "room": "rooms"},
    "rooms": {"created_by": "users"},
    "invites": {"created_by": "users", "room": "rooms"},
    "sip_configs": {"room": "rooms"},
    "room_streaming_targets": {"room_id": "rooms"},
    "module_resources": {"room_id": "rooms", "created_by": "users"},
    "room_assets": {"room_id": "rooms"},
    "user_groups": {"user_id": "users"},
    "event_dates": {"event_id": "events"},
    "event_recurrences": {"event_id": "events"},
    "event_email_invites": {"event_id": "events", "created_by": "users"},
    "event_exceptions": {"event_id": "events", "created_by": "users"},
    "event_favorites": {"event_id": "events", "user_id": "users"},
    "event_invites": {"event_id": "events", "invitee": "users", "created_by": "users"},
    "event_shared_folders": {"event_id": "events"},
    "event_training_participation_report_parameter_sets": {"event_id": "events"},
}


def survivors(before: Snapshot, table: str, ids: set[str]) -> Snapshot:
    """The database as it must be after these rows of the table were deleted."""
    content = {name: [json.loads(row) for row in rows] for name, rows in before.items()}
    gone: dict[str, set[str]] = {
        name: set() for name in ("users", "rooms", "events", "assets", "invites", "module_resources")
    }
    gone[table] |= ids
    while True:
        size = sum(map(len, gone.values()))
        for name in ("rooms", "events", "invites", "module_resources"):
            gone[name] |= {row["id"] for row in content[name] if _belongs(name, row, gone)}
        gone["rooms"] |= {row["room"] for row in content["events"] if row["id"] in gone["events"]}
        gone["assets"] |= {row["asset_id"] for row in content["room_assets"] if row["room_id"] in gone["rooms"]}
        if sum(map(len, gone.values())) == size:
            break
    after: Snapshot = {}
    for name, rows in content.items():
        kept = []
        for row, text in zip(rows, before[name], strict=True):
            if row.get("id") in gone.get(name, ()) or _belongs(name, row, gone) or _permits(name, row, gone):
                continue
            if row.get("updated_by") in gone["users"]:
                text = text.replace(f'"updated_by": "{row["updated_by"]}"', f'"updated_by": "{row["created_by"]}"')
            kept.append(text)
        after[name] = sorted(kept)
    return after


def _belongs(table: str, row: dict[str, Any], gone: dict[str, set[str]]) -> bool:
    return any(row[column] in gone[target] for column, target in BELONGS.get(table, {}).items())


def _permits(table: str, row: dict[str, Any], gone: dict[str, set[str]]) -> bool:
    if table != "casbin_rule":
        return False
    kind, _, identifier = row["v0"].partition("::")
    if kind == "user" and identifier in gone["users"] and row["ptype"] in ("p", "g"):
        return True
    if row["ptype"] != "p":
        return False
    parts = row["v1"].split("/")
    return (
        (kind == "invite" and identifier in gone["invites"])
        or (parts[1] in ("rooms", "events") and len(parts) > 2 and parts[2] in gone[parts[1]])
        or (parts[1:4] == ["users", "me", "event_favorites"] and len(parts) == 5 and parts[4] in gone["events"])
        or (parts[1] == "module_resources" and len(parts) == 3 and parts[2] in gone["module_resources"])
    )
