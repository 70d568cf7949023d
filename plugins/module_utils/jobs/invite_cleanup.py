# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""invite_cleanup: deletes the permissions of inactive or expired invites, or the invites themselves."""

from __future__ import annotations

from datetime import datetime

from ..base import moments
from ..base.errors import SchemaError
from ..deletion import counting, policy
from ..deletion.batch_deletion import BatchOutcome
from ..deletion.closure import Closure
from ..deletion.graph import DeletionGraph
from ..deletion.hindrances import Hindrances, find
from ..deletion.keys import KeySet, Sql, without
from ..deletion.statements import delete_permissions, delete_rows
from ..record.audit import AuditBatch
from ..record.effects import ChangeListing, Effects, Listing
from ..systems.database import Database, sql
from .bases.batched_job import BatchedJob


class InviteCleanup(BatchedJob):
    job_type = "invite_cleanup"
    root = "invites"

    _expired_before: datetime | None

    def kinds(self) -> dict[str, Listing]:
        limit = self.run.options["report_limit"]
        if self._deletes_invites:
            return {"invites": Listing(limit)}
        return {"invites": ChangeListing(limit, "with permissions", "without permissions")}

    def prepare(self) -> None:
        text = self.run.parameters["expired_before"]
        self._expired_before = None if text is None else moments.parse("expired_before", text)

    def select(self, database: Database, within: KeySet | None) -> KeySet:
        ended = sql.SQL("(NOT active OR expiration < {})").format(sql.Literal(self._expired_before))
        if self._deletes_invites:
            return self.select_where(database, ended, within)
        if not self._has_permissions:
            return KeySet(("id",))
        permitted = sql.SQL("'invite::' || id IN (SELECT v0 FROM {} WHERE ptype = 'p')").format(
            Sql.name(self.catalogue.table(policy.PERMISSIONS))
        )
        return self.select_where(database, sql.SQL("{} AND {}").format(ended, permitted), within)

    def read_schema(self) -> None:
        self._graph = DeletionGraph(self.catalogue, self.catalogue.table(self.root))
        if len(self._graph.tables) > 1 and self.catalogue.table("assets") in self._graph.tables:
            raise SchemaError(
                "Table invites is referred to by tables that lead to assets, so invites cannot be deleted by this job;"
                " update this collection."
            )

    def find_hindrances(self) -> Hindrances:
        if self._deletes_invites:
            return super().find_hindrances()
        permissions = [self.catalogue.table(policy.PERMISSIONS)] if self._has_permissions else []
        return find(self.run.database, self._graph, deleting=permissions)

    def plan(self) -> None:
        if self._expired_before is None:
            self._expired_before = self.run.now
        elif self._expired_before > self.run.now:
            self.run.warn(
                "The option expired_before lies in the future, so invites that are still valid count as expired, too."
            )
        super().plan()
        if not (self._has_permissions or self._deletes_invites):
            self.run.log.info(
                "There is nothing to clear: this database holds no permissions of invites, they follow from the invites"
                " themselves; set delete_invites to delete these"
            )
            return
        self.run.log.info(f"Inactive or expired invites {self._what}: {self.roots.count}")

    def describe(self) -> Effects:
        database = self.run.database
        closure = Closure(database, self._graph, self.roots)
        effects = self._effects(self.roots)
        if self.run.identity:
            self.run.identity.add(self._kind, self.roots.ids())
        counts = counting.deleted(database, closure)
        if self._deletes_invites:
            effects.rows_updated.update(counting.updated(database, closure))
            effects.rows_deleted.update(counts)
        else:
            effects.rows_deleted[policy.PERMISSIONS] = counts[policy.PERMISSIONS]
        return effects

    def delete_batch(self, database: Database, batch: KeySet, audit: AuditBatch) -> BatchOutcome:
        with database.transaction():
            locked = Closure(database, self._graph, batch, lock=True)
            selected = self.select(database, locked.sets[self._graph.root])
            outcome = BatchOutcome(self._effects(selected), unselected=without(batch, set(selected.ids())))
            closure = Closure(database, self._graph, selected, lock=True)
            effects = outcome.effects
            audit.deleting({self._kind: list(selected.ids())})
            if self._deletes_invites:
                deleted, updated = delete_rows(database, closure)
                effects.rows_deleted.update(deleted)
                effects.rows_updated.update(updated)
            else:
                effects.rows_deleted[policy.PERMISSIONS] = delete_permissions(database, closure)
        return outcome

    def apply(self) -> None:
        super().apply()
        if self.roots:
            done = "deleted" if self._deletes_invites else "whose permissions were cleared"
            self.run.log.info(f"Inactive or expired invites {done}: {self.run.done['invites'].count}")

    @property
    def _deletes_invites(self) -> bool:
        return self.run.parameters["delete_invites"]

    @property
    def _has_permissions(self) -> bool:
        return self.catalogue.has(policy.PERMISSIONS)

    @property
    def _kind(self) -> str:
        """The kind of the things that go."""
        return "invites" if self._deletes_invites else "invite_permissions"

    @property
    def _what(self) -> str:
        return "to be deleted" if self._deletes_invites else "whose permissions are to be cleared"

    def _effects(self, invites: KeySet) -> Effects:
        effects = Effects(self.kinds())
        effects["invites"].add(invites.ids())
        return effects
