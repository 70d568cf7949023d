# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What deleting assets does to rows, counted a part of the assets at a time so that memory stays small."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from ...deletion import counting
from ...deletion.closure import Closure
from ...deletion.graph import DeletionGraph, Edge
from ...deletion.keys import KeySet
from ...systems.database import Database

# Assets that are counted at once.
PART = 10_000


def count(database: Database, graph: DeletionGraph, ids: Iterator[str]) -> tuple[Counter[str], Counter[str]]:
    """How many rows of each table go, and how many change, when these assets go.

    :param database: a session that sees what the ids were read from
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
    """Whether every row belongs to one asset only, so that none would be counted with two parts."""
    # The way back to the assets, along the columns by which others refer to them, finds no further ones.
    back = [
        Edge(graph.root, edge.target_columns, edge.source, edge.source_columns) for edge in graph.edges_to(graph.root)
    ]
    if any(edge not in graph.edges for edge in back):
        return False
    tables = [graph.root, *(change.reference.table for change in graph.changes)]
    tables += [edge.target for edge in graph.edges if edge.target != graph.root]
    return len(tables) == len(set(tables))
