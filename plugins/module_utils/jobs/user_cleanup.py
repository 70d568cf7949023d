# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""user_cleanup: deletes users that were disabled at least a number of days ago."""

from __future__ import annotations

from ..base import moments
from ..deletion.content import Everything
from ..deletion.deletion_run import DeletionRun
from ..deletion.keys import KeySet
from ..deletion.outside import Outside
from ..deletion.selection import Candidates
from ..systems.database import sql
from .job import Job


class UserCleanup(Job):
    job_type = "user_cleanup"

    def work(self) -> DeletionRun:
        # The creators of events tell which events are those of other users.
        reading = {"events": ("created_by",)}
        return DeletionRun(
            self.run, "users", self.select, Everything(self.run), Outside(self.run), reading=reading, due=self.due
        )

    def select(self, users: Candidates) -> KeySet:
        limit = moments.ago(self.run.now, days=self.run.parameters["days_since_user_has_been_disabled"])
        return users.where(sql.SQL("disabled_since <= {}").format(sql.Literal(limit)))

    def due(self, users: Candidates) -> dict[str, str]:
        """The end of the retention period of users."""
        days = self.run.parameters["days_since_user_has_been_disabled"]
        return users.moments_after("disabled_since", 86400 * days)
