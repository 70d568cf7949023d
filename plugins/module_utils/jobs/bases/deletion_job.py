# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Base of the jobs that delete events, rooms or users. They differ in what they choose."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import ClassVar

from ...base import journal
from ...base.errors import MaintenanceError
from ...deletion import counting, folder_records
from ...deletion.approval import Approval
from ...deletion.batch_deletion import BatchDeletion, BatchOutcome, LeftBehind
from ...deletion.closure import Closure
from ...deletion.description import KINDS, Description, listings
from ...deletion.folder_deletion import FolderDeletion
from ...deletion.graph import DeletionGraph
from ...deletion.keys import KeySet
from ...record.audit import AuditBatch
from ...record.effects import Effects, Listing
from ...systems.clouds.providers import provider
from ...systems.clouds.shared_folder import SharedFolder
from ...systems.database import Database
from ...systems.object_storage import ObjectStorage
from ...systems.object_storage_client import StorageClient
from .batched_job import BatchedJob


class DeletionJob(BatchedJob):
    """Deletes rows of one table, with everything that goes with them, also in the object storage and the cloud.

    :cvar deciding: tables on whose rows the selection depends; a batch locks these rows, too
    :cvar reading: further columns to read of rows that go, by table
    """

    deciding: ClassVar[tuple[str, ...]] = ()
    reading: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    _storage: ObjectStorage
    _folders: FolderDeletion
    _planned_folders: list[SharedFolder]
    _needs_storage: bool

    def kinds(self) -> dict[str, Listing]:
        return listings(self.run.options["report_limit"])

    def prepare(self) -> None:
        connection = {
            "deadline": self.run.deadline,
            "gate": self.run.gate,
            "validate_certs": self.run.options["validate_certs"],
            "ca_path": self.run.options["ca_path"],
        }
        self._storage = ObjectStorage(StorageClient(self.run.settings.object_storage(), **connection))
        parallel = self.run.options["shared_folder_requests"]
        self._folders = FolderDeletion(
            provider(self.run.settings.shared_folder(), parallel=parallel, **connection),
            parallel=parallel,
            fail=self.run.parameters["fail_on_shared_folder_deletion_error"],
        )

    @property
    def columns(self) -> tuple[str, ...]:
        return self._graph.tracked_columns(self._graph.root)

    def read_schema(self) -> None:
        self._graph = DeletionGraph(self.catalogue, self.catalogue.table(self.root), self.deciding, self.reading)

    def describe(self) -> Effects:
        database = self.run.database
        closure = Closure(database, self._graph, self.roots)
        self._needs_storage = bool(closure.keys("assets"))
        description = Description(closure, self.run.options["report_limit"], self.roots, identity=self.run.identity)
        # The description counts the kinds that it reads for the identity.
        deleted = counting.deleted(database, closure, known=KINDS if self.run.identity else ())
        updated = counting.updated(database, closure)
        self._planned_folders = folder_records.read(database, self.catalogue, closure.keys("events"))
        counts = {**deleted, **description.counts}
        folders = self._folders.deletable(self._planned_folders)
        if self.run.identity:
            names = folder_records.identities(folders)
            self.run.identity.add("shared_folders", sorted(names), names)
        return description.effects(counts, updated, folders)

    def plan(self) -> None:
        self._planned_folders, self._needs_storage = [], False
        super().plan()
        if folders := len(self._planned_folders):
            # A batch has enough folders for all parallel requests, also if the cloud is slow.
            parallel = self.run.options["shared_folder_requests"]
            self.smallest_batch = math.ceil(parallel * self.roots.count / folders)
        self.run.log.info(f"{self.root.capitalize()} to be deleted: {self.roots.count}")
        if self._planned_folders and not self.run.gate.is_open:
            self._preview_folders()
        if self._needs_storage:
            self._storage.check()
        self._report_storage()

    def apply(self) -> None:
        try:
            super().apply()
        finally:
            self._count_folders()
            self._report_storage()
            if left := len(self.run.shared_folders_left_behind):
                self.run.warn(
                    f"Shared folders that could not be deleted: {left};"
                    " remove those listed in shared_folders_left_behind by hand."
                )
        self.run.log.info(f"{self.root.capitalize()} deleted: {self.run.done[self.root].count}")

    @functools.cached_property
    def _folders_by_event(self) -> dict[str, SharedFolder]:
        return {folder.event_id: folder for folder in self._planned_folders}

    def delete_batch(self, database: Database, batch: KeySet, audit: AuditBatch) -> BatchOutcome:
        leaving: LeftBehind = []

        def record(folders: LeftBehind) -> None:
            leaving.extend(folders)
            self._record_left_behind(folders, audit)

        deletion = BatchDeletion(
            database,
            self._graph,
            self.select,
            self._storage,
            self._folders,
            Approval(self.run.identity.expected if self.run.identity else None, self._folders),
            planned_folders=self._folders_by_event,
            leaving=record,
            report_limit=self.run.options["report_limit"],
            roots=self.roots,
            done=self.run.done,
        )
        try:
            return deletion.delete(batch, audit)
        except MaintenanceError as error:
            if error.in_commit:
                for folder, reason in leaving:
                    self._leave_behind(folder, f"{reason}; it is not known whether its event was deleted")
            raise

    def account(self, outcome: BatchOutcome) -> None:
        super().account(outcome)
        self._storage.forget_deleted(outcome.objects)
        for root in outcome.unapproved:
            self.fail(self.root, root, "something that would go with it came after the approval")
        for root in outcome.kept:
            self.fail(self.root, root, "the object of one of its assets could not be deleted")
        for asset_id, reason in outcome.refused.items():
            self.fail("assets", asset_id, reason)
        for folder, reason in outcome.left_behind:
            self._leave_behind(folder, reason)
        self._count_folders()

    def _preview_folders(self) -> None:
        """Report what a run would do with the folders, as far as reading requests can tell."""
        folders = self._planned_folders
        undeletable = self._folders.undeletable(folders)
        missing, unanswered = self._folders.look(self._folders.deletable(folders))
        self.run.log.info(
            f"Shared folders to be deleted: {len(folders) - len(undeletable)}, of which are already gone: {len(missing)}"
        )
        for folder in folders:
            if folder.event_id in undeletable:
                self.run.shared_folders_left_behind.append(folder.as_left_behind(undeletable[folder.event_id]))
        if undeletable:
            self.run.warn(
                f"Shared folders that cannot be deleted: {len(undeletable)}, listed in shared_folders_left_behind;"
                f" {self._consequence()}."
            )
        if unanswered:
            event_id, reason = next(iter(unanswered.items()))
            self.run.warn(
                f"Shared folders about which the server gives no answer: {len(unanswered)}, the first of them that of"
                f" event {event_id} ({reason}); if it stays so, {self._consequence()}."
            )

    def _consequence(self) -> str:
        if self.run.parameters["fail_on_shared_folder_deletion_error"]:
            return "a run will stop at the first of them"
        return "a run will delete their events and leave the folders for somebody to remove by hand"

    def _leave_behind(self, folder: SharedFolder, reason: str) -> None:
        self.run.shared_folders_left_behind.append(folder.as_left_behind(reason))
        self.run.log.warn(folder.as_warning(reason))

    def _record_left_behind(self, folders: LeftBehind, audit: AuditBatch) -> None:
        """Record the folders outside of this process, which may be killed right after the commit."""
        audit.left_behind(
            {"kind": "shared_folders", "id": item.pop("event_id"), **item}
            for item in (folder.as_left_behind(reason) for folder, reason in folders)
        )
        for folder, reason in folders:
            journal.write(self.job_type, folder.as_warning(reason), journal.WARNING)

    def _report_storage(self) -> None:
        for warning in self._storage.take_warnings():
            self.run.warn(warning)
        if deleted := len(self._storage.take_deleted()):
            self.run.touched = True
            self.run.warn(
                f"Objects that were deleted although their assets are still in the database, or may be: {deleted};"
                " run the job again to complete that."
            )

    def _count_folders(self) -> None:
        self.run.done["shared_folders"].add(folder.as_item() for folder in self._folders.take_deleted())
