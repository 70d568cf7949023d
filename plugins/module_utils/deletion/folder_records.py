# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shared folders of events, as the database records them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..systems.clouds.paths import MAX_PATH, normal
from ..systems.clouds.shared_folder import SharedFolder
from ..systems.database import Composable, Database, sql
from .catalogue import Catalogue, Table
from .keys import KeySet, Sql

TABLE = "event_shared_folders"

# Finds folders of events that go which are also the folder of an event that stays, or are above one. A set operation takes
# a time that is proportional to the number of folders, even if the server's estimate of that number is wrong.
_NEEDED = """
WITH folder AS (
    SELECT {provider} AS provider, btrim(regexp_replace(path, '/+', '/', 'g'), '/') AS path, gone.id IS NULL AS stays
    FROM {table} LEFT JOIN unnest({going}::uuid[]) gone (id) ON gone.id = event_id
), staying AS (
    SELECT provider, string_to_array(left(path, {longest}), '/') AS names FROM folder WHERE stays
)
SELECT provider, path FROM folder WHERE NOT stays
INTERSECT
SELECT provider, array_to_string(names[:depth], '/') FROM staying, generate_series(1, cardinality(names)) depth
"""


def read(
    database: Database, catalogue: Catalogue, events: KeySet, *, planned: Mapping[str, SharedFolder] | None = None
) -> list[SharedFolder]:
    """The shared folders of these events, in the order of their ids.

    Up to migration 64 the ids of the two share links have columns of their own, and the provider is Nextcloud; from 65
    on both are in ``provider_data``.

    :param planned: the folders of all events of the plan, by event, if ``events`` are only some of them; None if
        ``events`` are all events that go
    """
    if not events or not catalogue.has(TABLE):
        return []
    table = catalogue.table(TABLE)
    data = (
        sql.SQL("provider_data")
        if catalogue.has(TABLE, "provider_data")
        else sql.SQL(
            "jsonb_build_object('type', 'nextcloud', 'write_share_id', write_share_id, 'read_share_id', read_share_id)"
        )
    )
    query = sql.SQL("SELECT event_id::text, path, ({})::text FROM {} WHERE {} ORDER BY event_id").format(
        data, Sql.name(table), Sql(catalogue).within(table, ("event_id",), events, ("id",))
    )
    folders = [SharedFolder.from_record(*row) for row in database.rows(query)]
    if not folders:
        return []
    if planned is None:
        return _marked(folders, _needed(database, table, data, events))
    known = [planned.get(folder.event_id) for folder in folders]
    if all(plan and plan.path == folder.path for plan, folder in zip(known, folders, strict=True)):
        return _marked(folders, {_name(plan) for plan in known if plan and plan.is_needed})
    return _marked(folders, _needed(database, table, data, KeySet.of_ids([*{*planned, *events.ids()}])))


def _needed(database: Database, table: Table, data: Composable, going: KeySet) -> set[tuple[str, str]]:
    """Provider and path of the folders that a staying event needs: it has the same folder, or one inside it."""
    query = sql.SQL(_NEEDED).format(
        provider=sql.SQL("split_part(coalesce(({}) ->> 'type', 'unknown'), '_', 1)").format(data),
        table=Sql.name(table),
        going=sql.Literal(going.literals[going.columns.index("id")]),
        # Longer paths cannot be deleted, and each of their parts would be a row.
        longest=sql.Literal(MAX_PATH),
    )
    return set(database.rows(query))


def _marked(folders: list[SharedFolder], needed: set[tuple[str, str]]) -> list[SharedFolder]:
    return [replace(folder, is_needed=_name(folder) in needed) for folder in folders] if needed else folders


def _name(folder: SharedFolder) -> tuple[str, str]:
    return folder.provider, normal(folder.path)


def identities(folders: Iterable[SharedFolder]) -> dict[str, str]:
    """The event's id by an identity of its folder: 32 hexadecimal digits for event, provider and path together."""
    return {
        hashlib.sha256(f"{folder.event_id}\0{folder.provider}\0{folder.path}".encode()).hexdigest()[
            :32
        ]: folder.event_id
        for folder in folders
    }
