# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the catalogue cannot tell: which references without a rule own their rows, and what goes the other way.

Names are those of the controller's schema, migrations 52 to 67.
"""

from __future__ import annotations

# Referencing rows that go with the referenced row although the foreign key has no ON DELETE rule.
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

# Referencing rows that stay: the column is set to the value of another column of the same row.
REPOINTED = {
    ("events", "updated_by"): "created_by",
    ("invites", "updated_by"): "created_by",
}

# Referenced rows that go with the referencing row: the room of an event, the asset of a room.
CARRIED = frozenset({("events", "room"), ("room_assets", "asset_id")})

# The table, and the tables of resources whose ids its rows name.
PERMISSIONS = "casbin_rule"
RESOURCES = ("rooms", "events", "module_resources", "invites", "users")
