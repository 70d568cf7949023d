# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shared folders of events, as the database records them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..systems.clouds.paths import MAX_PATH, normal
from ..systems.clouds.shared_folder import SharedFolder
from ..systems.database import Composable, Database, array_literal, sql
from .catalogue import Catalogue
from .keys import KeySet, Sql

TABLE = "event_shared_folders"

# Finds the records of folders that are one of the given folders, or inside of one. The time is proportional to the number of
# records: each is cut to its outer folders once, and these are joined by a hash.
_OVERLAPPING = """
WITH record AS MATERIALIZED (
    SELECT event_id, {provider} AS provider,
        string_to_array(btrim(regexp_replace(left(path, {longest}), '/+', '/', 'g'), '/'), '/') AS names
    FROM {table}
), outer_folder AS MATERIALIZED (
    SELECT event_id, provider, array_to_string(names[:depth], '/') AS path, depth = cardinality(names) AS is_same
    FROM record, generate_series(1, least(cardinality(names), {deepest})) depth
)
SELECT event_id::text, provider, path, is_same
FROM outer_folder JOIN unnest({providers}::text[], {paths}::text[]) given (provider, path) USING (provider, path)
"""


@dataclass(frozen=True)
class Overlap:
    """A recorded folder that is another folder, or inside of it.

    :ivar event_id: the event of the record
    :ivar folder: provider and normal path of the other folder
    :ivar is_same: whether both are the same folder
    """

    event_id: str
    folder: tuple[str, str]
    is_same: bool


def read(database: Database, catalogue: Catalogue, events: KeySet) -> list[SharedFolder]:
    """The shared folders of these events, in the order of their ids.

    Up to migration 64 the ids of the two share links have columns of their own, and the provider is Nextcloud; from 65
    on both are in ``provider_data``.
    """
    if not events or not catalogue.has(TABLE):
        return []
    table = catalogue.table(TABLE)
    query = sql.SQL("SELECT event_id::text, path, ({})::text FROM {} WHERE {} ORDER BY event_id").format(
        _data(catalogue), Sql.name(table), Sql(catalogue).within(table, ("event_id",), events, ("id",))
    )
    return [SharedFolder.from_record(*row) for row in database.rows(query)]


def stream(database: Database, catalogue: Catalogue) -> Iterator[SharedFolder]:
    """All recorded shared folders. It needs a transaction."""
    if catalogue.has(TABLE):
        query = sql.SQL("SELECT event_id::text, path, ({})::text FROM {} ORDER BY event_id")
        for row in database.stream(query.format(_data(catalogue), Sql.name(catalogue.table(TABLE)))):
            yield SharedFolder.from_record(*row)


def overlaps(database: Database, catalogue: Catalogue, folders: Iterable[SharedFolder]) -> list[Overlap]:
    """The records that are in the database now of the same folders, or of folders inside of them."""
    # Longer paths cannot be deleted.
    given = sorted({name(folder) for folder in folders if len(folder.path) <= MAX_PATH})
    if not given:
        return []
    providers, paths = (array_literal(column) for column in zip(*given, strict=True))
    query = sql.SQL(_OVERLAPPING).format(
        provider=sql.SQL("split_part(coalesce(({}) ->> 'type', 'unknown'), '_', 1)").format(_data(catalogue)),
        table=Sql.name(catalogue.table(TABLE)),
        providers=sql.Literal(providers),
        paths=sql.Literal(paths),
        longest=sql.Literal(MAX_PATH),
        deepest=sql.Literal(max(path.count("/") + 1 for _provider, path in given)),
    )
    return [Overlap(event_id, (provider, path), is_same) for event_id, provider, path, is_same in database.rows(query)]


def name(folder: SharedFolder) -> tuple[str, str]:
    """Provider and normal path of a folder, which are equal for the same folder."""
    return folder.provider, normal(folder.path)


def depth(folder: SharedFolder) -> int:
    """The number of names in the folder's path."""
    return normal(folder.path).count("/") + 1


def _data(catalogue: Catalogue) -> Composable:
    if catalogue.has(TABLE, "provider_data"):
        return sql.SQL("provider_data")
    return sql.SQL(
        "jsonb_build_object('type', 'nextcloud', 'write_share_id', write_share_id, 'read_share_id', read_share_id)"
    )
