# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Works out the database after a deletion, row by row from a snapshot, without code of the collection."""

from __future__ import annotations

import json
from typing import Any

from support.snapshot import Snapshot, parsed

# By table: when the row to which the column refers goes, the row of the table goes. For the controller's schemas 52 to 67.
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


# If the user in the first column goes and the row stays, the first column gets the value of the second one.
REPOINTED = {"events": ("updated_by", "created_by"), "invites": ("updated_by", "created_by")}


def survivors(before: Snapshot, table: str, ids: set[str]) -> Snapshot:
    """The database after the deletion of these rows of the table."""
    content = parsed(before)
    gone = _gone(content, table, ids)
    tenants = {event["id"]: event["tenant_id"] for event in content["events"]}
    freed = _addresses(content["users"], gone["users"]) - _addresses(
        content["users"], {user["id"] for user in content["users"]} - gone["users"]
    )
    after: Snapshot = {}
    for name, rows in content.items():
        if name not in _TOUCHED:
            after[name] = before[name]
            continue
        kept = []
        for row, text in zip(rows, before[name], strict=True):
            if row.get("id") in gone.get(name, ()) or _belongs(name, row, gone) or _permits(name, row, gone):
                continue
            if name == "event_email_invites" and (row["email"].lower(), tenants[row["event_id"]]) in freed:
                continue
            kept.append(_repointed(name, row, text, gone["users"]))
        after[name] = sorted(kept)
    return after


def _addresses(users: list[dict[str, Any]], ids: set[str]) -> set[tuple[str, str]]:
    """The mail addresses of the users with these ids, each with its tenant."""
    return {(user["email"].lower(), user["tenant_id"]) for user in users if user["id"] in ids}


def addresses_of_others(users: list[dict[str, Any]], ids: set[str]) -> set[str]:
    """Those of the ids whose users have an address that a user with another id has, too."""
    others = _addresses(users, {user["id"] for user in users} - ids)
    return {id for id in ids if not _addresses(users, {id}).isdisjoint(others)}


def without_permissions(before: Snapshot, invites: set[str]) -> Snapshot:
    """The database after the deletion of the permissions of these invites, and of nothing else."""
    gone = {name: invites if name == "invites" else set() for name in IDENTIFIED}
    rows = [row for row in before.get("casbin_rule", []) if not _permits("casbin_rule", json.loads(row), gone)]
    return {**before, "casbin_rule": rows} if "casbin_rule" in before else before


# Tables whose ids are in other rows.
IDENTIFIED = ("users", "rooms", "events", "assets", "invites", "module_resources")
# All tables whose rows may go or change.
_TOUCHED = {*BELONGS, *REPOINTED, *IDENTIFIED, "casbin_rule"}
_NOTHING: dict[str, str] = {}


def _gone(content: dict[str, list[dict[str, Any]]], table: str, ids: set[str]) -> dict[str, set[str]]:
    gone: dict[str, set[str]] = {name: set() for name in IDENTIFIED}
    gone[table] |= ids
    while True:
        size = sum(map(len, gone.values()))
        for name in ("rooms", "events", "invites", "module_resources"):
            gone[name] |= {row["id"] for row in content[name] if _belongs(name, row, gone)}
        gone["rooms"] |= {row["room"] for row in content["events"] if row["id"] in gone["events"]}
        gone["assets"] |= {row["asset_id"] for row in content["room_assets"] if row["room_id"] in gone["rooms"]}
        if sum(map(len, gone.values())) == size:
            return gone


def _belongs(table: str, row: dict[str, Any], gone: dict[str, set[str]]) -> bool:
    # This runs for every row, so it does without a generator.
    for column, target in BELONGS.get(table, _NOTHING).items():
        if row[column] in gone[target]:
            return True
    return False


def _repointed(table: str, row: dict[str, Any], text: str, users: set[str]) -> str:
    column, source = REPOINTED.get(table, (None, None))
    if column is None or row[column] not in users:
        return text
    assert row[source] not in users, f"a row of {table} stays although its creator goes"
    changed, expected = (
        text.replace(f'"{column}": "{row[column]}"', f'"{column}": "{row[source]}"'),
        {column: row[source]},
    )
    if "revision" in row:
        # The controller counts this change.
        expected["revision"] = row["revision"] + 1
        changed = changed.replace(f'"revision": {row["revision"]}', f'"revision": {expected["revision"]}')
    assert json.loads(changed) == {**row, **expected}
    return changed


def _permits(table: str, row: dict[str, Any], gone: dict[str, set[str]]) -> bool:
    """Whether the row permits something to a user or an invite that goes, or permits something on a thing that goes."""
    if table != "casbin_rule" or row["ptype"] not in ("p", "g"):
        return False
    kind, _unused, identifier = row["v0"].partition("::")
    if kind == "user" and identifier in gone["users"]:
        return True
    if row["ptype"] == "g":
        return False
    if kind == "invite" and identifier in gone["invites"]:
        return True
    match row["v1"].split("/"):
        case ["", ("rooms" | "events") as resources, thing, *_]:
            return thing in gone[resources]
        case ["", "users", "me", "event_favorites", event]:
            return event in gone["events"]
        case ["", "module_resources", thing]:
            return thing in gone["module_resources"]
    return False
