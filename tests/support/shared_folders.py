# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shared folders that a database records, on a cloud server."""

from __future__ import annotations

import json
from typing import Any

from psycopg2.extras import execute_values

from support.cloud_server import CloudServer


def make(connection: Any, cloud: CloudServer) -> None:
    """Make every folder that the database records, with share links, record these, and commit."""
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
