# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""event_cleanup: deletes events that ended at least a number of days ago."""

from __future__ import annotations

import traceback
from datetime import datetime, timedelta

from ..base import moments
from ..base.errors import MissingLibraryError
from ..deletion.content import Everything
from ..deletion.deletion_run import DeletionRun
from ..deletion.keys import KeySet, Sql
from ..deletion.outside import Outside
from ..deletion.selection import Candidates
from ..systems.database import Database, sql
from .job import Job
from .parts.event_columns import DATES, RECURRENCES, EventColumns, out_of_range

# The most ids in a warning.
NAMED = 5


class EventCleanup(Job):
    job_type = "event_cleanup"

    def work(self) -> DeletionRun:
        deciding = (DATES, RECURRENCES, "event_exceptions")
        return DeletionRun(
            self.run, "events", self.select, Everything(self.run), Outside(self.run), deciding=deciding, due=self.due
        )

    def select(self, events: Candidates) -> KeySet:
        columns = EventColumns(events.catalogue)
        ended = sql.SQL("NOT {} AND {} <= {} AND NOT {}").format(
            columns.recurs(), columns.column("ends_at"), sql.Literal(self._cutoff()), columns.misdated()
        )
        conditions = [columns.dated(), ended]
        doubtful: list[str] = []
        if self.run.parameters["include_finished_series"]:
            series, doubtful = self._finished_series(events, columns)
            finished = Sql(events.catalogue).within(events.table, ("id",), KeySet.of_ids(series), ("id",), alias="e")
            conditions = [sql.SQL("({} AND {} OR {})").format(*conditions, finished)]
        if events.within is None:
            self._warn_of_dates(events.database, columns, doubtful)
        return events.chosen(columns.source, "e", conditions)

    def due(self, events: Candidates) -> dict[str, str]:
        """The end of the retention period of events that do not recur."""
        columns = EventColumns(events.catalogue)
        seconds = 86400 * self.run.parameters["days_since_last_occurrence"]
        moment = sql.SQL("CASE WHEN NOT {} THEN {} + {} * interval '1 second' END").format(
            columns.recurs(), columns.column("ends_at"), sql.Literal(seconds)
        )
        return events.moments(columns.source, "e", moment)

    def _cutoff(self) -> datetime:
        return moments.ago(self.run.now, days=self.run.parameters["days_since_last_occurrence"])

    def _warn_of_dates(self, database: Database, columns: EventColumns, series: list[str]) -> None:
        """Warn of events that stay because of their dates.

        :param series: ids of such events that are known already
        """
        counted = "NOT recurs OR misdated_series" if self.run.parameters["include_finished_series"] else "NOT recurs"
        count, ids = database.row(
            # With OFFSET, PostgreSQL looks for the few such dates first.
            sql.SQL(
                "SELECT count(*), (array_agg(id::text ORDER BY id))[:{}] FROM (SELECT e.id, {} AS recurs,"
                " {} AS misdated_series FROM {} WHERE {} AND {} OFFSET 0) misdated WHERE {}"
            ).format(
                sql.Literal(NAMED), columns.recurs(), columns.misdated_series(),
                columns.source, columns.dated(), columns.misdated(), sql.SQL(counted),
            )
        )  # fmt: skip
        if named := [*(ids or ()), *series][:NAMED]:
            self.run.warn(
                f"Events that stay because of their dates: {count + len(series)}, the first of them {', '.join(named)}; a"
                " date is infinite, before the year 1 or after the year 9999, or the end is before the start."
            )

    def _finished_series(self, events: Candidates, columns: EventColumns) -> tuple[list[str], list[str]]:
        """The ids of series that ended by the cutoff, and of those that stay because of a date that contradicts it."""
        # Few installations ask for this, and it takes a while to import.
        from .parts import recurrence

        limit = self._cutoff()
        query = sql.SQL(
            "SELECT e.id::text, {starts_at}, {timezone}, {duration}, {pattern}, {ends_nowhere} OR EXISTS ("
            "SELECT FROM {exceptions} x WHERE x.event_id = e.id AND x.kind = 'modified' AND ({moved_nowhere}))"
            " FROM {source} WHERE {conditions} AND {starts_at} <= {limit} AND NOT {misdated}"
            # A moved occurrence counts at its new time. If it has no end of its own, it keeps its length. A moment near the
            # end of PostgreSQL's calendar has no later one.
            " AND NOT EXISTS (SELECT FROM {exceptions} x WHERE x.event_id = e.id AND x.kind = 'modified'"
            " AND CASE WHEN ({moved_nowhere}) IS NOT TRUE THEN"
            " greatest(x.starts_at, coalesce(x.ends_at, x.starts_at + {duration} * interval '1 second')) > {limit} END)"
        ).format(
            starts_at=columns.column("starts_at"),
            timezone=columns.column("starts_at_tz"),
            duration=columns.column("duration_secs"),
            pattern=columns.column("recurrence_pattern"),
            ends_nowhere=out_of_range(columns.column("ends_at")),
            moved_nowhere=sql.SQL("{} OR {}").format(
                *(out_of_range(sql.Identifier("x", column)) for column in ("starts_at", "ends_at"))
            ),
            source=columns.source,
            conditions=sql.SQL(" AND ").join([columns.dated(), columns.recurs(), *events.conditions("e")]),
            misdated=columns.misdated_series(),
            limit=sql.Literal(limit),
            exceptions=Sql.name(events.catalogue.table("event_exceptions")),
        )
        found: list[str] = []
        doubtful: list[str] = []
        for event_id, starts_at, timezone, duration, pattern, is_doubtful in events.database.stream(query):
            self.run.deadline.check()
            try:
                if pattern is None:
                    raise recurrence.UnsupportedRecurrence("it is missing")
                if duration is None:
                    raise recurrence.UnsupportedRecurrence("its occurrences have no duration")
                if recurrence.finished(
                    pattern,
                    starts_at=starts_at,
                    timezone=timezone,
                    duration=timedelta(seconds=duration),
                    cutoff=limit,
                ):
                    (doubtful if is_doubtful else found).append(event_id)
            except recurrence.UnsupportedRecurrence as error:
                if events.within is None:
                    self.run.warn(f"The recurrence rule of event {event_id} cannot be used ({error}); the event stays.")
            except ImportError:
                raise MissingLibraryError("python-dateutil", traceback.format_exc()) from None
        return found, doubtful
