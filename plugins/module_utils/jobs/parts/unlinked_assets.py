# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assets that no room has: rows of ``assets`` to which no other row refers, with their objects."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta, timezone

from ...base.errors import MaintenanceError, OutsideTimeoutError
from ...deletion import refusals
from ...deletion.catalogue import Table
from ...deletion.closure import Closure
from ...deletion.graph import DeletionGraph
from ...deletion.keys import KeySet
from ...deletion.outside import BREATHER
from ...deletion.statements import RowCounts, delete_rows
from ...record.audit import AuditBatch
from ...record.effects import Effects, SizedListing
from ...record.safety import Share
from ...run import Run
from ...systems.object_storage import ObjectStorage, StoredObject, asset_key
from . import asset_rows, settling
from .approved_things import ApprovedThings
from .asset_comparison import Records

# The table that links assets with rooms.
LINKS = "room_assets"


class UnlinkedAssets:
    """Finds them while rows and objects are compared, and deletes them.

    :param doubtful: tables with triggers that may keep rows as they are
    :ivar links: what links an asset; None if it is unknown
    """

    def __init__(
        self,
        run: Run,
        storage: ObjectStorage,
        graph: DeletionGraph,
        doubtful: Collection[Table],
        approved: ApprovedThings,
    ) -> None:
        self._run = run
        self._storage = storage
        self._graph = graph
        self._doubtful = doubtful
        self._approved = approved
        self._found = Records(1)
        self.deletes = run.parameters["unlinked_assets"] == "delete"
        self.links = self._read_links()

    def __len__(self) -> int:
        """How many are to be deleted."""
        return len(self._found)

    def ids(self) -> Iterator[str]:
        """Those that are to be deleted."""
        return self._found.ids()

    def take(self, asset_id: str, stored: StoredObject | None) -> bool:
        """Add an unlinked asset to the plan.

        :param stored: its object, if it has one
        :returns: whether it is to be deleted
        """
        size = stored.size if stored else 0
        if self.deletes:
            if not self._approved.accepts("unlinked", asset_id, stored):
                return False
            self._found.add(asset_id, size)
        self._run.plan["unlinked_assets"].add_sized([(asset_id, size)])
        return self.deletes

    def share(self, assets: int) -> Share:
        """:param assets: the number of all assets"""
        return Share("assets", len(self._found), assets)

    def apply(self) -> None:
        if self.deletes:
            settling.each(self._run, "assets", self._found, self._delete)

    def _read_links(self) -> asset_rows.Links | None:
        run, table, catalogue = self._run, self._graph.root, self._graph.catalogue
        references = catalogue.referencing(table)
        if not any(found.table == catalogue.table(LINKS) for found in references):
            reason = f"table {LINKS} does not refer to table {table.label} (update this collection)"
        elif hidden := asset_rows.unreadable(run.database, table, references):
            reason = f"the database user may not read {', '.join(hidden)} (grant SELECT)"
        else:
            return asset_rows.Links(references, _before(run.now, run.parameters["orphan_min_age"]))
        failure = ("assets", table.label) if self.deletes else None
        settling.lack(run, "unlinked_assets", "which assets no room has", reason, failure)
        return None

    def _delete(self, assets: list[tuple[str, int]]) -> None:
        """Delete a batch in one transaction: lock, look again, delete rows, record, delete objects, commit."""
        run, sizes, audit = self._run, dict(assets), self._run.audit.batch()
        effects = Effects({"unlinked_assets": SizedListing(run.options["report_limit"])})
        gone: list[str] = []
        refused: dict[str, str] = {}
        try:
            with run.database.transaction():
                ids = self._lock(list(sizes))
                if ids:
                    gone, refused = self._delete_locked(ids, effects, audit)
        except MaintenanceError as error:
            audit.not_deleted(certain=not error.in_commit)
            self._settle_failure(error, alone=len(assets) == 1)
            raise
        self._storage.take_deleted()
        effects["unlinked_assets"].add_sized((asset_id, sizes[asset_id]) for asset_id in gone)
        run.done.add(effects)
        for asset_id, reason in refused.items():
            run.fail("assets", asset_id, reason)
        audit.deleted(effects.rows_deleted, {"assets": list(refused), "objects": list(refused)})
        settling.log_left(run, sizes.keys() - set(gone) - refused.keys())

    def _lock(self, ids: list[str]) -> list[str]:
        """Lock the rows, and return those that are still unlinked. A link needs a lock that this one does not allow."""
        locked = asset_rows.lock(self._run.database, self._graph.root, ids)
        if self.links is None:
            return []
        return asset_rows.unlinked(self._run.database, self._graph.root, self.links, list(locked))

    def _delete_locked(self, ids: list[str], effects: Effects, audit: AuditBatch) -> tuple[list[str], dict[str, str]]:
        """Delete locked rows with their objects.

        :returns: the ids that are gone, and those whose object was refused, with the reason
        """
        run, database = self._run, self._run.database
        closure = Closure(database, self._graph, KeySet.of_ids(ids), lock=True)
        with refusals.explained(database, closure, alone=len(ids) == 1):
            counts = delete_rows(database, closure, self._doubtful, run.visibility)
        audit.deleting({"assets": ids, "objects": ids})
        with run.budget.limited():
            keys = self._storage.delete([asset_key(asset_id) for asset_id in ids])
        refused = {asset_id: keys[asset_key(asset_id)] for asset_id in ids if asset_key(asset_id) in keys}
        gone = [asset_id for asset_id in ids if asset_id not in refused]
        if refused:
            database.execute(refusals.TAKE_BACK)
            closure = Closure(database, self._graph, KeySet.of_ids(gone), lock=True)
            counts = delete_rows(database, closure, self._doubtful, run.visibility) if gone else RowCounts({}, {})
        # If the connection broke meanwhile, this says so, and it is certain that nothing was committed.
        database.execute("RELEASE SAVEPOINT rows")
        effects.rows_deleted.update(counts.deleted)
        effects.rows_updated.update(counts.updated)
        return gone, refused

    def _settle_failure(self, error: MaintenanceError, *, alone: bool) -> None:
        """Settle what a batch that failed leaves, after its transaction has ended."""
        run, storage = self._run, self._storage
        deleted = len(storage.take_deleted())
        if deleted:
            run.changed_more = True
            run.warn(
                f"Objects that were deleted although their assets are still in the database, or may be: {deleted};"
                " run the job again to complete that."
            )
        if isinstance(error, OutsideTimeoutError):
            run.deadline.sleep(BREATHER)
            storage.check()
            fewer = storage.ask_for_less()
            error.again = alone and (fewer or deleted > 0)


def _before(now: datetime, seconds: int) -> datetime:
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=timezone.utc)
