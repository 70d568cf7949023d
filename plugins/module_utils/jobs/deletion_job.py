# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the jobs that delete events, rooms or users have in common: they differ in what they select."""

from __future__ import annotations

import itertools
import time
from abc import abstractmethod
from collections import deque
from typing import Any, ClassVar

from ..deletion import shared_folders
from ..deletion.apply import BatchDeletion, BatchOutcome
from ..deletion.closure import Closure
from ..deletion.effects import Description, listings
from ..deletion.graph import DeletionGraph
from ..deletion.keys import KeySet, Sql
from ..deletion.references import Catalogue
from ..deletion.selection import select_ids
from ..engine import options
from ..engine.errors import LockTimeoutError, TransientDatabaseError
from ..engine.job import Job
from ..engine.plan import Listing
from ..systems.database import sql
from ..systems.object_storage import ObjectStorage
from .batches import BatchSizer

ATTEMPTS = 3
# Batches of one root that may fail for a lock before the job gives up: by then the whole table is locked.
MOST_LOCKED = 10


class DeletionJob(Job):
    """Deletes rows of one table, with everything that goes with them.

    :cvar root: the table
    :cvar deciding: tables whose rows decide on the selection, and are locked with the batch
    """

    options = (options.DATABASE, options.OBJECT_STORAGE, options.TLS, options.REPORT, options.BATCHES, options.SAFETY)
    root: ClassVar[str]
    deciding: ClassVar[tuple[str, ...]] = ()

    catalogue: Catalogue
    _graph: DeletionGraph
    _roots: KeySet
    _storage: ObjectStorage

    @abstractmethod
    def select(self, within: KeySet | None) -> KeySet:
        """The ids of the rows to delete, in their order.

        :param within: where given, only these rows are asked about
        """

    def select_where(self, condition: Any, within: KeySet | None) -> KeySet:
        """The rows of the job's table that meet a condition, in which the table is called ``chosen_from``.

        :param within: as for :meth:`select`
        """
        table = self.catalogue.table(self.root)
        conditions = [condition]
        if within is not None:
            conditions.append(Sql(self.catalogue).within(table, ("id",), within, ("id",)))
        query = sql.SQL("SELECT id FROM {} chosen_from WHERE {} ORDER BY id").format(
            Sql.name(table), sql.SQL(" AND ").join(conditions)
        )
        return select_ids(self.run.database, query)

    def listings(self) -> dict[str, Listing]:
        return listings(self.run.options["report_limit"])

    def prepare(self) -> None:
        self._storage = ObjectStorage(
            self.run.settings.object_storage(),
            deadline=self.run.deadline,
            gate=self.run.gate,
            validate_certs=self.run.options["validate_certs"],
            ca_path=self.run.options["ca_path"],
        )

    def plan(self) -> None:
        self.catalogue = Catalogue(self.run.database)
        self._graph = DeletionGraph(self.catalogue, self.catalogue.table(self.root), self.deciding)
        with self.run.database.transaction(snapshot=True):
            self._roots = self.select(None)
            if self._roots:
                closure = Closure(self.run.database, self._graph, self._roots)
                folders = shared_folders.read(self.run.database, self.catalogue, closure.keys("events"))
                description = Description(closure, self.run.options["report_limit"], self._roots)
                self.run.plan = description.effects(closure.counts(), closure.update_counts(), folders)
        self.run.affected = self._roots.count
        self.run.log.info(f"{self.root.capitalize()} to be deleted: {self._roots.count}")
        if self.run.plan["assets"].count:
            for warning in self._storage.check():
                self.run.warn(warning)

    def total(self) -> int:
        table = sql.SQL("SELECT count(*) FROM {}").format(Sql.name(self.catalogue.table(self.root)))
        return self.run.database.row(table)[0]

    def apply(self) -> None:
        deletion = BatchDeletion(
            self.run.database,
            self._graph,
            self.select,
            self._storage,
            fail_on_folder=self.run.parameters["fail_on_shared_folder_deletion_error"],
            report_limit=self.run.options["report_limit"],
            roots=self._roots,
        )
        sizer, ids = BatchSizer(self.run.options["batch_size"]), self._roots.ids()
        while batch := list(itertools.islice(ids, sizer.size)):
            started = time.monotonic()
            self._delete(deletion, batch)
            sizer.took(time.monotonic() - started)
        if left := len(self.run.shared_folders_left_behind):
            self.run.warn(
                f"Shared folders that could not be deleted: {left};"
                " remove those listed in shared_folders_left_behind by hand."
            )
        self.run.log.info(f"{self.root.capitalize()} deleted: {self.run.done[self.root].count}")

    def _delete(self, deletion: BatchDeletion, batch: list[str]) -> None:
        """Delete a batch; where a lock stands in the way, in ever smaller parts, so that only what is locked stays."""
        parts, locked = deque([batch]), 0
        while parts:
            part = parts.popleft()
            try:
                self._account(self._attempt(deletion, part))
            except TransientDatabaseError:
                if len(part) > 1:
                    parts.extendleft([part[len(part) // 2 :], part[: len(part) // 2]])
                    continue
                locked += 1
                if locked > MOST_LOCKED:
                    raise
                self._fail(self.root, part[0], "another session holds a lock on it")

    def _attempt(self, deletion: BatchDeletion, ids: list[str]) -> BatchOutcome:
        for attempt in range(1, ATTEMPTS):
            try:
                return deletion.delete(KeySet.of_ids(ids))
            except LockTimeoutError:
                raise
            except TransientDatabaseError:
                self.run.deadline.sleep(0.1 * attempt)
        return deletion.delete(KeySet.of_ids(ids))

    def _account(self, outcome: BatchOutcome) -> None:
        self.run.done.add(outcome.effects)
        if outcome.unselected:
            limit = self.run.options["report_limit"]
            self.run.log.info(
                f"{self.root.capitalize()} of the plan that no longer match and stay: {len(outcome.unselected)}: "
                + ", ".join(outcome.unselected[:limit])
            )
        for root in outcome.kept:
            self._fail(self.root, root, "the object of one of its assets could not be deleted")
        for asset_id, reason in outcome.refused.items():
            self._fail("assets", asset_id, reason)
        for folder in outcome.left_behind:
            self.run.shared_folders_left_behind.append(folder.as_left_behind())

    def _fail(self, kind: str, identifier: str, reason: str) -> None:
        self.run.failures.append({"kind": kind, "id": identifier, "reason": reason})
        self.run.log.error(f"{kind} {identifier}: {reason}")
