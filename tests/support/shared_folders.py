# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the shared folders that a database records on a cloud."""

from __future__ import annotations

import json
from typing import Any

from psycopg2.extras import execute_values

from support.cloud_server import CloudServer
from support.snapshot import Snapshot, parsed


def make(connection: Any, cloud: CloudServer) -> None:
    """Make every folder that the database records, with share links, and commit the links' ids."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT event_id::text, path FROM event_shared_folders")
        records = {event: cloud.shared_folder(path) for event, path in cursor.fetchall()}
        cursor.execute(
            "SELECT 1 FROM information_schema.columns WHERE (table_schema, table_name, column_name)"
            " = ('public', 'event_shared_folders', 'provider_data')"
        )
        if cursor.fetchall():
            values, columns = "(event_id, data)", "provider_data = data::jsonb"
            rows = [(event, json.dumps(record)) for event, record in records.items()]
        else:
            values, columns = "(event_id, write, read)", "write_share_id = write, read_share_id = read"
            rows = [(event, record["write_share_id"], record["read_share_id"]) for event, record in records.items()]
        statement = f"UPDATE event_shared_folders f SET {columns} FROM (VALUES %s) v {values}"
        execute_values(cursor, f"{statement} WHERE f.event_id = v.event_id::uuid", rows)


def stock(cloud: CloudServer, before: Snapshot) -> None:
    """Make the folders and share links that the database records for this cloud, and other folders beside them.

    One in five folders is missing with its links. Of another one in five only the folder is missing.
    """
    cloud.folders.clear()
    cloud.shares.clear()
    for path in (cloud.directory, f"{cloud.directory}x/a", "private"):
        cloud.make_folder(path)
    for number, row in enumerate(parsed(before)["event_shared_folders"]):
        path = "/".join(segments(row["path"]))
        if not path or ".." in path or number % 5 == 4:
            continue
        for suffix in ("", "/inner", "x") if number % 5 != 3 else ():
            cloud.make_folder(path + suffix)
        cloud.shares.update(dict.fromkeys(record(row)[1], path))


def segments(path: str) -> list[str]:
    """The names in a path."""
    return [segment for segment in path.split("/") if segment]


def record(row: dict[str, Any]) -> tuple[str, list[str]]:
    """The provider's name and the ids of the share links, from the old or the new columns."""
    data = row.get("provider_data") or {"type": "nextcloud", **row}
    if data["type"] == "nextcloud":
        return "nextcloud", [data["write_share_id"], data["read_share_id"]]
    return "opencloud", []
