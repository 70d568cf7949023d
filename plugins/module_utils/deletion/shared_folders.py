# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shared folders of events, as the database records them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from ..systems.database import Database, sql
from ..systems.shared_folders.base import SharedFolder
from .keys import KeySet, Sql
from .references import Catalogue

TABLE = "event_shared_folders"


def read(database: Database, catalogue: Catalogue, events: KeySet) -> list[SharedFolder]:
    """The shared folders of these events, in the order of their ids.

    Up to migration 64 the ids of the two share links have columns of their own, and the provider is Nextcloud; from 65
    on both are in ``provider_data``.
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
    query = sql.SQL("SELECT event_id::text, path, {} FROM {} WHERE {} ORDER BY event_id").format(
        data, Sql.name(table), Sql(catalogue).within(table, ("event_id",), events, ("id",))
    )
    return [_folder(*row) for row in database.rows(query)]


def identities(folders: Iterable[SharedFolder]) -> dict[str, str]:
    """What tells a folder from every other one, at another place too, as 32 hexadecimal digits, with its event's id."""
    return {
        hashlib.sha256(f"{folder.event_id}\0{folder.provider}\0{folder.path}".encode()).hexdigest()[
            :32
        ]: folder.event_id
        for folder in folders
    }


def _folder(event_id: str, path: str, data: Any) -> SharedFolder:
    return SharedFolder.from_record(event_id, path, data)
