# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes with rows outside of the database: the objects of assets, and the shared folders of events."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ..base import journal
from ..base.errors import AuditLogError, MaintenanceError, OutsideTimeoutError
from ..record.audit import AuditBatch
from ..run import Run
from ..systems.clouds.providers import provider
from ..systems.clouds.shared_folder import SharedFolder
from ..systems.object_storage import ObjectStorage, asset_key
from ..systems.object_storage_client import StorageClient
from . import folder_records
from .closure import Closure
from .folder_deletion import NEEDED, FolderDeletion, Refusals
from .origins import roots_of

# After a batch had to give its locks back, live sessions that waited for them have so many seconds before it takes them again.
BREATHER = 1.0


@dataclass
class Things:
    """What goes with one batch.

    :ivar assets: the ids of the assets whose objects go
    :ivar folders: the shared folders of the events, with those that cannot be deleted
    :ivar deletable: the folders that can be deleted, as far as this is known without a request
    :ivar deferred: folders that go with another event of the plan, which has the same folder
    :ivar refused_assets: ids of assets whose objects the storage did not delete, with the reason
    :ivar refused_folders: ids of events whose folder could not be deleted, with the reason
    :ivar left_behind: folders of events that go although their folder could not be deleted, with the reason
    """

    assets: list[str] = field(default_factory=list)
    folders: list[SharedFolder] = field(default_factory=list)
    deletable: list[SharedFolder] = field(default_factory=list)
    deferred: list[SharedFolder] = field(default_factory=list)
    refused_assets: Refusals = field(default_factory=dict)
    refused_folders: Refusals = field(default_factory=dict)
    left_behind: list[tuple[SharedFolder, str]] = field(default_factory=list)

    def ids(self) -> dict[str, list[str]]:
        """The ids of what is about to be deleted, by kind; the event's id for a folder."""
        return {"objects": self.assets, "shared_folders": [folder.event_id for folder in self.deletable]}

    def refused(self) -> dict[str, list[str]]:
        """The ids of what is still there, by kind."""
        announced = {folder.event_id for folder in self.deletable}
        return {
            "objects": sorted(self.refused_assets),
            "shared_folders": sorted(announced.intersection(self.refused_folders)),
        }


class Outside:
    """Deletes objects and shared folders, batch by batch.

    :param run: its settings name the servers
    :raises ConfigurationError: a setting is missing or wrong
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        bucket = run.settings.object_storage()
        self._storage = ObjectStorage(StorageClient.for_job(bucket, run.options, deadline=run.budget, gate=run.gate))
        self._parallel = run.options["shared_folder_requests"]
        cloud = run.settings.shared_folder()
        self._folders = FolderDeletion(
            provider(cloud, run.options, deadline=run.budget, gate=run.gate) if cloud else None,
            parallel=self._parallel,
            fail=run.parameters["fail_on_shared_folder_deletion_error"],
            empty_trash=run.options["empty_trash"],
        )
        self._planned: dict[str, SharedFolder] = {}
        self._last: dict[str, int] = {}
        self._tried: list[str] = []
        self._settled: set[str] = set()
        self._audits: dict[str, AuditBatch] = {}
        self._needs_storage = False
        self._confirmed = 0
        self._said_absent = False

    # Plan

    def plan(self, closure: Closure) -> list[SharedFolder]:
        """Read what goes with all roots.

        :returns: the shared folders that can be deleted
        """
        self._needs_storage = bool(closure.keys("assets"))
        events = closure.keys("events")
        found = folder_records.read(closure.database, closure.graph.catalogue, events)
        going = set(events.ids()) if found else set()
        overlaps = folder_records.overlaps(closure.database, closure.graph.catalogue, found)
        needed = {overlap.folder for overlap in overlaps if overlap.event_id not in going}
        folders = [replace(folder, is_needed=folder_records.name(folder) in needed) for folder in found]
        self._planned = {folder.event_id: folder for folder in folders}
        outer = {overlap.folder for overlap in overlaps if not overlap.is_same and overlap.event_id in going}
        self._last = _ranks(closure, [folder for folder in folders if folder_records.name(folder) in outer])
        return self._folders.deletable(folders)

    def check(self) -> None:
        """Sign in to the cloud, report what a run would do with the folders, in a preview, and check that the bucket can be used.

        :raises ObjectStorageError: objects are to be deleted, and the bucket cannot be used
        """
        folders = list(self._planned.values())
        self._folders.sign_in(folders)
        if folders and not self._run.gate.is_open:
            self._preview(folders)
        if self._needs_storage:
            self._storage.check()
        self.report()

    def smallest_batch(self, roots: int) -> int:
        """The fewest roots of a batch that has enough folders for all parallel requests, also if the cloud is slow."""
        return math.ceil(self._parallel * roots / len(self._planned)) if self._planned else 1

    def ordered(self, roots: Iterable[str]) -> Iterable[str]:
        """The ids of roots in an order in which folders go before the folders that they are in."""
        return sorted(roots, key=lambda root: self._last.get(root, 0)) if self._last else roots

    # Batch

    def tries(self, closure: Closure) -> None:
        """Begin with a batch. Its closure has all roots of the batch, also those that the job no longer chooses."""
        self._tried = list(closure.keys("events").ids()) if self._planned else []

    def of(self, closure: Closure) -> Things:
        """What goes with the rows of a batch, read before these are deleted. The plan says which folders are needed."""
        folders = folder_records.read(closure.database, closure.graph.catalogue, closure.keys("events"))
        for place, folder in enumerate(folders):
            planned = self._planned.get(folder.event_id)
            if planned and planned.path == folder.path and planned.is_needed:
                folders[place] = planned
        return Things(list(closure.keys("assets").ids()), folders, self._folders.deletable(folders))

    def look_around(self, closure: Closure, things: Things) -> None:
        """Find the folders that another event needs now. The rows of the batch must be deleted already."""
        overlaps = folder_records.overlaps(closure.database, closure.graph.catalogue, things.folders)
        # Folders inside of others came first, so their events stay if they are still there.
        needed = {overlap.folder for overlap in overlaps if not (overlap.is_same and self._comes(overlap.event_id))}
        later = {overlap.folder for overlap in overlaps} - needed
        things.folders = [replace(folder, is_needed=folder_records.name(folder) in needed) for folder in things.folders]
        things.deletable = self._folders.deletable(things.folders)
        things.deferred = [folder for folder in things.deletable if folder_records.name(folder) in later]
        if things.deferred:
            things.folders = [folder for folder in things.folders if folder not in things.deferred]
            things.deletable = [folder for folder in things.deletable if folder not in things.deferred]

    def delete(self, things: Things) -> float:
        """Delete folders and objects, and note those that could not be deleted.

        :returns: the seconds that the folders took
        :raises SharedFolderError: a folder could not be deleted, and that is an error
        :raises ObjectStorageError: a request about many objects failed
        :raises PauseError: the cloud asks for a pause that is longer than a transaction may wait
        :raises OutsideTimeoutError: it took longer than the batch may hold its locks
        """
        started, self._confirmed = time.monotonic(), self._storage.confirmed
        with self._run.budget.limited():
            things.refused_folders = self._folders.delete(things.folders)
            seconds = time.monotonic() - started
            assets = {asset_key(asset_id): asset_id for asset_id in things.assets}
            refused = self._storage.delete(assets) if assets else {}
        things.refused_assets = {assets[key]: reason for key, reason in refused.items()}
        return seconds

    def failed(self, things: Things, error: MaintenanceError, *, alone: bool) -> None:
        """Settle what a batch that failed leaves, after its transaction has ended.

        :param alone: whether the batch has a single root
        :raises ObjectStorageError: the object storage took too long, and does not work
        :raises DeadlineExceeded: too little time is left to try again
        """
        if alone:
            self._settled.update(self._tried)
        self._tried = []
        if error.in_commit:
            self._leave_behind(things.left_behind, "; it is not known whether its event was deleted")
        if isinstance(error, OutsideTimeoutError):
            self._run.deadline.sleep(BREATHER)
            if things.assets:
                self._storage.check()
            again = self._folders.took_too_long(things.folders, error, alone=alone)
            fewer = self._storage.ask_for_less()
            error.again = again or (alone and (fewer or self._storage.confirmed > self._confirmed))

    def look_again(self) -> None:
        """Ask a cloud that did not work whether it works now, if that is due. Call it while nobody waits for locks."""
        self._folders.look_again()

    def record_left_behind(self, things: Things, closure: Closure, audit: AuditBatch) -> None:
        """Find the folders that somebody must remove by hand, and record them outside of this process.

        It does so before the commit, because this process may be killed right after that.

        :param closure: the rows that really go
        :raises AuditLogError: the audit log cannot be written, so the batch must not be committed
        """
        if not things.refused_folders:
            return
        gone = set(closure.keys("events").ids())
        things.left_behind = [
            (folder, things.refused_folders[folder.event_id])
            for folder in things.folders
            if folder.event_id in things.refused_folders and folder.event_id in gone
        ]
        self._record(things.left_behind, audit)

    def account(self, things: Things, closure: Closure, audit: AuditBatch) -> None:
        """Add to the run's record what a committed batch deleted, and what it left."""
        self._settled.update(self._tried)
        self._storage.forget_deleted(map(asset_key, closure.keys("assets").ids()))
        for asset_id, reason in things.refused_assets.items():
            self._run.fail("assets", asset_id, reason)
        self._leave_behind(things.left_behind)
        gone = set(closure.keys("events").ids()) if things.deferred else set()
        for folder in things.deferred:
            if folder.event_id in gone:
                self._folders.defer(folder)
                self._audits[folder.event_id] = audit
        self._count_folders()

    def report(self) -> None:
        """Add to the run's record what no batch accounted for."""
        self._count_folders()
        for folder in self._folders.take_deferred():
            left_behind = [(folder, NEEDED)]
            self._leave_behind(left_behind)
            if self._run.parameters["fail_on_shared_folder_deletion_error"]:
                self._run.fail("shared_folders", folder.event_id, NEEDED)
            # If the audit log cannot be written, the job fails at its end.
            with contextlib.suppress(AuditLogError):
                self._record(left_behind, self._audits[folder.event_id])
        if (directory := self._folders.lacks_directory) and not self._said_absent:
            self._said_absent = True
            self._run.warn(
                f"The cloud has no directory {json.dumps(directory, ensure_ascii=False)}, so the shared folders in it count as"
                " already gone; make sure that the settings name the right account and the right directory."
            )
        for warning in self._storage.take_warnings():
            self._run.warn(warning)
        if deleted := len(self._storage.take_deleted()):
            self._run.changed_more = True
            self._run.warn(
                f"Objects that were deleted although their assets are still in the database, or may be: {deleted};"
                " run the job again to complete that."
            )
        if self._run.gate.is_open and (left := len(self._run.shared_folders_left_behind)):
            self._run.warn(
                f"Shared folders that could not be deleted: {left};"
                " remove those listed in shared_folders_left_behind by hand."
            )

    def _comes(self, event_id: str) -> bool:
        """Whether the event is to go with a later batch."""
        return event_id in self._planned and event_id not in self._settled

    def _record(self, left_behind: list[tuple[SharedFolder, str]], audit: AuditBatch) -> None:
        """Record outside of this process which folders somebody must remove by hand, and why."""
        audit.left_behind(
            {"kind": "shared_folders", "id": item.pop("event_id"), **item}
            for item in (folder.as_left_behind(reason) for folder, reason in left_behind)
        )
        for folder, reason in left_behind:
            journal.write(self._run.job_type, folder.as_warning(reason), journal.WARNING)

    def _leave_behind(self, left_behind: list[tuple[SharedFolder, str]], doubt: str = "") -> None:
        for folder, reason in left_behind:
            self._run.shared_folders_left_behind.append(folder.as_left_behind(reason + doubt))
            self._run.log.warn(folder.as_warning(reason + doubt))

    def _preview(self, folders: list[SharedFolder]) -> None:
        """Report what a run would do with the folders, as far as reading requests can tell."""
        undeletable = self._folders.undeletable(folders)
        missing, unanswered = self._folders.look(self._folders.deletable(folders))
        self._run.log.info(
            f"Shared folders to be deleted: {len(folders) - len(undeletable)}, of which are already gone: {len(missing)}"
        )
        for folder in folders:
            if folder.event_id in undeletable:
                self._run.shared_folders_left_behind.append(folder.as_left_behind(undeletable[folder.event_id]))
        if undeletable:
            self._run.warn(
                f"Shared folders that cannot be deleted: {len(undeletable)}, listed in shared_folders_left_behind;"
                f" {self._consequence()}."
            )
        if unanswered:
            event_id, reason = next(iter(unanswered.items()))
            self._run.warn(
                f"Shared folders about which the server gives no answer: {len(unanswered)}, the first of them that of"
                f" event {event_id} ({reason}); if it stays so, {self._consequence()}."
            )

    def _consequence(self) -> str:
        if self._run.parameters["fail_on_shared_folder_deletion_error"]:
            return "a run will stop at the first of them"
        return "a run will delete their events and leave the folders for somebody to remove by hand"

    def _count_folders(self) -> None:
        self._run.done["shared_folders"].add(
            folder.as_item(in_trash=self._folders.in_trash(folder)) for folder in self._folders.take_deleted()
        )


def _ranks(closure: Closure, outer: list[SharedFolder]) -> dict[str, int]:
    """The roots of folders that have other folders inside, with numbers that grow from the inside to the outside."""
    by_depth: dict[int, list[str]] = {}
    for folder in outer:
        by_depth.setdefault(folder_records.depth(folder), []).append(folder.event_id)
    ranks: dict[str, int] = {}
    for rank, depth in enumerate(sorted(by_depth, reverse=True), 1):
        ranks.update(dict.fromkeys(roots_of(closure.database, closure, "events", by_depth[depth]).ids(), rank))
    return ranks
