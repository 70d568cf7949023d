# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The content of a deletion: how the rows that go are described, counted and deleted."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import ClassVar

from ..record.effects import Effects, Listing, SizedListing
from ..run import Run
from ..systems.database import Database
from ..systems.snapshots import Visibility
from . import counting
from .catalogue import Catalogue, Table
from .closure import Closure
from .keys import KeySet
from .statements import RowCounts, delete_rows


class Everything:
    """The content of a deletion in which all rows of a closure go: how it is described, counted and deleted.

    :param run: its options say how many ids are listed
    :cvar kinds: the kinds of things that are reported
    :cvar planned: says in the log what the plan does with the roots
    :cvar done: says the same after the deletion
    """

    kinds: ClassVar[tuple[str, ...]] = ("events", "rooms", "users", "invites", "assets")
    planned, done = "to be deleted", "deleted"

    def __init__(self, run: Run) -> None:
        self.limit: int = run.options["report_limit"]

    def listings(self) -> dict[str, Listing]:
        """Empty listings of the kinds."""
        return {
            "events": Listing(self.limit),
            "events_of_other_users": Listing(self.limit),
            "rooms": Listing(self.limit),
            "users": Listing(self.limit),
            "invites": Listing(self.limit),
            "assets": SizedListing(self.limit),
            "shared_folders": Listing(self.limit, key="items"),
        }

    def tables(self, catalogue: Catalogue) -> list[Table] | None:
        """The tables that lose rows; None for all of the graph."""
        return None

    def ids(self, closure: Closure) -> dict[str, list[str]]:
        """The ids of all things that go, by kind.

        The key of an invitation by mail has the address, so such an invitation has the id of its event.
        """
        found = {kind: list(closure.ids(kind)) for kind in self.kinds}
        invitations = closure.events_of_invitations()
        return {**found, "event_email_invites": invitations} if invitations else found

    def describe(self, closure: Closure, roots: KeySet, *, listed: Effects | None = None) -> Effects:
        """The effects without numbers of rows, read before the rows are deleted.

        :param roots: all roots of the plan; the closure may have only a batch of them
        :param listed: the effects of earlier batches, whose ids count towards the limit
        """
        effects = Effects(self.listings())
        for kind in self.kinds:
            effects[kind].add(closure.ids(kind, self.limit - len(listed[kind].listed) if listed else self.limit))
        if "assets" in self.kinds:
            effects["assets"].bytes = closure.asset_bytes()
        if closure.graph.root.label == "users":
            effects["events_of_other_users"].add(_events_not_created_by(closure, roots))
        return effects

    def count(self, database: Database, closure: Closure) -> RowCounts:
        """The rows that would be deleted and updated."""
        return RowCounts(counting.deleted(database, closure), counting.updated(database, closure))

    # Deletes the rows; a function and not a method, so that the way to the deletion is short.
    delete: Callable[[Database, Closure, Collection[Table], Visibility | None], RowCounts] = staticmethod(delete_rows)

    def settle(self, effects: Effects, counts: RowCounts) -> Effects:
        """Complete the effects with numbers of rows."""
        effects.rows_deleted.update(counts.deleted)
        effects.rows_updated.update(counts.updated)
        for kind in self.kinds:
            effects[kind].count = counts.deleted.get(kind, 0)
        return effects


def _events_not_created_by(closure: Closure, users: KeySet) -> list[str]:
    events, creators = closure.keys("events"), set(users.ids())
    if not events:
        return []
    pairs = zip(events.ids(), events.ids("created_by"), strict=True)
    return sorted(event for event, creator in pairs if creator not in creators)
