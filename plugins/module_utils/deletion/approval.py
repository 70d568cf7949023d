# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits a batch to the approved plan. The rows of the batch are locked, so nothing new can come to them any more."""

from __future__ import annotations

from collections.abc import Callable

from ..base.errors import PlanDiffersError
from ..record.plan_id import ExpectedPlan
from ..systems.clouds.shared_folder import SharedFolder
from ..systems.database import Database
from . import folder_records
from .closure import Closure
from .description import KINDS
from .folder_deletion import FolderDeletion
from .keys import KeySet, without
from .origins import roots_of


class Approval:
    """Finds the roots that must stay, because something unapproved would go with them.

    :param expected: the approved plan, if there is one; if it lists no things, every root may go
    :param folders: knows which shared folders can be deleted
    """

    def __init__(self, expected: ExpectedPlan | None, folders: FolderDeletion) -> None:
        self._expected = expected if expected and expected.listed is not None else None
        self._folders = folders

    def split(
        self, database: Database, closure: Closure, folders_of: Callable[[Closure], list[SharedFolder]]
    ) -> tuple[Closure, list[str]]:
        """Split the roots of a closure into those that may go and those that must stay.

        :param closure: with locks
        :param folders_of: reads the shared folders that go with a closure
        :returns: the closure of the roots that may go, and the ids of the roots that must stay
        :raises PlanDiffersError: it is unclear which roots must stay
        """
        if self._expected is None:
            return closure, []
        new = self._new(self._expected, closure, folders_of(closure))
        if not new:
            return closure, []
        kept = {root for table, ids in new.items() for root in roots_of(database, closure, table, ids).ids()}
        rest = KeySet.of_ids(without(closure.sets[closure.graph.root], kept))
        remaining = Closure(database, closure.graph, rest, lock=True)
        if self._new(self._expected, remaining, folders_of(remaining)):
            raise PlanDiffersError(
                "Something came to what was approved, and it is unclear what must stay because of it; nothing of this batch"
                " was deleted: look at a new preview."
            )
        return remaining, sorted(kept)

    def _new(self, expected: ExpectedPlan, closure: Closure, folders: list[SharedFolder]) -> dict[str, list[str]]:
        """The ids of unapproved rows by table. The event stands for an unapproved shared folder."""
        found = {kind: expected.new(kind, list(closure.ids(kind))) for kind in KINDS}
        events = folder_records.identities(self._folders.deletable(folders))
        found["events"] += [events[folder] for folder in expected.new("shared_folders", list(events))]
        return {table: ids for table, ids in found.items() if ids}
