# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Triggers of somebody else that act when certain rows are deleted or changed."""

from __future__ import annotations

from support.world import World

# It may be personal data, so no output may have it.
PLANTED = "Planted Person"
NULL = "RETURN NULL"
SAME = "RETURN OLD"

# Each raises an error, with this SQLSTATE.
ERRORS = {
    "exception": ("P0001", f"RAISE EXCEPTION '{PLANTED}' USING DETAIL = '{PLANTED}', HINT = '{PLANTED}'"),
    "own state": ("OT123", f"RAISE EXCEPTION '{PLANTED}' USING ERRCODE = 'OT123'"),
    "constraint of its own": (
        "23514",
        f"RAISE EXCEPTION '{PLANTED}' USING ERRCODE = '23514', CONSTRAINT = '{PLANTED}', TABLE = '{PLANTED}'",
    ),
    "division by zero": ("22012", "PERFORM 1 / 0"),
    "dropped table": ("42P01", f'INSERT INTO "{PLANTED}" VALUES (1)'),
    "dropped column": ("42703", f'PERFORM "{PLANTED}" FROM users'),
    "missing privilege": ("42501", "SET LOCAL ROLE pg_monitor; PERFORM FROM users"),
    "privilege of its own": ("42501", f"RAISE EXCEPTION 'permission denied for table {PLANTED}' USING ERRCODE = '42501'"),
}  # fmt: skip
# The kinds of triggers on DELETE.
KINDS = {
    "before row": "CREATE TRIGGER poison BEFORE DELETE ON {table} FOR EACH ROW",
    "after row": "CREATE TRIGGER poison AFTER DELETE ON {table} FOR EACH ROW",
    "after statement": "CREATE TRIGGER poison AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone FOR EACH STATEMENT",
    "deferred": "CREATE CONSTRAINT TRIGGER poison AFTER DELETE ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
    "before update": "CREATE TRIGGER poison BEFORE UPDATE ON {table} FOR EACH ROW",
}


def poison(world: World, table: str, column: str, values: set[str], action: str, kind: str = "before row") -> None:
    """Make a trigger that does something for the rows whose column has one of the values.

    :param action: statements of PL/pgSQL
    """
    array = "ARRAY[" + ", ".join(f"'{value}'" for value in sorted(values)) + "]"
    matches = f"OLD.{column}::text = ANY ({array})"
    if "statement" in kind:
        matches = f"EXISTS (SELECT FROM gone WHERE {column}::text = ANY ({array}))"
    otherwise = "RETURN NEW" if "update" in kind else "RETURN NULL" if "statement" in kind else "RETURN OLD"
    world.query(
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF {matches} THEN {action}; END IF; {otherwise}; END $$;"
        f"{KINDS[kind].format(table=table)} EXECUTE FUNCTION poison()"
    )


def cure(world: World) -> None:
    """Remove the trigger."""
    world.query("DROP FUNCTION poison CASCADE")
