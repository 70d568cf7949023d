# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets of row keys as PostgreSQL array literals, so that a hundred thousand keys are one string."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from ..systems.database import Composable, sql
from .catalogue import Catalogue, Table

# Characters of an array literal that are split at once.
_PIECE = 100_000


class KeySet:
    """The keys of rows of one table: the values of some columns.

    :param literals: for each column the array literal of its values; all arrays have the same length
    :param count: the number of rows
    """

    def __init__(self, columns: tuple[str, ...], literals: tuple[str, ...] = (), count: int = 0) -> None:
        self.columns = columns
        self.literals = literals or ("{}",) * len(columns)
        self.count = count

    def __bool__(self) -> bool:
        return self.count > 0

    def __add__(self, other: KeySet) -> KeySet:
        if not other:
            return self
        if not self:
            return other
        joined = tuple(f"{mine[:-1]},{theirs[1:]}" for mine, theirs in zip(self.literals, other.literals, strict=True))
        return KeySet(self.columns, joined, self.count + other.count)

    @classmethod
    def of_ids(cls, ids: list[str], column: str = "id") -> KeySet:
        """The key set of the rows with these UUIDs."""
        return cls((column,), ("{" + ",".join(ids) + "}",), len(ids))

    def ids(self, column: str = "id") -> Iterator[str]:
        """The UUIDs in that column, one after the other."""
        literal = self.literals[self.columns.index(column)]
        start, last = 1, len(literal) - 1
        while start < last:
            end = literal.find(",", min(start + _PIECE, last))
            end = last if end < 0 else end
            yield from literal[start:end].split(",")
            start = end + 1

    def values(self, column: str) -> list[str]:
        """The distinct UUIDs in that column, without NULL, in the order in which PostgreSQL sorts them."""
        return sorted(set(self.ids(column)) - {"NULL"})


def without(keys: KeySet, ids: Collection[str]) -> list[str]:
    """The ids of the keys that are not among these."""
    return [key for key in keys.ids() if key not in ids]


class Sql:
    """Builds SQL for key sets of a given catalogue. Values are always parameters, names always identifiers."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    @staticmethod
    def name(table: Table) -> sql.Composable:
        return sql.Identifier(table.schema, table.name)

    def within(
        self,
        table: Table,
        columns: tuple[str, ...],
        keys: KeySet,
        key_columns: tuple[str, ...],
        *,
        alias: str | None = None,
    ) -> Composable:
        """The SQL condition for rows whose columns have the values of one of the keys.

        :param alias: the name of the table in the query
        """
        names = [sql.Identifier(alias, column) if alias else sql.Identifier(column) for column in columns]
        literals = [keys.literals[keys.columns.index(column)] for column in key_columns]
        arrays = [
            sql.SQL("{}::{}[]").format(sql.Literal(literal), sql.SQL(self._catalogue.type_of(table, column)))
            for literal, column in zip(literals, columns, strict=True)
        ]
        if len(columns) == 1:
            return sql.SQL("{} = ANY ({})").format(names[0], arrays[0])
        return sql.SQL("({}) IN (SELECT * FROM unnest({}))").format(
            sql.SQL(", ").join(names), sql.SQL(", ").join(arrays)
        )

    def keys(self, table: Table, columns: tuple[str, ...], condition: Composable, *, lock: bool) -> Composable:
        """A query for the keys of the rows that meet a condition. It gives their number, then a literal for each column."""
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        order = sql.SQL(", ").join(map(sql.Identifier, self._catalogue.primary_key(table) or columns))
        return sql.SQL("SELECT count(*), {} FROM (SELECT {} FROM {} WHERE {} ORDER BY {}{}) found").format(
            sql.SQL(", ").join(sql.SQL("array_agg({})::text").format(sql.Identifier(column)) for column in columns),
            names,
            self.name(table),
            condition,
            order,
            sql.SQL(" FOR UPDATE") if lock else sql.SQL(""),
        )


def key_set(columns: tuple[str, ...], row: tuple[Any, ...]) -> KeySet:
    """The key set in the only row of the query :meth:`Sql.keys`."""
    count, *literals = row
    return KeySet(columns, tuple(literals), count) if count else KeySet(columns)


def any_of(conditions: Sequence[Composable]) -> Composable:
    """The SQL condition that at least one of the conditions is true."""
    if not conditions:
        return sql.SQL("false")
    return sql.SQL("({})").format(sql.SQL(" OR ").join(conditions))
