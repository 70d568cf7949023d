# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds the roots that must stay, because a row that would go or be changed with them was not in the approved preview."""

from __future__ import annotations

from collections.abc import Collection

from ..record.approval import Approval
from ..systems.database import Composable, Database, sql
from ..systems.snapshots import Visibility
from . import addresses, origins, permissions, policy
from .catalogue import Table
from .closure import Closure
from .graph import DeletionGraph
from .keys import KeySet, Sql
from .statements import came_later, changes, deletions

# The users of an approval whose address another user, who stays, had in the preview. So it showed no invitations to it.
SHARING = "users_who_share_an_address"
_NOT_SHARED = (
    "in the preview another user had its mail address, who has it no longer, so invitations by mail would go that the preview"
    " did not show"
)


def sharing(database: Database, graph: DeletionGraph, roots: KeySet) -> dict[str, list[str]]:
    """What the approval of a preview must say about the addresses of its roots."""
    if not (roots and any(edge.by_address for edge in graph.edges)):
        return {}
    found = addresses.users_who_share(database, graph.catalogue, roots)
    return {SHARING: found} if found else {}


def no_longer_sharing(closure: Closure, approval: Approval | None) -> dict[str, str]:
    """The roots that must stay because of invitations that go with them and not in the preview, with the reason."""
    shared = set(approval.roots.get(SHARING, [])) if approval else set()
    return dict.fromkeys(shared.intersection(closure.freed_addresses.ids()), _NOT_SHARED) if shared else {}


def roots(
    database: Database, closure: Closure, visibility: Visibility, *, tables: Collection[Table] | None = None
) -> dict[str, str]:
    """The roots that must stay, as far as foreign keys and permissions lead to them.

    :param tables: the tables that lose rows, and no row changes; None for all of the closure
    :returns: the reasons by the ids of the roots
    """
    graph, later = closure.graph, visibility.is_later()
    steps = list(deletions(closure).items())
    steps = [*steps, *changes(closure).items()] if tables is None else [step for step in steps if step[0] in tables]
    if not steps:
        return {}
    exist = sql.SQL("SELECT {}").format(
        sql.SQL(", ").join(
            sql.SQL("EXISTS (SELECT FROM {} WHERE {} AND {})").format(Sql.name(table), step.condition, later)
            for table, step in steps
        )
    )
    found: dict[str, str] = {}
    for (table, step), exists in zip(steps, database.row(exist), strict=True):
        if not exists:
            continue
        rows = sql.SQL("{} AND {}").format(step.condition, later)
        starts: list[tuple[Table, Composable]] = [(table, rows)] if table in graph.tables else []
        starts += [
            (change.reference.target, origins.referred(change.reference, rows))
            for change in closure.changes().get(table, [])
        ]
        if table.label == policy.PERMISSIONS:
            about = permissions.resources(database, graph.catalogue, rows)
            starts += [
                (
                    resource,
                    Sql(graph.catalogue).within(resource, ("id",), KeySet.of_ids(about[resource.label]), ("id",)),
                )
                for resource in closure.sets
                if resource.label in about
            ]
        for start, condition in starts:
            for root in origins.roots_where(database, closure, start, condition).ids():
                found.setdefault(root, came_later(table))
    return found
