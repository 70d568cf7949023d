# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Base of the jobs that delete: they plan once, then delete a batch at a time."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from ...base.errors import MaintenanceError
from ...deletion.batch_deletion import BatchOutcome
from ...deletion.batches import Batches
from ...deletion.catalogue import Catalogue, read_catalogue
from ...deletion.graph import DeletionGraph
from ...deletion.hindrances import Hindrances, find
from ...deletion.index_advice import ForeignKeyIndex, worthwhile
from ...deletion.keys import KeySet, Sql
from ...deletion.selection import select_keys
from ...deletion.temporary_indexes import TemporaryIndexes
from ...record.audit import AuditBatch
from ...record.effects import Effects, Listing
from ...systems.database import Composable, Database, sql
from .job import Job


class BatchedJob(Job):
    """Chooses rows of one table, the roots, and deletes what goes with them.

    :cvar root: the table
    :cvar smallest_batch: the fewest roots of a batch, also if other servers take long for it
    """

    root: ClassVar[str]
    smallest_batch = 1

    catalogue: Catalogue
    hindrances: Hindrances
    roots: KeySet
    _graph: DeletionGraph
    _total: int
    _indexes: list[ForeignKeyIndex]

    @abstractmethod
    def select(self, database: Database, within: KeySet | None) -> KeySet:
        """The roots, by ``columns``, in the order of their ids.

        :param within: the rows to choose from; None for all
        """

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the roots that ``select`` reads."""
        return ("id",)

    def read_schema(self) -> None:  # noqa: B027 - optional
        """Prepare what the job needs of the catalogue.

        :raises SchemaError: the job cannot work with the schema
        """

    def find_hindrances(self) -> Hindrances:
        """What the database has that may keep the job from doing what it reports.

        :raises SchemaError: it surely does
        """
        return find(self.run.database, self._graph)

    @abstractmethod
    def describe(self) -> Effects:
        """The effects of deleting the roots. It is called in the snapshot in which they were chosen."""

    @abstractmethod
    def kinds(self) -> dict[str, Listing]:
        """The kinds of things that the job deletes, empty."""

    @abstractmethod
    def delete_batch(self, database: Database, batch: KeySet, audit: AuditBatch) -> BatchOutcome:
        """Delete some of the roots in one transaction.

        :param audit: the method must record there what it is about to delete
        :raises MaintenanceError: all rows of the batch stay
        """

    def select_where(self, database: Database, condition: Composable, within: KeySet | None) -> KeySet:
        """The rows of the job's table that meet a condition. The condition calls the table ``chosen_from``.

        :param within: as for :meth:`select`
        """
        table = self.catalogue.table(self.root)
        conditions = [condition]
        if within is not None:
            conditions.append(Sql(self.catalogue).within(table, ("id",), within, ("id",)))
        query = sql.SQL("SELECT {} FROM {} chosen_from WHERE {} ORDER BY id").format(
            sql.SQL(", ").join(map(sql.Identifier, self.columns)), Sql.name(table), sql.SQL(" AND ").join(conditions)
        )
        return select_keys(database, self.columns, query)

    def listings(self) -> dict[str, Listing]:
        return {
            **self.kinds(),
            "temporary_indexes": Listing(self.run.options["report_limit"], "items", informative=True),
        }

    def plan(self) -> None:
        self._indexes, self._total = [], 0
        self.catalogue = read_catalogue(self.run.database)
        self.read_schema()
        self.hindrances = self.find_hindrances()
        for warning in self.hindrances.warnings:
            self.run.warn(warning)
        with self.run.database.transaction(snapshot=True):
            self.roots = self.select(self.run.database, None)
            if self.roots:
                # All in one snapshot, because another job may delete some of the rows at the same time.
                if self.run.options["max_affected_percent"] is not None:
                    self._total = self._count_all()
                self.run.plan.add(self.describe())
                self._plan_indexes()
        self.run.affected = self.roots.count

    def total(self) -> int:
        return self._total

    def apply(self) -> None:
        warnings: list[str] = []
        if self._indexes:
            self.run.progress.stage("building indexes")
        try:
            with TemporaryIndexes(self.run.database, self.job_type).during(self._indexes) as (built, warnings):
                self.run.done["temporary_indexes"].add(index.as_item() for index in built)
                Batches(
                    self._delete,
                    lambda identifier, reason: self.fail(self.root, identifier, reason),
                    self.run.deadline,
                    largest=self.run.options["batch_size"],
                    worthwhile=self.smallest_batch,
                    progress=self.run.progress.stage(f"{self.root} done", self.roots.count),
                ).run(self.roots.ids())
        finally:
            for warning in warnings:
                self.run.warn(warning)

    def account(self, outcome: BatchOutcome) -> None:
        """Add the outcome of a batch to the run's record."""
        self.run.done.add(outcome.effects)
        if outcome.unselected:
            limit = self.run.options["report_limit"]
            self.run.log.info(
                f"{self.root.capitalize()} of the plan that no longer match or are gone already: {len(outcome.unselected)}: "
                + ", ".join(outcome.unselected[:limit])
            )

    def _delete(self, ids: list[str]) -> float:
        audit = self.run.audit.batch()
        try:
            outcome = self.delete_batch(self.run.database, KeySet.of_ids(ids), audit)
        except MaintenanceError as error:
            audit.not_deleted(certain=not error.in_commit)
            raise
        self.account(outcome)
        audit.deleted(outcome.effects.rows_deleted, outcome.announced_and_kept)
        return outcome.waited

    def _count_all(self) -> int:
        query = sql.SQL("SELECT count(*) FROM {}").format(Sql.name(self.catalogue.table(self.root)))
        return self.run.database.row(query)[0]

    def _plan_indexes(self) -> None:
        if not self.run.options["temporary_indexes"]:
            return
        deleted = self.run.plan.rows_deleted
        references = [reference for reference in self.catalogue.references if deleted[reference.target.label]]
        self._indexes = worthwhile(self.run.database, references, deleted)
        self.run.plan["temporary_indexes"].add(index.as_item() for index in self._indexes)
