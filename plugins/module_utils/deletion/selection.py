# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The selection of a job: the rows of one table that it chooses, the roots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..systems.database import Composable, Database, sql
from .catalogue import Catalogue, Table
from .keys import KeySet, Sql, key_set


@dataclass(frozen=True)
class Candidates:
    """The rows of one table among which a job chooses.

    :ivar columns: the columns that must be read of the chosen rows
    :ivar within: the rows to choose from; None for all, which is the first time in a run
    """

    database: Database
    catalogue: Catalogue
    table: Table
    columns: tuple[str, ...]
    within: KeySet | None

    def where(self, condition: Composable) -> KeySet:
        """The rows that meet a condition. The condition calls the table ``chosen_from``."""
        return self.chosen(sql.SQL("{} chosen_from").format(Sql.name(self.table)), "chosen_from", [condition])

    def chosen(self, source: Composable, alias: str, conditions: list[Composable]) -> KeySet:
        """The rows that meet all conditions, in the order of their ids.

        :param source: a FROM clause
        :param alias: the name of the table in it
        """
        query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {}").format(
            sql.SQL(", ").join(sql.Identifier(alias, column) for column in self.columns),
            source,
            sql.SQL(" AND ").join([*conditions, *self.conditions(alias)]),
            sql.Identifier(alias, "id"),
        )
        arrays = (sql.SQL("array_agg({})::text").format(sql.Identifier(column)) for column in self.columns)
        found = sql.SQL("SELECT count(*), {} FROM ({}) chosen").format(sql.SQL(", ").join(arrays), query)
        return key_set(self.columns, self.database.row(found))

    def moments(self, source: Composable, alias: str, moment: Composable) -> dict[str, str]:
        """A moment of each row, in UTC and whole seconds, such as 2026-01-31T12:00:00Z. Rows without one are left out.

        :param source: a FROM clause
        :param alias: the name of the table in it
        :param moment: an SQL expression, which is finite or null
        """
        query = sql.SQL(
            "SELECT {id}::text, to_char({moment} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM {source}"
            " WHERE {conditions}"
        ).format(
            id=sql.Identifier(alias, "id"),
            moment=moment,
            source=source,
            conditions=sql.SQL(" AND ").join([sql.SQL("{} IS NOT NULL").format(moment), *self.conditions(alias)]),
        )
        return dict(self.database.rows(query))

    def moments_after(self, column: str, seconds: int, condition: str = "true") -> dict[str, str]:
        """The moments that lie so many seconds after those in a column of the table.

        :param condition: what rows must meet to have such a moment, in SQL
        """
        # Beyond these years, PostgreSQL has moments that cannot be written in ISO 8601.
        moment = sql.SQL(
            "CASE WHEN {condition} AND {column} BETWEEN '0001-01-03 00:00+00' AND '9999-12-29 00:00+00'"
            " THEN {column} + {seconds} * interval '1 second' END"
        ).format(condition=sql.SQL(condition), column=sql.Identifier(column), seconds=sql.Literal(seconds))
        return self.moments(Sql.name(self.table), self.table.name, moment)

    def conditions(self, alias: str) -> list[Composable]:
        """The SQL condition for the candidates, if they are not all rows.

        :param alias: the name of the table in the query
        """
        if self.within is None:
            return []
        return [Sql(self.catalogue).within(self.table, ("id",), self.within, ("id",), alias=alias)]


# Gives those of the candidates that the job chooses.
Select = Callable[[Candidates], KeySet]
# Tells since when candidates may be deleted, by id, as far as their rows say so. Moments are text, see Candidates.moments.
Due = Callable[[Candidates], Mapping[str, str]]
