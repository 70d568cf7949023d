# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts that the catalogue lacks: which rows go although their foreign key has no rule, and which rows are carried.

The names are those of the controller's schema, migrations 52 to 67.
"""

from __future__ import annotations

# Foreign keys without an ON DELETE rule whose referring rows go with the row to which they refer.
OWNED = frozenset(
    {
        ("event_email_invites", "created_by"),
        ("event_exceptions", "created_by"),
        ("event_invites", "created_by"),
        ("event_invites", "invitee"),
        ("event_shared_folders", "event_id"),
        ("events", "created_by"),
        ("events", "room"),
        ("invites", "created_by"),
        ("module_resources", "created_by"),
        ("module_resources", "room_id"),
        ("room_assets", "room_id"),
        ("rooms", "created_by"),
        ("user_groups", "user_id"),
    }
)

# Foreign keys whose referring rows stay. The column gets the value of another column of the same row.
REPOINTED = {
    ("events", "updated_by"): "created_by",
    ("invites", "updated_by"): "created_by",
}

# Columns that count the changes of a row, by table. The controller counts it, too, when it gives a row another updated_by.
REVISIONS = {"events": "revision"}

# Foreign keys to carried rows, which go with the row that refers to them: the room of an event, the asset of a room.
CARRIED = frozenset({("events", "room"), ("room_assets", "asset_id")})

# The table of permissions, and the tables of the resources whose ids its rows contain.
PERMISSIONS = "casbin_rule"
RESOURCES = ("rooms", "events", "module_resources", "invites", "users")
