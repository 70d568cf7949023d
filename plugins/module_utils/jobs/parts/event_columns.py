# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The columns of events' dates and recurrences: in ``events``, or since migrations 61 and 62 in tables of their own."""

from __future__ import annotations

from ...deletion.catalogue import Catalogue
from ...systems.database import Composable, sql

DATES = "event_dates"
RECURRENCES = "event_recurrences"

# Python holds the years 1 to 9999, and a time zone moves a moment by less than two days. This is also true of infinity.
_OUT_OF_RANGE = "({0} < timestamptz '0001-01-03 00:00+00' OR {0} > timestamptz '9999-12-29 00:00+00')"


class EventColumns:
    """SQL for the events that have a date.

    :ivar source: the FROM clause; ``events`` is ``e``
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        joins = []
        if catalogue.has(DATES):
            joins.append(sql.SQL(" JOIN {} d ON d.event_id = e.id").format(self._name(DATES)))
        if catalogue.has(RECURRENCES):
            joins.append(sql.SQL(" LEFT JOIN {} r ON r.event_id = e.id").format(self._name(RECURRENCES)))
        self.source = sql.SQL("{} e").format(self._name("events")) + sql.SQL("").join(joins)

    def column(self, name: str) -> Composable:
        """A column of the event's date or recurrence, from the table that has it in this schema."""
        for table, alias in ((RECURRENCES, "r"), (DATES, "d"), ("events", "e")):
            if self._catalogue.has(table, name):
                return sql.Identifier(alias, name)
        raise KeyError(name)

    def dated(self) -> Composable:
        """The SQL condition for events that have a date."""
        if self._catalogue.has("events", "is_time_independent"):
            return sql.SQL("(e.is_time_independent IS NOT TRUE AND {} IS NOT NULL)").format(self.column("ends_at"))
        return sql.SQL("{} IS NOT NULL").format(self.column("ends_at"))

    def recurs(self) -> Composable:
        """The SQL condition for events that recur."""
        has_pattern = sql.SQL("{} IS NOT NULL").format(self.column("recurrence_pattern"))
        if self._catalogue.has("events", "is_recurring"):
            return sql.SQL("(e.is_recurring IS TRUE OR {})").format(has_pattern)
        return has_pattern

    def misdated(self) -> Composable:
        """The SQL condition for single events whose dates are beyond Python's calendar, or in the wrong order."""
        return self._any_of(out_of_range(self.column("starts_at")), out_of_range(self.column("ends_at")))

    def misdated_series(self) -> Composable:
        """The same for recurring events. A series without an end may have any moment as its end."""
        return self._any_of(out_of_range(self.column("starts_at")))

    def _any_of(self, *conditions: Composable) -> Composable:
        wrong_order = sql.SQL("{} < {}").format(self.column("ends_at"), self.column("starts_at"))
        # PostgreSQL expects a comparison of two columns to be true for a third of the rows, and would plan for so many. It
        # expects few for an equation.
        return sql.SQL("(CASE WHEN {} THEN 1 ELSE 0 END = 1)").format(sql.SQL(" OR ").join([*conditions, wrong_order]))

    def _name(self, table: str) -> Composable:
        found = self._catalogue.table(table)
        return sql.Identifier(found.schema, found.name)


def out_of_range(moment: Composable) -> Composable:
    """The SQL condition for a moment that is infinite, or that Python cannot hold."""
    return sql.SQL(_OUT_OF_RANGE).format(moment)
