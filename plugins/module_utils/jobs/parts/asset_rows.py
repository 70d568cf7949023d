# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQL statements for rows of ``assets``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ...deletion.catalogue import Table
from ...deletion.keys import Sql
from ...deletion.statements import came_later, kept_by_trigger
from ...systems.database import Database, sql
from ...systems.snapshots import Visibility


def stream(database: Database, table: Table) -> Iterator[tuple[str, int]]:
    """Id and size in bytes of every asset, in the order of the ids. It needs a transaction."""
    return database.stream(sql.SQL("SELECT id::text, size FROM {} ORDER BY id").format(Sql.name(table)))


def later(database: Database, table: Table, visibility: Visibility) -> dict[str, str]:
    """The ids of all assets whose rows came or were changed after the approved preview, with the reason to report."""
    query = sql.SQL("SELECT id::text FROM {} WHERE {}").format(Sql.name(table), visibility.is_later())
    return {row[0]: came_later(table) for row in database.rows(query)}


def present(database: Database, table: Table, ids: list[str]) -> set[str]:
    """The ids that have a row."""
    query = sql.SQL("SELECT id::text FROM {} WHERE id = ANY (%(ids)s::uuid[])").format(Sql.name(table))
    return {row[0] for row in database.rows(query, {"ids": ids})}


def lock(database: Database, table: Table, ids: list[str]) -> dict[str, int]:
    """Lock the rows, and return the sizes in bytes of the rows that still exist, by id."""
    query = sql.SQL("SELECT id::text, size FROM {} WHERE id = ANY (%(ids)s::uuid[]) ORDER BY id FOR UPDATE")
    return dict(database.rows(query.format(Sql.name(table)), {"ids": ids}))


def resize(database: Database, table: Table, assets: Sequence[tuple[str, int, int]]) -> set[str]:
    """Set the sizes of assets whose size is still the recorded one.

    :param assets: id, recorded size and stored size of each, in bytes
    :returns: the ids of the changed assets
    :raises RowsRefusedError: a trigger keeps a row as it is
    """
    query = sql.SQL(
        "WITH locked AS (SELECT a.id, found.stored FROM {table} a"
        " JOIN unnest(%(ids)s::uuid[], %(recorded)s::bigint[], %(stored)s::bigint[]) found (id, recorded, stored)"
        " ON a.id = found.id AND a.size = found.recorded ORDER BY a.id FOR UPDATE OF a),"
        " changed AS (UPDATE {table} a SET size = locked.stored FROM locked WHERE a.id = locked.id"
        " RETURNING a.id, a.size = locked.stored AS right_size)"
        " SELECT locked.id::text, coalesce(right_size, false) FROM locked LEFT JOIN changed USING (id)"
    ).format(table=Sql.name(table))
    ids, recorded, stored = map(list, zip(*assets, strict=True))
    found = dict(database.rows(query, {"ids": ids, "recorded": recorded, "stored": stored}))
    if not all(found.values()):
        raise kept_by_trigger(table.label)
    return set(found)


def zero(database: Database, table: Table, sizes: Mapping[str, int]) -> int:
    """Set the sizes of assets to zero.

    :param sizes: the sizes of locked assets in bytes, by id
    :returns: the number of rows changed
    :raises RowsRefusedError: a trigger keeps a row as it is
    """
    query = sql.SQL("UPDATE {} SET size = 0 WHERE id = ANY (%(ids)s::uuid[]) AND size <> 0 RETURNING size = 0")
    changed = sum(zeroed for (zeroed,) in database.rows(query.format(Sql.name(table)), {"ids": list(sizes)}))
    if changed < sum(size != 0 for size in sizes.values()):
        raise kept_by_trigger(table.label)
    return changed
