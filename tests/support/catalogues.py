# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Catalogues of databases that do not exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.catalogue import (
    Catalogue,
    Reference,
    Table,
)

# A part of the controller's schema, where all columns are UUIDs.
TABLES = {
    "users": "id*",
    "rooms": "id* created_by",
    "events": "id* room! created_by updated_by",
    "invites": "id* room created_by updated_by",
    "favorites": "user_id* event_id*",
    "notes": "id* event_id",
}
REFERENCES = {
    "rooms.created_by -> users.id": "a",
    "events.room -> rooms.id": "a",
    "events.created_by -> users.id": "a",
    "events.updated_by -> users.id": "a",
    "invites.room -> rooms.id": "c",
    "invites.created_by -> users.id": "a",
    "invites.updated_by -> users.id": "a",
    "favorites.user_id -> users.id": "c",
    "favorites.event_id -> events.id": "c",
    "notes.event_id -> events.id": "n",
}


class _Side(NamedTuple):
    table: Table
    columns: tuple[str, ...]


def catalogue(tables: Mapping[str, str], references: Mapping[str, str]) -> Catalogue:
    """A catalogue whose controller's schema is called main.

    :param tables: the columns of each table, with a star where they are part of the primary key, with an exclamation mark
        where they are unique, and with a colon before the type of what is no UUID; `other.x` is a table of another schema
    :param references: foreign keys such as `a.x,y -> b.x,y`, each with its ON DELETE rule, and after it the columns that
        it resets where those are not all
    """
    made = Catalogue("main")
    for name, columns in tables.items():
        table, types, key = _table(made, name), {}, []
        made.unique[table] = set()
        for described in columns.split():
            column, _colon, type_name = described.partition(":")
            column = column.rstrip("*!")
            types[column] = type_name or "uuid"
            if "*" in described:
                key.append(column)
            if "!" in described:
                made.unique[table].add((column,))
        made.types[table] = types
        if key:
            made.primary_keys[table] = tuple(key)
            made.unique[table].add(tuple(key))
    for described, rule in references.items():
        source, target = (_side(made, side) for side in described.split(" -> "))
        reset = tuple(rule[1:].split(",")) if rule[1:] else source.columns
        made.references.append(Reference(*source, *target, rule[0], reset))
    return made


def _side(made: Catalogue, text: str) -> _Side:
    name, columns = text.rsplit(".", 1)
    return _Side(_table(made, name), tuple(columns.split(",")))


def _table(made: Catalogue, name: str) -> Table:
    *schema, name = name.split(".")
    return made.table_of(*(schema or ["main"]), name)
