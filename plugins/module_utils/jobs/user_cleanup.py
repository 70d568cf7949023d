# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""user_cleanup: deletes users that were disabled at least a number of days ago."""

from __future__ import annotations

from typing import ClassVar

from ..base import moments
from ..deletion.keys import KeySet
from ..systems.database import Database, sql
from .bases.deletion_job import DeletionJob


class UserCleanup(DeletionJob):
    job_type = "user_cleanup"
    root = "users"
    reading: ClassVar[dict[str, tuple[str, ...]]] = {"events": ("created_by",)}

    def select(self, database: Database, within: KeySet | None) -> KeySet:
        name = "days_since_user_has_been_disabled"
        limit = moments.ago(self.run.now, name, days=self.run.parameters[name])
        return self.select_where(database, sql.SQL("disabled_since <= {}").format(sql.Literal(limit)), within)
