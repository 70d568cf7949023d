# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts the rows that go or change with assets. It does so for a part of the assets at a time, to save memory."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from ...deletion import counting
from ...deletion.closure import Closure
from ...deletion.graph import DeletionGraph, Edge
from ...deletion.keys import KeySet
from ...systems.database import Database

# The most assets in a part.
PART = 10_000


def count(database: Database, graph: DeletionGraph, ids: Iterator[str]) -> tuple[Counter[str], Counter[str]]:
    """The number of rows that go, and the number of rows that change, by table, when these assets go.

    :param database: a session that sees the same rows as the session that read the ids
    :raises DatabaseError: a query failed
    """
    deleted: Counter[str] = Counter()
    updated: Counter[str] = Counter()
    size = PART if _in_parts(graph) else None
    while part := list(itertools.islice(ids, size)):
        closure = Closure(database, graph, KeySet.of_ids(part))
        deleted.update(counting.deleted(database, closure))
        updated.update(counting.updated(database, closure))
    return deleted, updated


def _in_parts(graph: DeletionGraph) -> bool:
    """Whether every row belongs to only one asset, so that no row is counted in two parts."""
    # An edge to the assets must lead back to the same asset: its reverse must be an edge, too.
    back = [
        Edge(graph.root, edge.target_columns, edge.source, edge.source_columns) for edge in graph.edges_to(graph.root)
    ]
    if any(edge not in graph.edges for edge in back):
        return False
    tables = [graph.root, *(change.reference.table for change in graph.changes)]
    tables += [edge.target for edge in graph.edges if edge.target != graph.root]
    return len(tables) == len(set(tables))
