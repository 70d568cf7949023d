# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the database user may do: https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-ACCESS."""

from __future__ import annotations

from collections.abc import Iterable

from ..systems.database import Database
from .catalogue import Table

# UPDATE is needed to lock rows, too.
_MISSING = """
SELECT n.nspname, c.relname, string_agg(privilege, ', ' ORDER BY privilege)
FROM unnest(%(schemas)s::text[], %(names)s::text[]) wanted (schema, name)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
CROSS JOIN unnest('{SELECT, UPDATE, DELETE}'::text[]) privilege
WHERE NOT has_table_privilege(c.oid, privilege)
GROUP BY 1, 2 ORDER BY 1, 2
"""
_WRITABLE = """
SELECT pg_is_in_recovery(), (SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_read_only')
"""


def problems(database: Database, tables: Iterable[Table]) -> list[str]:
    """A sentence for everything that keeps a job from writing to these tables.

    :raises DatabaseError: PostgreSQL refused the question
    """
    wanted = sorted(tables, key=lambda table: (table.schema, table.name))
    labels = {(table.schema, table.name): table.label for table in wanted}
    rows = database.rows(
        _MISSING, {"schemas": [table.schema for table in wanted], "names": [table.name for table in wanted]}
    )
    found = []
    if rows:
        lacking = "; ".join(f"{labels[schema, name]}: {missing}" for schema, name, missing in rows)
        found.append(f"The database user lacks rights on tables ({lacking}); grant them.")
    is_standby, read_only = database.row(_WRITABLE)
    if is_standby:
        found.append("The server is a standby, which accepts no writes; set the database URL to the primary server.")
    elif read_only == "on":
        found.append("Sessions of the database user are read-only (default_transaction_read_only); reset it.")
    return found
