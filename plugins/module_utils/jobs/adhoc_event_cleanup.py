# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""adhoc_event_cleanup: deletes ad-hoc events that were created at least a number of seconds ago."""

from __future__ import annotations

from ..base import moments
from ..deletion.content import Everything
from ..deletion.deletion_run import DeletionRun
from ..deletion.keys import KeySet
from ..deletion.outside import Outside
from ..deletion.selection import Candidates
from ..systems.database import sql
from .job import Job


class AdhocEventCleanup(Job):
    job_type = "adhoc_event_cleanup"

    def work(self) -> DeletionRun:
        return DeletionRun(self.run, "events", self.select, Everything(self.run), Outside(self.run), due=self.due)

    def select(self, events: Candidates) -> KeySet:
        limit = moments.ago(self.run.now, seconds=self.run.parameters["seconds_since_creation"])
        return events.where(sql.SQL("is_adhoc AND created_at <= {}").format(sql.Literal(limit)))

    def due(self, events: Candidates) -> dict[str, str]:
        """The end of the retention period of events."""
        return events.moments_after("created_at", self.run.parameters["seconds_since_creation"])
