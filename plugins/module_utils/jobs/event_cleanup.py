# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""event_cleanup: deletes events that ended at least a number of days ago."""

from __future__ import annotations

import traceback
from datetime import datetime, timedelta

from ..base import moments
from ..base.errors import MissingLibraryError
from ..deletion.keys import KeySet, Sql
from ..deletion.selection import select_keys
from ..systems.database import Composable, Database, sql
from .bases.deletion_job import DeletionJob
from .parts import recurrence
from .parts.event_columns import DATES, RECURRENCES, EventColumns


class EventCleanup(DeletionJob):
    job_type = "event_cleanup"
    root = "events"
    deciding = (DATES, RECURRENCES, "event_exceptions")

    def select(self, database: Database, within: KeySet | None) -> KeySet:
        columns = EventColumns(self.catalogue)
        ended = sql.SQL("NOT {} AND {} <= {}").format(
            columns.recurs(), columns.column("ends_at"), sql.Literal(self._cutoff())
        )
        conditions = [columns.dated(), ended]
        if self.run.parameters["include_finished_series"]:
            finished = KeySet.of_ids(self._finished_series(database, columns, within))
            events = self.catalogue.table("events")
            series = Sql(self.catalogue).within(events, ("id",), finished, ("id",), alias="e")
            conditions = [sql.SQL("({} AND {} OR {})").format(*conditions, series)]
        query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY e.id").format(
            sql.SQL(", ").join(sql.Identifier("e", column) for column in self.columns),
            columns.source,
            sql.SQL(" AND ").join([*conditions, *self._within(within)]),
        )
        return select_keys(database, self.columns, query)

    def _cutoff(self) -> datetime:
        name = "days_since_last_occurrence"
        return moments.ago(self.run.now, name, days=self.run.parameters[name])

    def _within(self, within: KeySet | None) -> list[Composable]:
        if within is None:
            return []
        return [Sql(self.catalogue).within(self.catalogue.table("events"), ("id",), within, ("id",), alias="e")]

    def _finished_series(self, database: Database, columns: EventColumns, within: KeySet | None) -> list[str]:
        limit = self._cutoff()
        query = sql.SQL(
            "SELECT e.id::text, {starts_at}, {timezone}, {duration}, {pattern} FROM {source}"
            " WHERE {conditions} AND {starts_at} <= {limit}"
            # A moved occurrence counts at its new time. If it has no end of its own, it keeps its length.
            " AND NOT EXISTS (SELECT FROM {exceptions} x WHERE x.event_id = e.id AND x.kind = 'modified' AND"
            " greatest(x.starts_at, coalesce(x.ends_at, x.starts_at + {duration} * interval '1 second')) > {limit})"
        ).format(
            starts_at=columns.column("starts_at"),
            timezone=columns.column("starts_at_tz"),
            duration=columns.column("duration_secs"),
            pattern=columns.column("recurrence_pattern"),
            source=columns.source,
            conditions=sql.SQL(" AND ").join([columns.dated(), columns.recurs(), *self._within(within)]),
            limit=sql.Literal(limit),
            exceptions=Sql.name(self.catalogue.table("event_exceptions")),
        )
        found = []
        for event_id, starts_at, timezone, duration, pattern in database.stream(query):
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
                    found.append(event_id)
            except recurrence.UnsupportedRecurrence as error:
                if within is None:
                    self.run.warn(f"The recurrence rule of event {event_id} cannot be used ({error}); the event stays.")
            except ImportError:
                raise MissingLibraryError("python-dateutil", traceback.format_exc()) from None
        return found
