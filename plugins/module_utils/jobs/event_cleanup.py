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
from ..systems.database import sql
from .job import Job
from .parts import recurrence
from .parts.event_columns import DATES, RECURRENCES, EventColumns


class EventCleanup(Job):
    job_type = "event_cleanup"

    def work(self) -> DeletionRun:
        deciding = (DATES, RECURRENCES, "event_exceptions")
        return DeletionRun(self.run, "events", self.select, Everything(self.run), Outside(self.run), deciding=deciding)

    def select(self, events: Candidates) -> KeySet:
        columns = EventColumns(events.catalogue)
        ended = sql.SQL("NOT {} AND {} <= {}").format(
            columns.recurs(), columns.column("ends_at"), sql.Literal(self._cutoff())
        )
        conditions = [columns.dated(), ended]
        if self.run.parameters["include_finished_series"]:
            finished = KeySet.of_ids(self._finished_series(events, columns))
            series = Sql(events.catalogue).within(events.table, ("id",), finished, ("id",), alias="e")
            conditions = [sql.SQL("({} AND {} OR {})").format(*conditions, series)]
        return events.chosen(columns.source, "e", conditions)

    def _cutoff(self) -> datetime:
        name = "days_since_last_occurrence"
        return moments.ago(self.run.now, name, days=self.run.parameters[name])

    def _finished_series(self, events: Candidates, columns: EventColumns) -> list[str]:
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
            conditions=sql.SQL(" AND ").join([columns.dated(), columns.recurs(), *events.conditions("e")]),
            limit=sql.Literal(limit),
            exceptions=Sql.name(events.catalogue.table("event_exceptions")),
        )
        found = []
        for event_id, starts_at, timezone, duration, pattern in events.database.stream(query):
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
                if events.within is None:
                    self.run.warn(f"The recurrence rule of event {event_id} cannot be used ({error}); the event stays.")
            except ImportError:
                raise MissingLibraryError("python-dateutil", traceback.format_exc()) from None
        return found
