# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The deletion run: it plans once, then deletes a batch at a time. In each batch the database must agree first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..base.errors import LaterRowsError, MaintenanceError, ObjectStorageError, SchemaError
from ..record.audit import AuditBatch
from ..record.effects import Listing
from ..record.safety import Share
from ..run import Run
from ..systems.database import sql
from . import refusals, unapproved
from .batches import Batch, Batches
from .catalogue import Catalogue, read_catalogue
from .closure import Closure
from .content import Everything
from .counting import count_rows
from .graph import DeletionGraph
from .hindrances import find
from .index_advice import TemporaryIndex, for_batches, worthwhile
from .keys import KeySet, without
from .origins import roots_of
from .outside import Outside, Things
from .selection import Candidates, Due, Select
from .temporary_indexes import TemporaryIndexes


@dataclass
class Outcome:
    """What became of a batch.

    :ivar unselected: ids of roots that the job no longer chooses
    :ivar later: ids of roots that stay because of rows that are later than the approved preview, with the reason
    :ivar kept: ids of roots that stay because the storage did not delete an object
    :ivar things: what goes with the batch outside of the database
    """

    unselected: list[str] = field(default_factory=list)
    later: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    things: Things = field(default_factory=Things)


class DeletionRun:
    """Deletes rows of one table, the roots, with everything that goes with them.

    :param root: the name of the table
    :param select: chooses the roots; it runs for the plan, and again under the locks of each batch
    :param content: what goes with the roots, and how it is described
    :param outside: what goes with them outside of the database; None if nothing can
    :param deciding: names of tables on whose rows the choice depends; a batch locks these rows, too
    :param reading: further columns to read of rows that go, by table
    :param noun: the roots in the log
    :param due: tells the audit log since when the roots may be deleted
    """

    def __init__(
        self,
        run: Run,
        root: str,
        select: Select,
        content: Everything,
        outside: Outside | None = None,
        *,
        deciding: tuple[str, ...] = (),
        reading: Mapping[str, tuple[str, ...]] | None = None,
        noun: str = "",
        due: Due | None = None,
    ) -> None:
        self._run = run
        self._root = root
        self._select = select
        self._content = content
        self._outside = outside
        self._deciding = deciding
        self._reading = reading or {}
        self._noun = noun or root.capitalize()
        self._due = due
        self._kept: dict[str, str] = {}

    def listings(self) -> dict[str, Listing]:
        informative = Listing(self._run.options["report_limit"], "items", informative=True)
        return {**self._content.listings(), "temporary_indexes": informative}

    def plan(self) -> None:
        run, database = self._run, self._run.database
        self._graph = self._read_graph(read_catalogue(database))
        self._tables = self._content.tables(self._graph.catalogue)
        hindrances = find(database, self._graph, deleting=self._tables)
        for warning in hindrances.warnings:
            run.warn(warning)
        self._doubtful = hindrances.doubtful | hindrances.doubtful_updates
        self._indexes: list[TemporaryIndex] = []
        self._total = 0
        with database.transaction(snapshot=True):
            self._roots = self._choose(self._candidates())
            if run.visibility and not run.gate.is_open:
                self._leave_later()
            if self._roots:
                # All in one snapshot, because another job may delete some of the rows at the same time.
                if run.options["max_affected_percent"] is not None:
                    self._total = count_rows(database, self._graph.root, sql.SQL("true"))
                self._describe(Closure(database, self._graph, self._roots))
            if not run.gate.is_open:
                run.roots = {
                    self._root: list(self._roots.ids()),
                    **unapproved.sharing(database, self._graph, self._roots),
                }
        run.affected = self._roots.count
        run.log.info(f"{self._noun} {self._content.planned}: {self._roots.count}")
        if self._outside:
            self._outside.check()

    def total(self) -> int:
        return self._total

    def shares(self) -> list[Share]:
        """None: one system decides alone."""
        return []

    def check_plan(self) -> None:
        """There is nothing to refuse."""

    def apply(self) -> None:
        run, roots = self._run, self._roots.ids()
        try:
            with self._temporary_indexes():
                batches = Batches(
                    self._outside.ordered(roots) if self._outside else roots,
                    lambda identifier, reason: run.fail(self._root, identifier, reason),
                    run.deadline,
                    largest=run.options["batch_size"],
                    worthwhile=self._outside.smallest_batch(self._roots.count) if self._outside else 1,
                    progress=run.progress.stage(f"{self._root} done", self._roots.count),
                )
                for batch in batches:
                    if self._outside:
                        self._outside.look_again()
                    with batches.attempt(batch):
                        try:
                            self._delete(batch)
                        except LaterRowsError:
                            self._find_later(batch)
                            raise
        finally:
            if self._outside:
                self._outside.report()
        run.log.info(f"{self._noun} {self._content.done}: {run.done[self._root].count}")

    # Plan

    def _read_graph(self, catalogue: Catalogue) -> DeletionGraph:
        graph = DeletionGraph(catalogue, catalogue.table(self._root), self._deciding, self._reading)
        if self._outside is None and catalogue.table("assets") in graph.tables:
            raise SchemaError(
                f"Table {self._root} is referred to by tables that lead to assets, so its rows cannot be deleted by this"
                " job; update this collection."
            )
        return graph

    def _candidates(self) -> KeySet | None:
        """The approved roots; None if all rows are candidates."""
        approval = self._run.approval
        return KeySet.of_ids(approval.roots.get(self._root, [])) if approval else None

    def _leave_later(self) -> None:
        """Take the roots out of a preview that a run would find out to have later rows, batch by batch."""
        # A row that goes with one root may be one that another root would only change, if the first one stays.
        while later := self._later(self._roots):
            for root, reason in sorted(later.items()):
                self._run.fail(self._root, root, reason)
            self._roots = self._choose(KeySet.of_ids(without(self._roots, later)))

    def _later(self, roots: KeySet) -> dict[str, str]:
        """Roots that must stay because of rows that are later than the approved preview, with the reason.

        Without these, there may be more. If there is none, no root must stay.
        """
        database, visibility = self._run.database, self._run.visibility
        if not (roots and visibility):
            return {}
        closure = Closure(database, self._graph, roots)
        found = {
            **unapproved.roots(database, closure, visibility, tables=self._tables),
            **unapproved.no_longer_sharing(closure, self._run.approval),
        }
        # If another user with the same address stays, an invitation to this address stays. So the last user who has it is
        # looked at again without those who stay for certain.
        last = set(closure.freed_addresses.ids())
        return {root: reason for root, reason in found.items() if root not in last} or found

    def _choose(self, within: KeySet | None) -> KeySet:
        return self._select(self._among(within))

    def _among(self, within: KeySet | None) -> Candidates:
        graph = self._graph
        columns = graph.tracked_columns(graph.root)
        return Candidates(self._run.database, graph.catalogue, graph.root, columns, within)

    def _due_of(self, closure: Closure) -> Mapping[str, str]:
        """Since when the roots of a closure may be deleted, by id, as far as it is known."""
        roots = closure.sets[self._graph.root]
        return self._due(self._among(roots)) if self._due and roots else {}

    def _describe(self, closure: Closure) -> None:
        run = self._run
        effects = self._content.describe(closure, self._roots)
        self._content.settle(effects, self._content.count(run.database, closure))
        if self._outside:
            in_trash = not run.options["empty_trash"]
            effects["shared_folders"].add(folder.as_item(in_trash=in_trash) for folder in self._outside.plan(closure))
        run.plan.add(effects)
        if run.options["temporary_indexes"]:
            deleted = effects.rows_deleted
            references = [found for found in self._graph.catalogue.references if deleted[found.target.label]]
            self._indexes = worthwhile(run.database, references, deleted)
            self._indexes += for_batches(run.database, self._graph, deleted)
            run.plan["temporary_indexes"].add(index.as_item() for index in self._indexes)

    # Apply

    @contextlib.contextmanager
    def _temporary_indexes(self) -> Iterator[None]:
        run = self._run
        if self._indexes:
            run.progress.stage("building indexes")
        warnings: list[str] = []
        try:
            with TemporaryIndexes(run.database, run.job_type).during(self._indexes) as (built, warnings):
                run.done["temporary_indexes"].add(index.as_item() for index in built)
                yield
        finally:
            for warning in warnings:
                run.warn(warning)

    def _delete(self, batch: Batch) -> None:
        """Delete a batch in one transaction: lock, choose again, delete rows, record, delete outside, commit.

        :raises MaintenanceError: all rows of the batch stay, unless the error came during the commit
        """
        run, outside, content, database = self._run, self._outside, self._content, self._run.database
        audit, outcome, alone = run.audit.batch(), Outcome(), len(batch.things) == 1
        outcome.later = {root: self._kept[root] for root in batch.things if root in self._kept}
        try:
            with database.transaction():
                closure = self._lock(
                    KeySet.of_ids([root for root in batch.things if root not in outcome.later]), outcome
                )
                effects = content.describe(closure, self._roots, listed=run.done)
                announced = gone = content.ids(closure) if audit.is_open else {}
                due = self._due_of(closure) if audit.is_open else {}
                if outside:
                    outcome.things = outside.of(closure)
                with refusals.explained(database, closure, alone=alone, tables=self._tables):
                    counts = content.delete(database, closure, self._doubtful, run.visibility)
                if outside:
                    outside.look_around(closure, outcome.things)
                audit.deleting({**announced, **outcome.things.ids()}, due)
                if outside:
                    batch.waited = outside.delete(outcome.things)
                    if outcome.things.refused_assets:
                        closure = self._without_refused(closure, outcome)
                        effects = content.describe(closure, self._roots, listed=run.done)
                        gone = content.ids(closure) if audit.is_open else {}
                        counts = content.delete(database, closure, self._doubtful, run.visibility)
                    outside.record_left_behind(outcome.things, closure, audit)
                    # If the connection broke meanwhile, this says so, and it is certain that nothing was committed.
                    database.execute("RELEASE SAVEPOINT rows")
        except MaintenanceError as error:
            audit.not_deleted(certain=not error.in_commit)
            if outside:
                outside.failed(outcome.things, error, alone=alone)
            raise
        run.done.add(content.settle(effects, counts))
        kept = {kind: sorted(set(ids).difference(gone.get(kind, ()))) for kind, ids in announced.items()}
        audit.deleted(effects.rows_deleted, {**kept, **outcome.things.refused()})
        self._account(outcome, closure, audit)

    def _find_later(self, batch: Batch) -> None:
        """Find out which roots of a batch must stay, so that its other roots need not be tried one by one."""
        if len(batch.things) > 1:
            with self._run.database.transaction(snapshot=True):
                self._kept.update(self._later(self._choose(KeySet.of_ids(batch.things))))

    def _lock(self, batch: KeySet, outcome: Outcome) -> Closure:
        """The closure of those roots that may go, with locks on all its rows."""
        # Nothing can be added to locked rows any more, so the selection runs again now. Rows that it no longer selects
        # stay locked until the end of the transaction.
        closure = Closure(self._run.database, self._graph, batch, lock=True)
        if self._outside:
            self._outside.tries(closure)
        selected = self._choose(closure.sets[self._graph.root])
        if selected.count < batch.count:
            outcome.unselected = without(batch, set(selected.ids()))
            closure = Closure(self._run.database, self._graph, selected, lock=True)
        if later := unapproved.no_longer_sharing(closure, self._run.approval):
            cause = next(iter(later.values()))
            raise LaterRowsError(f"Nothing of a batch was done, because {cause}; look at a new preview.", cause)
        return closure

    def _without_refused(self, closure: Closure, outcome: Outcome) -> Closure:
        """Take the deletion of rows back, and give the closure without the roots of refused assets."""
        database, refused = self._run.database, outcome.things.refused_assets
        database.execute(refusals.TAKE_BACK)
        outcome.kept = sorted(set(roots_of(database, closure, "assets", list(refused)).ids()))
        rest = KeySet.of_ids(without(closure.sets[self._graph.root], set(outcome.kept)))
        remaining = Closure(database, self._graph, rest, lock=True)
        if not refused.keys().isdisjoint(remaining.keys("assets").ids()):
            raise ObjectStorageError(
                "The object storage refused to delete an object, and it is unclear what must stay because of it;"
                " nothing of this batch was deleted from the database: mend the cause and run the job again."
            )
        return remaining

    def _account(self, outcome: Outcome, closure: Closure, audit: AuditBatch) -> None:
        """Report the roots that stay, and what went and stayed outside."""
        run = self._run
        if outcome.unselected:
            run.log.info(
                f"{self._root.capitalize()} of the plan that no longer match or are gone already:"
                f" {len(outcome.unselected)}: " + ", ".join(outcome.unselected[: run.options["report_limit"]])
            )
        for root, reason in outcome.later.items():
            run.fail(self._root, root, reason)
        for root in outcome.kept:
            run.fail(self._root, root, "the object of one of its assets could not be deleted")
        if self._outside:
            self._outside.account(outcome.things, closure, audit)
