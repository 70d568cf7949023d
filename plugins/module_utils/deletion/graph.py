# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which tables rows go from when rows of one table go, and along which foreign keys."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..base.errors import SchemaError
from . import policy
from .catalogue import CASCADE, SET_NULL, Catalogue, Reference, Table


@dataclass(frozen=True)
class Edge:
    """Rows of ``target`` go when rows of ``source`` go: those whose columns have the same values."""

    source: Table
    source_columns: tuple[str, ...]
    target: Table
    target_columns: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """Rows that stay lose their reference to rows that go.

    :ivar reference: the foreign key
    :ivar replacement: the column whose value takes the place of the reference, or None for NULL
    """

    reference: Reference
    replacement: str | None


class DeletionGraph:
    """Everything that can follow from deleting rows of one table.

    :param catalogue: the database's tables and keys
    :param root: the table from which rows are chosen
    :param locked: names of tables whose rows must be locked although nothing depends on them
    :param read: further columns that must be known of the rows of some tables, by the tables' names
    :raises SchemaError: a reference has no rule that says what happens to its rows
    """

    def __init__(
        self,
        catalogue: Catalogue,
        root: Table,
        locked: Collection[str] = (),
        read: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.root = root
        self._locked = locked
        self._read = read or {}
        self.tables: list[Table] = [root]
        self.edges: list[Edge] = []
        self.changes: list[Change] = []
        self._carrying: list[Edge] = []
        for table in self.tables:
            self._follow(table)
        self._columns = {table: self._tracked_columns(table) for table in self.tables}

    def for_reading(self) -> DeletionGraph:
        """The graph that finds the same rows with fewer queries, where none of them need be locked."""
        graph = copy.copy(self)
        graph._locked = ()
        graph.edges = list(dict.fromkeys(map(self._shortened, self.edges)))
        graph._columns = {table: graph._tracked_columns(table) for table in graph.tables}
        return graph

    def tracked_columns(self, table: Table) -> tuple[str, ...]:
        """The columns by which the table's rows must be known; none where nothing depends on its rows."""
        return self._columns[table]

    def edges_to(self, table: Table) -> list[Edge]:
        return [edge for edge in self.edges if edge.target == table]

    def carries(self, edge: Edge) -> bool:
        """Whether an edge leads from rows to what they alone refer to."""
        return edge in self._carrying

    def _follow(self, table: Table) -> None:
        for reference in self.catalogue.referencing(table):
            # Names of the policy are single columns of the controller's own tables.
            known = (reference.table.label, ",".join(reference.columns))
            if known in policy.REPOINTED:
                self.changes.append(Change(reference, policy.REPOINTED[known]))
            elif known in policy.OWNED or reference.rule == CASCADE:
                self._add(Edge(table, reference.target_columns, reference.table, reference.columns))
            elif reference.rule == SET_NULL:
                self.changes.append(Change(reference, None))
            else:
                raise SchemaError(
                    f"Table {reference.table.label}, column {', '.join(reference.columns)} refers to {table.label} without"
                    " ON DELETE CASCADE or SET NULL, so it is unknown what shall happen to its rows;"
                    " update this collection."
                )
        for reference in self.catalogue.referenced_by(table):
            if (table.label, ",".join(reference.columns)) in policy.CARRIED:
                if not self.catalogue.is_unique(table, reference.columns):
                    raise SchemaError(
                        f"Table {table.label}, column {', '.join(reference.columns)} is not unique, so rows of"
                        f" {reference.target.label} may be shared and must not be deleted; update this collection."
                    )
                edge = Edge(table, reference.columns, reference.target, reference.target_columns)
                self._carrying.append(edge)
                self._add(edge)

    def _shortened(self, edge: Edge) -> Edge:
        # What refers to the columns by which a row refers on has their values, too: it needs no look at that row.
        while edge.source != self.root and edge not in self._carrying:
            ways = self.edges_to(edge.source)
            if len(ways) > 1 or ways[0] in self._carrying or ways[0].target_columns != edge.source_columns:
                break
            edge = Edge(ways[0].source, ways[0].source_columns, edge.target, edge.target_columns)
        return edge

    def _add(self, edge: Edge) -> None:
        self.edges.append(edge)
        if edge.target not in self.tables:
            self.tables.append(edge.target)

    def _tracked_columns(self, table: Table) -> tuple[str, ...]:
        columns = [column for edge in self.edges if edge.source == table for column in edge.source_columns]
        columns += [
            column
            for change in self.changes
            if change.reference.target == table
            for column in change.reference.target_columns
        ]
        if table == self.root or (table.label in policy.RESOURCES and self.catalogue.has(policy.PERMISSIONS)):
            columns.append("id")
        columns += self._read.get(table.label, ())
        if not columns and table.label not in self._locked:
            return ()
        return tuple(dict.fromkeys([*self.catalogue.primary_key(table), *columns]))
