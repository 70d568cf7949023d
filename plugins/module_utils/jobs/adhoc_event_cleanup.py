# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""adhoc_event_cleanup: deletes ad-hoc events that were created at least a number of seconds ago."""

from __future__ import annotations

from ..base import moments
from ..deletion.keys import KeySet
from ..systems.database import Database, sql
from .bases.deletion_job import DeletionJob


class AdhocEventCleanup(DeletionJob):
    job_type = "adhoc_event_cleanup"
    root = "events"

    def select(self, database: Database, within: KeySet | None) -> KeySet:
        name = "seconds_since_creation"
        limit = moments.ago(self.run.now, name, seconds=self.run.parameters[name])
        return self.select_where(database, sql.SQL("is_adhoc AND created_at <= {}").format(sql.Literal(limit)), within)
