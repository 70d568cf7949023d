# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""invite_cleanup: deletes the permissions of inactive or expired invites, or the invites themselves."""

from __future__ import annotations

from datetime import datetime

from ..base import moments
from ..deletion import counting, permissions, policy
from ..deletion.catalogue import Catalogue, Table
from ..deletion.closure import Closure
from ..deletion.content import Everything
from ..deletion.deletion_run import DeletionRun
from ..deletion.keys import KeySet, Sql
from ..deletion.selection import Candidates
from ..deletion.statements import RowCounts, delete_permissions
from ..record.effects import ChangeListing, Effects, Listing
from ..systems.database import Database, sql
from .job import Job


class InviteCleanup(Job):
    job_type = "invite_cleanup"

    def work(self) -> DeletionRun:
        text = self.run.parameters["expired_before"]
        self._expired_before = None if text is None else moments.parse("expired_before", text)
        content = Invites(self.run) if self._deletes_invites else Permissions(self.run)
        noun = "Inactive or expired invites"
        return DeletionRun(self.run, "invites", self.select, content, noun=noun, due=self.due)

    def select(self, invites: Candidates) -> KeySet:
        if invites.within is None:
            self._comment(invites)
        ended = sql.SQL("(NOT active OR expiration < {})").format(sql.Literal(self._limit))
        if self._deletes_invites:
            return invites.where(ended)
        if not invites.catalogue.has(policy.PERMISSIONS):
            return KeySet(invites.columns)
        permitted = sql.SQL("'invite::' || id IN (SELECT v0 FROM {} WHERE ptype = 'p')").format(
            Sql.name(invites.catalogue.table(policy.PERMISSIONS))
        )
        return invites.where(sql.SQL("{} AND {}").format(ended, permitted))

    def due(self, invites: Candidates) -> dict[str, str]:
        """The expiration of invites that are active. The database does not say since when others are inactive."""
        return invites.moments_after("expiration", 0, "active")

    @property
    def _limit(self) -> datetime:
        return self._expired_before or self.run.now

    @property
    def _deletes_invites(self) -> bool:
        return self.run.parameters["delete_invites"]

    def _comment(self, invites: Candidates) -> None:
        """Tell the operator what may be surprising."""
        if self._limit > self.run.now:
            self.run.warn(
                "The option expired_before lies in the future, so invites that are still valid count as expired, too."
            )
        if not (self._deletes_invites or invites.catalogue.has(policy.PERMISSIONS)):
            self.run.log.info(
                "There is nothing to clear: this database holds no permissions of invites, they follow from the invites"
                " themselves; set delete_invites to delete these"
            )


class Invites(Everything):
    """The invites go."""

    kinds = ("invites",)

    def listings(self) -> dict[str, Listing]:
        return {"invites": Listing(self.limit)}


class Permissions(Everything):
    """The invites stay, and their permissions go."""

    kinds = ("invites",)
    planned, done = "whose permissions are to be cleared", "whose permissions were cleared"

    def listings(self) -> dict[str, Listing]:
        return {"invites": ChangeListing(self.limit, "with permissions", "without permissions")}

    def ids(self, closure: Closure) -> dict[str, list[str]]:
        return {"invite_permissions": list(closure.keys("invites").ids())}

    def describe(self, closure: Closure, roots: KeySet, *, listed: Effects | None = None) -> Effects:
        effects = Effects(self.listings())
        effects["invites"].add(closure.keys("invites").ids())
        return effects

    def count(self, database: Database, closure: Closure) -> RowCounts:
        table = closure.graph.catalogue.table(policy.PERMISSIONS)
        return RowCounts({table.label: counting.count_rows(database, table, permissions.condition(closure))}, {})

    def tables(self, catalogue: Catalogue) -> list[Table]:
        return [catalogue.table(policy.PERMISSIONS)] if catalogue.has(policy.PERMISSIONS) else []

    delete = staticmethod(delete_permissions)

    def settle(self, effects: Effects, counts: RowCounts) -> Effects:
        effects.rows_deleted.update(counts.deleted)
        return effects
