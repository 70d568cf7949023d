# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""room_cleanup: deletes rooms that have no event."""

from __future__ import annotations

from ..deletion.content import Everything
from ..deletion.deletion_run import DeletionRun
from ..deletion.keys import KeySet, Sql
from ..deletion.outside import Outside
from ..deletion.selection import Candidates
from ..systems.database import sql
from .job import Job


class RoomCleanup(Job):
    job_type = "room_cleanup"

    def work(self) -> DeletionRun:
        return DeletionRun(self.run, "rooms", self.select, Everything(self.run), Outside(self.run))

    def select(self, rooms: Candidates) -> KeySet:
        events = Sql.name(rooms.catalogue.table("events"))
        return rooms.where(sql.SQL("NOT EXISTS (SELECT FROM {} e WHERE e.room = chosen_from.id)").format(events))
