# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The deletion of one batch in one transaction: first what is outside the database, then the rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..base.errors import ObjectStorageError
from ..record.audit import AuditBatch
from ..record.effects import Effects
from ..systems.clouds.shared_folder import SharedFolder
from ..systems.database import Database
from ..systems.object_storage import ObjectStorage, asset_key
from . import folder_records
from .approval import Approval
from .closure import Closure
from .description import KINDS, Description
from .folder_deletion import FolderDeletion, Refusals
from .graph import DeletionGraph
from .keys import KeySet, without
from .origins import roots_of
from .selection import Select
from .statements import delete_rows

# Shared folders, each with the reason why it was not deleted.
LeftBehind = list[tuple[SharedFolder, str]]


@dataclass
class BatchOutcome:
    """The result of a batch whose transaction was committed.

    :ivar effects: what was deleted
    :ivar unselected: ids of roots that the job no longer chooses
    :ivar unapproved: ids of roots that stay because something unapproved would have gone with them
    :ivar objects: keys of deleted objects whose assets were deleted, too
    :ivar refused: ids of assets whose objects the storage did not delete, with the reason
    :ivar kept: ids of roots that stay because the storage did not delete an object
    :ivar announced_and_kept: ids, by kind, of things that the audit log announced and that are still there
    :ivar left_behind: shared folders of deleted events that could not be deleted, with the reason
    :ivar waited: seconds that the deletion of shared folders took
    """

    effects: Effects
    unselected: list[str] = field(default_factory=list)
    unapproved: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    announced_and_kept: dict[str, list[str]] = field(default_factory=dict)
    left_behind: LeftBehind = field(default_factory=list)
    waited: float = 0.0


class BatchDeletion:
    """Deletes batches of roots with everything that goes with them.

    :param select: the job's selection, which runs again under the locks of the batch
    :param storage: deletes the objects of assets
    :param folders: deletes the shared folders of events
    :param approval: finds the roots that must stay
    :param planned_folders: the shared folders of all events of the plan, by event
    :param leaving: called before the commit with folders that stay in the cloud, because the commit deletes their records
    :param report_limit: the most ids that are reported of each kind
    :param roots: all roots of the plan
    :param done: the effects of earlier batches
    """

    def __init__(
        self,
        database: Database,
        graph: DeletionGraph,
        select: Select,
        storage: ObjectStorage,
        folders: FolderDeletion,
        approval: Approval,
        *,
        planned_folders: Mapping[str, SharedFolder],
        leaving: Callable[[LeftBehind], None],
        report_limit: int,
        roots: KeySet,
        done: Effects,
    ) -> None:
        self._database = database
        self._graph = graph
        self._select = select
        self._storage = storage
        self._folders = folders
        self._approval = approval
        self._planned_folders = planned_folders
        self._leaving = leaving
        self._report_limit = report_limit
        self._roots = roots
        self._done = done

    def delete(self, batch: KeySet, audit: AuditBatch) -> BatchOutcome:
        """Delete one batch.

        :param audit: records what is about to be deleted
        :returns: the result, after the commit
        :raises PauseError: all rows of the batch stay; it can be done again after the pause
        :raises MaintenanceError: all rows of the batch stay, unless the error came during the commit
        """
        outcome = BatchOutcome(Effects({}))
        with self._database.transaction():
            locked = self._lock(batch, outcome)
            closure, outcome.unapproved = self._approval.split(self._database, locked, self._shared_folders)
            folders = self._shared_folders(closure)
            announced = self._announce(closure, folders, audit)
            started = time.monotonic()
            refused = self._folders.delete(folders)
            outcome.waited = time.monotonic() - started
            closure = self._delete_objects(closure, outcome)
            outcome.announced_and_kept = self._kept(announced, closure, refused, outcome)
            outcome.left_behind = self._left_behind(closure, refused)
            description = Description(closure, self._report_limit, self._roots, listed=self._done)
            outcome.objects = list(map(asset_key, closure.keys("assets").ids()))
            deleted, updated = delete_rows(self._database, closure)
            if outcome.left_behind:
                self._leaving(outcome.left_behind)
        outcome.effects = description.effects(deleted, updated, ())
        return outcome

    def _announce(self, closure: Closure, folders: list[SharedFolder], audit: AuditBatch) -> dict[str, list[str]]:
        if not audit.is_open:
            return {}
        things = _rows(closure)
        things["objects"] = things["assets"]
        things["shared_folders"] = [folder.event_id for folder in self._folders.deletable(folders)]
        audit.deleting(things)
        return things

    @staticmethod
    def _kept(
        announced: dict[str, list[str]], closure: Closure, refused: Refusals, outcome: BatchOutcome
    ) -> dict[str, list[str]]:
        if not announced:
            return {}
        outside = {"objects": outcome.refused, "shared_folders": refused}
        gone = _rows(closure) if outcome.kept else announced
        return {
            kind: [thing for thing in things if thing in outside[kind]]
            if kind in outside
            else sorted(set(things).difference(gone[kind]))
            for kind, things in announced.items()
        }

    def _lock(self, batch: KeySet, outcome: BatchOutcome) -> Closure:
        # Nothing can be added to locked rows any more, so the selection runs again now. Rows that it no longer selects
        # stay locked until the end of the transaction.
        closure = Closure(self._database, self._graph, batch, lock=True)
        present = closure.sets[self._graph.root]
        selected = self._select(self._database, present)
        if selected.count == batch.count:
            return closure
        outcome.unselected = without(batch, set(selected.ids()))
        return Closure(self._database, self._graph, selected, lock=True)

    def _delete_objects(self, closure: Closure, outcome: BatchOutcome) -> Closure:
        assets = {asset_key(asset_id): asset_id for asset_id in closure.keys("assets").ids()}
        if not assets:
            return closure
        refused = self._storage.delete(assets)
        if not refused:
            return closure
        outcome.refused = {assets[key]: reason for key, reason in refused.items()}
        kept = set(roots_of(self._database, closure, "assets", list(outcome.refused)).ids())
        outcome.kept = sorted(kept)
        rest = KeySet.of_ids(without(closure.sets[self._graph.root], kept))
        remaining = Closure(self._database, self._graph, rest, lock=True)
        if not outcome.refused.keys().isdisjoint(remaining.keys("assets").ids()):
            raise ObjectStorageError(
                "The object storage refused to delete an object, and it is unclear what must stay because of it;"
                " nothing of this batch was deleted from the database: mend the cause and run the job again."
            )
        return remaining

    def _shared_folders(self, closure: Closure) -> list[SharedFolder]:
        return folder_records.read(
            self._database, self._graph.catalogue, closure.keys("events"), planned=self._planned_folders
        )

    def _left_behind(self, closure: Closure, refused: Refusals) -> LeftBehind:
        # The closure has only those events that are really deleted.
        if not refused:
            return []
        folders = self._shared_folders(closure)
        return [(folder, refused[folder.event_id]) for folder in folders if folder.event_id in refused]


def _rows(closure: Closure) -> dict[str, list[str]]:
    return {kind: list(closure.ids(kind)) for kind in KINDS}
