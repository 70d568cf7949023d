# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""room_cleanup: deletes rooms that have no event."""

from __future__ import annotations

from ..deletion.keys import KeySet, Sql
from ..systems.database import Database, sql
from .bases.deletion_job import DeletionJob


class RoomCleanup(DeletionJob):
    job_type = "room_cleanup"
    root = "rooms"

    def select(self, database: Database, within: KeySet | None) -> KeySet:
        events = Sql.name(self.catalogue.table("events"))
        return self.select_where(
            database, sql.SQL("NOT EXISTS (SELECT FROM {} e WHERE e.room = chosen_from.id)").format(events), within
        )
