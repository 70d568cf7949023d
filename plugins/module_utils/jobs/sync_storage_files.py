# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""sync_storage_files: corrects sizes of assets, and handles what database or storage has without the other one."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from ..base.errors import MaintenanceError, OutsideTimeoutError, SafetyLimitExceeded
from ..deletion import refusals
from ..deletion.catalogue import Table, read_catalogue
from ..deletion.closure import Closure
from ..deletion.graph import DeletionGraph
from ..deletion.hindrances import find
from ..deletion.keys import KeySet, Sql
from ..deletion.outside import BREATHER
from ..deletion.statements import delete_rows, lock_approved
from ..record.audit import AuditBatch
from ..record.effects import ChangeListing, Effects, Listing, ResizeListing, SearchedListing, SizedListing, Tally
from ..record.safety import Share
from ..systems.object_storage import ObjectStorage, asset_key
from ..systems.object_storage_client import StorageClient
from .job import Job
from .parts import asset_effects, asset_rows, settling
from .parts.approved_things import ApprovedThings
from .parts.asset_comparison import Comparison, Records
from .parts.hidden_versions import HiddenVersions
from .parts.unfinished_uploads import UnfinishedUploads
from .parts.unlinked_assets import UnlinkedAssets


class SyncStorageFiles(Job):
    job_type = "sync_storage_files"

    _client: StorageClient
    _storage: ObjectStorage
    _graph: DeletionGraph
    _doubtful: frozenset[Table]
    _approved: ApprovedThings
    _comparison: Comparison
    _old_orphans: Records
    _unlinked: UnlinkedAssets
    _uploads: UnfinishedUploads
    _hidden: HiddenVersions

    def listings(self) -> dict[str, Listing]:
        limit = self.run.options["report_limit"]
        missing = Listing(limit) if self._deletes_rows else ChangeListing(limit, "size as recorded", "size 0")
        return {
            "assets_resized": ResizeListing(limit),
            "assets_missing": missing,
            "orphaned_objects": SizedListing(limit, informative=not self._deletes_orphans),
            "young_orphaned_objects": SizedListing(limit, informative=True),
            "unknown_objects": Tally(informative=True),
            **{
                kind: SearchedListing(limit, informative=self.run.parameters[kind] == "report")
                for kind in ("unlinked_assets", "unfinished_uploads", "hidden_versions")
            },
        }

    def work(self) -> SyncStorageFiles:
        bucket = self.run.settings.object_storage()
        self._client = StorageClient.for_job(bucket, self.run.options, deadline=self.run.budget, gate=self.run.gate)
        self._storage = ObjectStorage(self._client)
        return self

    def plan(self) -> None:
        catalogue = read_catalogue(self.run.database)
        self._graph = DeletionGraph(catalogue, catalogue.table("assets"))
        # Rows that are hidden would make their objects look like orphans.
        deleting = None if self._deletes_rows or self.run.parameters["unlinked_assets"] == "delete" else ()
        hindrances = find(self.run.database, self._graph, deleting=deleting, changing={self._graph.root: ["size"]})
        for warning in hindrances.warnings:
            self.run.warn(warning)
        self._doubtful = hindrances.doubtful | hindrances.doubtful_updates
        self._storage.keeps_versions()
        for warning in self._storage.take_warnings():
            self.run.warn(warning)
        with self.run.database.transaction(snapshot=True):
            self._approved = self._approved_things()
            self._prepare_parts()
            self._comparison = Comparison(
                empty=self._deletes_rows, accepts=self._approved.accepts, unlinked=self._unlinked.take
            )
            self._old_orphans = Records(1)
            self._compare()
            missing = self._comparison.missing
            self.run.plan["assets_missing"].add(
                itertools.islice(missing.ids(), self.run.options["report_limit"]), len(missing)
            )
            self._describe_rows()
            self._hidden.plan()
        self._uploads.plan()
        self._describe_resized(self._comparison.resized, self.run.plan)
        self.run.affected = len(missing) + len(self._old_orphans) + len(self._unlinked)
        self.run.affected += len(self._uploads) + len(self._hidden)
        self.run.roots = self._approved.names
        self._log_plan()

    def total(self) -> int:
        found = self._comparison
        orphans = found.objects - found.matched if self._deletes_orphans else 0
        return found.assets + orphans + len(self._uploads) + len(self._hidden)

    def shares(self) -> list[Share]:
        # If no asset has an object, every deletion is refused later, with a reason of its own.
        if self._looks_mistaken:
            return []
        matched = self._comparison.matched
        return [
            *([self._assets] if self._deletes_rows else []),
            self._objects,
            self._unlinked.share(self._comparison.assets),
            self._uploads.share(matched),
            self._hidden.share(matched),
        ]

    def check_plan(self) -> None:
        options, found = self.run.options, self._comparison
        allowed = options["max_affected"] is not None or options["max_affected_percent"] is not None
        deletes = (
            self._old_orphans
            or (self._deletes_rows and found.missing)
            or self._unlinked
            or self._uploads
            or self._hidden
        )
        if self._looks_mistaken and deletes and not allowed:
            raise SafetyLimitExceeded(
                f"No asset in the database has an object in the bucket (assets: {found.assets}, objects with the key of an"
                f" asset: {found.objects}), so something would be deleted because of settings that may be mistaken;"
                " nothing was touched: make sure that they name the bucket and the database of one controller, and set"
                " max_affected or max_affected_percent if the plan is right."
            )

    def apply(self) -> None:
        settling.each(self.run, "assets", self._comparison.resized, self._resize)
        settling.each(self.run, "assets", self._comparison.missing, self._settle_missing)
        self._unlinked.apply()
        if self._deletes_orphans:
            settling.each(self.run, "objects", self._old_orphans, self._delete_orphans)
        self._hidden.apply()
        self._uploads.apply()
        done, log = self.run.done, self.run.log
        log.info(f"Assets whose size was corrected: {done['assets_resized'].count}")
        handling = "deleted" if self._deletes_rows else "set to size zero"
        log.info(f"Assets without an object that were {handling}: {done['assets_missing'].count}")
        if self._deletes_orphans:
            orphans = done["orphaned_objects"]
            log.info(f"Objects that no asset knows, deleted: {orphans.count} ({orphans.bytes} bytes)")
        for part, kind, text in (
            (self._unlinked.deletes, "unlinked_assets", "Assets that no room has, deleted with their objects"),
            (self._hidden.deletes, "hidden_versions", "Keys whose hidden versions were deleted"),
            (self._uploads.aborts, "unfinished_uploads", "Uploads that were not completed, aborted"),
        ):
            if part:
                log.info(f"{text}: {done[kind].count} ({done[kind].bytes} bytes)")

    @property
    def _deletes_rows(self) -> bool:
        return self.run.parameters["missing_storage_file_handling"] == "delete_asset_entry"

    @property
    def _deletes_orphans(self) -> bool:
        return self.run.parameters["orphaned_objects"] == "delete"

    @property
    def _looks_mistaken(self) -> bool:
        """Whether no asset has an object, so that the settings may name a wrong bucket or database."""
        found = self._comparison
        return bool(found.assets or found.objects) and not found.matched

    @property
    def _assets(self) -> Share:
        return Share("assets", len(self._comparison.missing), self._comparison.assets)

    @property
    def _objects(self) -> Share:
        # Young objects without an asset are no part of the whole, because they cannot be deleted.
        orphans = len(self._old_orphans)
        return Share("objects", orphans, self._comparison.matched + orphans)

    # Plan

    def _approved_things(self) -> ApprovedThings:
        run, visibility = self.run, self.run.visibility
        return ApprovedThings(
            run.approval.roots if run.approval else None,
            asset_rows.later(run.database, self._graph.root, visibility) if visibility else {},
            run.fail,
            keeps=not run.gate.is_open,
        )

    def _prepare_parts(self) -> None:
        run, table = self.run, self._graph.root
        self._unlinked = UnlinkedAssets(run, self._storage, self._graph, self._doubtful, self._approved)
        self._uploads = UnfinishedUploads(run, self._client, self._approved)
        self._hidden = HiddenVersions(
            run, self._client, self._storage, table, self._approved, with_objects=not self._deletes_orphans
        )

    def _compare(self) -> None:
        minimum = self.run.parameters["orphan_min_age"]
        # The snapshot of the rows is older than the listing of the objects. So a file that is uploaded and recorded
        # meanwhile is a young object without a row. It is never a row without an object.
        for asset_id, stored in self._comparison.orphans(
            asset_rows.stream(self.run.database, self._graph.root, self._unlinked.links),
            self.run.progress.counted(self._storage.objects(), "objects compared"),
        ):
            old = stored.age >= minimum
            if old and self._deletes_orphans:
                if not self._approved.accepts("objects", asset_id, stored):
                    continue
                self._old_orphans.add(asset_id, stored.size)
            kind = "young_orphaned_objects" if self._deletes_orphans and not old else "orphaned_objects"
            self.run.plan[kind].add_sized([(asset_id, stored.size)])
        unknown = self.run.plan["unknown_objects"]
        unknown.count, unknown.bytes = self._comparison.unknown, self._comparison.unknown_bytes

    def _describe_rows(self) -> None:
        plan, missing = self.run.plan, self._comparison.missing
        plan.rows_updated[self._graph.root.label] = len(self._comparison.resized)
        going = self._unlinked.ids()
        if self._deletes_rows:
            going = itertools.chain(going, missing.ids())
        else:
            plan.rows_updated[self._graph.root.label] += len(missing)
        deleted, updated = asset_effects.count(self.run.database, self._graph, going)
        plan.rows_deleted.update(deleted)
        plan.rows_updated.update(updated)

    def _describe_resized(self, assets: Iterable[tuple[Any, ...]], effects: Effects) -> None:
        effects["assets_resized"].add(
            {"id": asset_id, "from": recorded, "to": stored} for asset_id, recorded, stored in assets
        )

    def _log_plan(self) -> None:
        plan, found, log = self.run.plan, self._comparison, self.run.log
        log.info(f"Assets in the database: {found.assets}, of which have an object: {found.matched}")
        log.info(f"Assets whose size is to be corrected: {plan['assets_resized'].count}")
        handling = "to be deleted" if self._deletes_rows else "whose size is to be set to zero"
        log.info(f"Assets without an object {handling}: {plan['assets_missing'].count}")
        for kind, text in (
            ("orphaned_objects", f"no asset knows{' and that are to be deleted' if self._deletes_orphans else ''}"),
            ("young_orphaned_objects", "no asset knows yet"),
            ("unknown_objects", "do not have the key of an asset"),
        ):
            if plan[kind].count:
                log.info(f"Objects that {text}: {plan[kind].count} ({plan[kind].bytes} bytes)")
        for kind, text in (
            ("unlinked_assets", "Assets that no room has"),
            ("hidden_versions", "Keys with hidden versions that no asset knows"),
            ("unfinished_uploads", "Uploads that were not completed"),
        ):
            if plan[kind].count:
                log.info(f"{text}: {plan[kind].count} ({plan[kind].bytes} bytes)")
        right = "make sure that the settings name the right bucket and the right database"
        if self._looks_mistaken:
            self.run.warn(f"No asset in the database has an object in the bucket; {right}.")
        elif self._assets.is_large and not self._deletes_rows:
            missing = self._assets
            self.run.warn(f"Assets whose objects are missing: {missing.affected} of {missing.total}; {right}.")

    # Apply

    def _resize(self, assets: list[tuple[str, int, int]]) -> None:
        with self.run.database.transaction():
            self._lock_approved([asset_id for asset_id, *_sizes in assets])
            changed = asset_rows.resize(self.run.database, self._graph.root, assets)
        self._describe_resized([asset for asset in assets if asset[0] in changed], self.run.done)
        self.run.done.rows_updated[self._graph.root.label] += len(changed)
        settling.log_left(self.run, [asset[0] for asset in assets if asset[0] not in changed])

    def _settle_missing(self, assets: list[tuple[str, int]]) -> None:
        effects = Effects(self.listings())
        recorded = dict(assets)
        with self._audited(effects) as audit:
            missing = self._settle_in_transaction(recorded, effects, audit)
        settling.log_left(self.run, recorded.keys() - set(missing))

    def _settle_in_transaction(self, recorded: dict[str, int], effects: Effects, audit: AuditBatch) -> list[str]:
        database = self.run.database
        with database.transaction():
            locked = asset_rows.lock(database, self._graph.root, list(recorded))
            present = [
                asset_id for asset_id, size in locked.items() if self._deletes_rows or size == recorded[asset_id]
            ]
            # The second look: an object may have been uploaded since the listing.
            with self.run.budget.limited():
                absent = self._storage.absent([asset_key(asset_id) for asset_id in present])
            missing = [asset_id for asset_id in present if asset_key(asset_id) in absent]
            if missing and self._deletes_rows:
                audit.deleting({"assets": missing})
                closure = Closure(database, self._graph, KeySet.of_ids(missing), lock=True)
                with refusals.explained(database, closure, alone=len(missing) == 1):
                    deleted, updated = delete_rows(database, closure, self._doubtful, self.run.visibility)
                effects.rows_deleted.update(deleted)
                effects.rows_updated.update(updated)
            elif missing:
                self._lock_approved(missing)
                effects.rows_updated[self._graph.root.label] = asset_rows.zero(
                    database, self._graph.root, {asset_id: locked[asset_id] for asset_id in missing}
                )
        effects["assets_missing"].add(missing)
        return missing

    def _lock_approved(self, ids: list[str]) -> None:
        """Lock the rows of assets that are about to be changed, if the run is held to an approval."""
        if self.run.visibility:
            condition = Sql(self._graph.catalogue).within(self._graph.root, ("id",), KeySet.of_ids(ids), ("id",))
            lock_approved(self.run.database, self._graph.root, condition, self.run.visibility)

    @contextlib.contextmanager
    def _audited(self, effects: Effects) -> Iterator[AuditBatch]:
        """The record of a batch. At the end of the block, the batch's effects are added to the run's ``done``."""
        audit = self.run.audit.batch()
        try:
            yield audit
        except MaintenanceError as error:
            audit.not_deleted(certain=not error.in_commit)
            if isinstance(error, OutsideTimeoutError):
                self.run.deadline.sleep(BREATHER)
                self._storage.check()
            raise
        self.run.done.add(effects)
        audit.deleted(effects.rows_deleted, {})

    def _delete_orphans(self, objects: list[tuple[str, int]]) -> None:
        sizes = dict(objects)
        # The second look: an asset may have been recorded since the listing.
        known = asset_rows.present(self.run.database, self._graph.root, list(sizes))
        ids = {asset_key(asset_id): asset_id for asset_id in sizes if asset_id not in known}
        audit = self.run.audit.batch()
        audit.deleting({"objects": list(ids.values())})
        try:
            refused = self._storage.delete(ids)
        except MaintenanceError:
            audit.not_deleted(certain=False)
            raise
        finally:
            # Some objects may have been deleted before a request failed.
            deleted = [ids[key] for key in self._storage.take_deleted()]
            self.run.done["orphaned_objects"].add_sized((asset_id, sizes[asset_id]) for asset_id in deleted)
        for key, reason in refused.items():
            self.run.fail("objects", ids[key], reason)
        audit.deleted({}, {"objects": [ids[key] for key in refused]})
        settling.log_left(self.run, known)
