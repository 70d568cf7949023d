# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The effects of deleting a closure, for reports."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from ..record.effects import Effects, Listing, SizedListing
from ..record.plan_id import PlanIdentity
from ..systems.clouds.shared_folder import SharedFolder
from .closure import Closure
from .keys import KeySet

KINDS = ("events", "rooms", "users", "invites", "assets")


def listings(limit: int) -> dict[str, Listing]:
    """Empty listings of the kinds of things that the deleting jobs report.

    :param limit: the most ids that are listed of each kind
    """
    return {
        "events": Listing(limit),
        "events_of_other_users": Listing(limit),
        "rooms": Listing(limit),
        "users": Listing(limit),
        "invites": Listing(limit),
        "assets": SizedListing(limit),
        "shared_folders": Listing(limit, key="items"),
    }


class Description:
    """The ids and sizes of the things that go, read before the rows are deleted.

    :param limit: the most ids that are listed of each kind
    :param roots: all roots of the plan; the closure may have only a batch of them
    :param listed: the effects of earlier batches, whose ids count towards the limit
    :param identity: gets all ids, or a digest of them
    :ivar counts: the number of things by kind, if there is an identity
    """

    def __init__(
        self,
        closure: Closure,
        limit: int,
        roots: KeySet,
        *,
        listed: Effects | None = None,
        identity: PlanIdentity | None = None,
    ) -> None:
        self._limit = limit
        self._ids: dict[str, list[str]] = {}
        self.counts: dict[str, int] = {}
        if identity:
            identity.at_least(sum(closure.keys(kind).count for kind in KINDS))
        for kind in KINDS:
            if identity and not (identity.needs_ids or closure.holds(kind)):
                self.counts[kind], digest = closure.digest(kind)
                identity.add_digest(kind, self.counts[kind], digest)
                self._ids[kind] = list(closure.ids(kind, limit))
            elif identity:
                ids = closure.ids(kind)
                self._ids[kind] = first = list(itertools.islice(ids, limit))
                self.counts[kind] = identity.add(kind, itertools.chain(first, ids))
            else:
                self._ids[kind] = list(closure.ids(kind, limit - len(listed[kind].listed) if listed else limit))
        self._bytes = closure.asset_bytes()
        self._of_others = _events_not_created_by(closure, roots) if closure.graph.root.label == "users" else []

    def effects(self, deleted: dict[str, int], updated: dict[str, int], folders: Iterable[SharedFolder]) -> Effects:
        """The effects, with the numbers of rows.

        :param deleted: the number of deleted rows by table
        :param updated: the number of updated rows by table
        :param folders: the shared folders that go
        """
        effects = Effects(listings(self._limit))
        effects.rows_deleted.update(deleted)
        effects.rows_updated.update(updated)
        for kind, ids in self._ids.items():
            effects[kind].add(ids, count=deleted.get(kind, 0))
        effects["events_of_other_users"].add(self._of_others)
        effects["assets"].bytes = self._bytes
        effects["shared_folders"].add(folder.as_item() for folder in folders)
        return effects


def _events_not_created_by(closure: Closure, users: KeySet) -> list[str]:
    events, creators = closure.keys("events"), set(users.ids())
    if not events:
        return []
    pairs = zip(events.ids(), events.ids("created_by"), strict=True)
    return sorted(event for event, creator in pairs if creator not in creators)
