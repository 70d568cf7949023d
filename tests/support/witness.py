# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Triggers that keep each deleted row as it was at that moment, with the session that deleted it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg2 import sql

from support.world import World

TABLES = ("events", "event_dates", "event_recurrences", "rooms", "users", "invites", "assets")
Row = dict[str, Any]


@dataclass
class Deletion:
    """The rows that one transaction deleted.

    :ivar by: the application name of the session
    :ivar at: when the transaction began
    """

    by: str
    at: datetime
    rows: dict[str, list[Row]]


class Witness:
    """Watches a database until :meth:`dismiss` is called."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.query(
            "CREATE SCHEMA witness;"
            "CREATE UNLOGGED TABLE witness.deleted"
            " (transaction bigint, at timestamptz, by text, table_name text, gone jsonb);"
            "CREATE FUNCTION witness.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO witness.deleted VALUES"
            " (txid_current(), now(), current_setting('application_name'), TG_TABLE_NAME, to_jsonb(OLD));"
            " RETURN OLD; END $$"
        )
        present = {name for (name,) in world.query("SELECT relname FROM pg_class WHERE relkind = 'r'")}
        for table in set(TABLES) & present:
            statement = "CREATE TRIGGER witness BEFORE DELETE ON {} FOR EACH ROW EXECUTE FUNCTION witness.keep()"
            world.query(sql.SQL(statement).format(sql.Identifier("public", table)))

    def dismiss(self) -> list[Deletion]:
        """Stop watching, and return the deletions of each committed transaction."""
        found: dict[int, Deletion] = {}
        for transaction, at, by, table, row in self._world.query("SELECT * FROM witness.deleted"):
            deletion = found.setdefault(transaction, Deletion(by, at, defaultdict(list)))
            deletion.rows[table].append(row)
        self._world.query("DROP SCHEMA witness CASCADE")
        return list(found.values())
