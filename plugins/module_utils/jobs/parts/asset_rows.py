# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQL statements for rows of ``assets``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ...deletion.catalogue import Reference, Table
from ...deletion.keys import Sql
from ...deletion.statements import came_later, kept_by_trigger
from ...systems.database import Composable, Database, sql
from ...systems.snapshots import Visibility


@dataclass(frozen=True)
class Links:
    """What makes an asset one that belongs to something, or that may soon do so.

    :ivar references: all foreign keys to the table of assets
    :ivar created_before: an asset that was created later may get its link yet
    """

    references: list[Reference]
    created_before: datetime

    def missing(self, alias: str) -> Composable:
        """The SQL condition for assets to which no row refers and that are old enough.

        :param alias: the name of the table of assets in the query
        """
        conditions = [
            sql.SQL("{}.created_at <= {}").format(sql.Identifier(alias), sql.Literal(self.created_before)),
            *(
                sql.SQL("NOT EXISTS (SELECT FROM {} link WHERE {})").format(
                    Sql.name(reference.table),
                    sql.SQL(" AND ").join(
                        sql.SQL("{} = {}").format(sql.Identifier("link", column), sql.Identifier(alias, target))
                        for column, target in zip(reference.columns, reference.target_columns, strict=True)
                    ),
                )
                for reference in self.references
            ),
        ]
        return sql.SQL("({})").format(sql.SQL(" AND ").join(conditions))


def unreadable(database: Database, table: Table, references: Iterable[Reference]) -> list[str]:
    """The tables and columns that tell which assets are linked, and that this session may not read."""
    columns = [(table, "created_at"), *((found.table, column) for found in references for column in found.columns)]
    query = sql.SQL(
        "SELECT label FROM unnest(%(schemas)s, %(tables)s, %(columns)s, %(labels)s) wanted (schema, name, attribute, label)"
        " JOIN pg_namespace n ON n.nspname = wanted.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name"
        " WHERE NOT (has_schema_privilege(n.oid, 'USAGE') AND has_column_privilege(c.oid, wanted.attribute, 'SELECT'))"
        " ORDER BY label"
    )
    parameters = {
        "schemas": [found.schema for found, _column in columns],
        "tables": [found.name for found, _column in columns],
        "columns": [column for _found, column in columns],
        "labels": [f"{found.label}.{column}" for found, column in columns],
    }
    return [row[0] for row in database.rows(query, parameters)]


def stream(database: Database, table: Table, links: Links | None) -> Iterator[tuple[str, int, bool]]:
    """Id and size in bytes of every asset, in the order of the ids, and whether it is unlinked. It needs a transaction.

    :param links: None if this is unknown; then none is
    """
    unlinked = links.missing("asset") if links else sql.SQL("false")
    query = sql.SQL("SELECT asset.id::text, asset.size, {} FROM {} asset ORDER BY asset.id")
    return database.stream(query.format(unlinked, Sql.name(table)))


def ids(database: Database, table: Table) -> Iterator[str]:
    """The id of every asset, in their order. It needs a transaction."""
    rows = database.stream(sql.SQL("SELECT id::text FROM {} ORDER BY id").format(Sql.name(table)))
    return (row[0] for row in rows)


def unlinked(database: Database, table: Table, links: Links, ids: list[str]) -> list[str]:
    """Those of the ids that are unlinked. Nobody can link an asset whose row is locked."""
    query = sql.SQL(
        "SELECT asset.id::text FROM {} asset WHERE asset.id = ANY (%(ids)s::uuid[]) AND {} ORDER BY asset.id"
    )
    return [row[0] for row in database.rows(query.format(Sql.name(table), links.missing("asset")), {"ids": ids})]


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
