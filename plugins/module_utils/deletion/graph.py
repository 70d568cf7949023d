# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The graph of a deletion: the tables that lose rows when rows of one table go, and the foreign keys between them."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..base.errors import SchemaError
from . import addresses, policy
from .catalogue import CASCADE, SET_NULL, Catalogue, Reference, Table


@dataclass(frozen=True)
class Edge:
    """When a row of ``source`` goes, all rows of ``target`` go whose columns have the same values.

    :ivar by_address: whether these are invitations to the mail address of the user who goes, see :mod:`.addresses`
    """

    source: Table
    source_columns: tuple[str, ...]
    target: Table
    target_columns: tuple[str, ...]
    by_address: bool = False


@dataclass(frozen=True)
class Change:
    """A foreign key from rows that stay to rows that go. The rows that stay lose this reference.

    :ivar replacement: the column whose value replaces the reference, or None for NULL
    :ivar revision: the column that counts this change, or None
    """

    reference: Reference
    replacement: str | None
    revision: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that get another value."""
        return self.reference.reset_columns + ((self.revision,) if self.revision else ())


class DeletionGraph:
    """All edges and changes that can follow from deleting rows of one table.

    :param catalogue: the database's tables and keys
    :param root: the table of the roots
    :param locked: names of tables whose rows must be locked, although no other row depends on them
    :param read: further columns that a closure must hold, by table name
    :raises SchemaError: a foreign key has no rule that says what happens to its rows
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
        """A graph that finds the same rows with fewer queries, for closures without locks."""
        graph = copy.copy(self)
        graph._locked = ()
        graph.edges = list(dict.fromkeys(map(self._shortened, self.edges)))
        graph._columns = {table: graph._tracked_columns(table) for table in graph.tables}
        return graph

    def tracked_columns(self, table: Table) -> tuple[str, ...]:
        """The columns of the table that a closure must hold; none if no other row depends on the table's rows."""
        return self._columns[table]

    def edges_to(self, table: Table) -> list[Edge]:
        return [edge for edge in self.edges if edge.target == table]

    def carries(self, edge: Edge) -> bool:
        """Whether an edge leads from rows to the rows that they carry."""
        return edge in self._carrying

    def _follow(self, table: Table) -> None:
        for reference in self.catalogue.referencing(table):
            # The policy names single columns of the controller's own tables.
            known = (reference.table.label, ",".join(reference.columns))
            if known in policy.REPOINTED:
                counter = policy.REVISIONS.get(known[0])
                is_counted = counter is not None and self.catalogue.has(known[0], counter)
                self.changes.append(Change(reference, policy.REPOINTED[known], counter if is_counted else None))
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
        if table == self.root and (invitations := addresses.invitations(self.catalogue, table)):
            self._add(Edge(table, ("id",), invitations, ("email",), by_address=True))
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
        # If one edge ends at the columns at which the next one starts, the rows at both ends have the same values.
        # Then one edge can replace both, and the row in the middle need not be read.
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
