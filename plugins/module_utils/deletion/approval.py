# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits a batch to the approved plan. The rows of the batch are locked, so nothing new can come to them any more."""

from __future__ import annotations

from collections.abc import Callable

from ..base.errors import PlanDiffersError
from ..record.plan_id import ExpectedPlan
from ..systems.clouds.shared_folder import SharedFolder
from . import folder_records
from .closure import Closure
from .keys import KeySet, without
from .origins import roots_of


class Approval:
    """Finds the roots that must stay, because something unapproved would go with them.

    :param expected: the approved plan, if there is one; if it lists no things, every root may go
    :param ids: gives the ids of all things that go with a closure, by kind
    """

    def __init__(self, expected: ExpectedPlan | None, ids: Callable[[Closure], dict[str, list[str]]]) -> None:
        self._expected = expected if expected and expected.listed is not None else None
        self._ids = ids

    def split(self, closure: Closure, folders_of: Callable[[Closure], list[SharedFolder]]) -> tuple[Closure, list[str]]:
        """Split the roots of a closure into those that may go and those that must stay.

        :param closure: with locks
        :param folders_of: reads the shared folders that can be deleted and go with a closure
        :returns: the closure of the roots that may go, and the ids of the roots that must stay
        :raises PlanDiffersError: it is unclear which roots must stay
        """
        if self._expected is None:
            return closure, []
        new = self._new(self._expected, closure, folders_of(closure))
        if not new:
            return closure, []
        database = closure.database
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
        found = {kind: expected.new(kind, ids) for kind, ids in self._ids(closure).items()}
        if folders:
            events = folder_records.identities(folders)
            found["events"] += [events[folder] for folder in expected.new("shared_folders", list(events))]
        return {table: ids for table, ids in found.items() if ids}
