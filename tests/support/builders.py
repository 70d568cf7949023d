# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inserts single rows for tests that need exact ones, on every supported schema."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

from psycopg2 import sql


class Builder:
    """Inserts rows and commits. Every method returns the id of the row."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._number = 0
        self.columns = set(
            self._execute(
                "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
            )
        )
        self._tenant = self.tenant()
        self._tariff = self._insert("tariffs", id=_id(), name=_id(), quotas="{}", disabled_modules=[])

    def tenant(self) -> str:
        return self._insert("tenants", id=_id(), oidc_tenant_id=_id())

    def user(self, **columns: Any) -> str:
        self._number += 1
        return self._insert(
            "users",
            **{
                "id": _id(), "oidc_sub": _id(), "email": f"user{self._number}@example.org", "title": "",
                "firstname": "First", "lastname": "Last", "language": "de", "display_name": "First Last",
                "tenant_id": self._tenant, "tariff_id": self._tariff, **columns,
            },
        )  # fmt: skip

    def room(self, created_by: str, **columns: Any) -> str:
        return self._insert("rooms", id=_id(), created_by=created_by, tenant_id=self._tenant, **columns)

    def event(
        self,
        created_by: str,
        *,
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
        starts_at_tz: str = "Europe/Berlin",
        recurrence_pattern: str | None = None,
        duration_secs: int = 3600,
        is_all_day: bool = False,
        **columns: Any,
    ) -> str:
        """An event with a room of its own, unless one is given."""
        dates = {
            "starts_at": starts_at, "starts_at_tz": starts_at_tz, "ends_at": ends_at, "ends_at_tz": starts_at_tz,
            "is_all_day": is_all_day, "duration_secs": duration_secs, "recurrence_pattern": recurrence_pattern,
            "is_recurring": recurrence_pattern is not None,
        }  # fmt: skip
        inline = self._existing("events", dates) if ends_at else {}
        if ("events", "is_time_independent") in self.columns:
            inline["is_time_independent"] = ends_at is None
        room = columns.pop("room", None) or self.room(created_by)
        event = self._insert(
            "events",
            **{
                "id": _id(), "title": "A title", "description": "A description", "room": room, "created_by": created_by,
                "updated_by": created_by, "tenant_id": self._tenant, **inline, **columns,
            },
        )  # fmt: skip
        if ends_at and ("event_dates", "event_id") in self.columns:
            self._insert("event_dates", event_id=event, **self._existing("event_dates", dates))
            if recurrence_pattern and ("event_recurrences", "event_id") in self.columns:
                self._insert("event_recurrences", event_id=event, recurrence_pattern=recurrence_pattern)
        return event

    def room_of(self, event: str) -> str:
        return self._execute("SELECT room::text FROM events WHERE id = %s", (event,))[0][0]

    def exception(self, event: str, created_by: str, **columns: Any) -> str:
        return self._insert(
            "event_exceptions",
            id=_id(),
            event_id=event,
            exception_date=columns.pop("exception_date", datetime(2026, 1, 1)),
            exception_date_tz="UTC",
            created_by=created_by,
            **columns,
        )

    def invite(self, room: str, **columns: Any) -> str:
        """An invite by the room's owner, with its permissions."""
        ((owner,),) = self._execute("SELECT created_by::text FROM rooms WHERE id = %s", (room,))
        invite = self._insert(
            "invites",
            **{"id": _id(), "created_by": owner, "updated_by": owner, "room": room, "active": True, **columns},
        )
        for path in (f"/rooms/{room}", f"/rooms/{room}/start"):
            self.permission(f"invite::{invite}", path)
        return invite

    def mail_invitation(self, event: str, email: str, created_by: str) -> None:
        self._insert("event_email_invites", event_id=event, email=email, created_by=created_by)

    def permission(self, subject: str, path: str) -> None:
        """A permission row, if the schema has such rows."""
        if ("casbin_rule", "v0") in self.columns:
            self._execute(
                "INSERT INTO casbin_rule (ptype, v0, v1, v2, v3, v4, v5) VALUES ('p', %s, %s, 'get', '', '', '')",
                (subject, path),
            )

    def asset(self, room: str, size: int = 10) -> str:
        return self.assets(room, 1, size)[0]

    def assets(self, room: str, number: int, size: int = 10) -> list[str]:
        rows = self._execute(
            "WITH made AS (INSERT INTO assets (id, kind, filename, tenant_id, size)"
            " SELECT gen_random_uuid(), 'recording', 'recording.webm', %s, %s FROM generate_series(1, %s) RETURNING id)"
            " INSERT INTO room_assets (room_id, asset_id) SELECT %s, id FROM made RETURNING asset_id::text",
            (self._tenant, size, number, room),
        )
        return [row[0] for row in rows]

    def shared_folder(self, event: str, path: str, record: dict[str, Any] | None = None) -> str:
        """A record of a shared folder.

        :param record: the provider's ids, in the form of `provider_data`
        """
        record = record or {"type": "nextcloud", "write_share_id": "17", "read_share_id": "18"}
        if ("event_shared_folders", "provider_data") in self.columns:
            shares = {"provider_data": json.dumps(record)}
        else:
            shares = {column: record[column] for column in ("write_share_id", "read_share_id")}
        return self._insert(
            "event_shared_folders",
            **{
                "event_id": event, "path": path, "write_url": "https://cloud.example.org/w", "write_password": "planted-password",
                "read_url": "https://cloud.example.org/r", "read_password": "planted-password", **shares,
            },
        )  # fmt: skip

    def _existing(self, table: str, values: dict[str, Any]) -> dict[str, Any]:
        return {column: value for column, value in values.items() if (table, column) in self.columns}

    def _insert(self, table: str, **values: Any) -> str:
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
        )
        self._execute(statement, values)
        return values.get("id") or values["event_id"]

    def _execute(self, statement: Any, parameters: Any = None) -> list[tuple[Any, ...]]:
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []


def _id() -> str:
    return str(uuid.uuid4())
