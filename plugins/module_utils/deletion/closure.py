# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The closure of some rows of one table: all rows that go with them, found set by set."""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Iterator

from ..systems.database import Composable, Database, sql
from . import addresses
from .catalogue import Table
from .graph import Change, DeletionGraph, Edge
from .keys import KeySet, Sql, any_of, key_set


class Closure:
    """All rows that go with the roots.

    The closure holds the keys of rows on which other rows depend. For all others it has only a condition that finds them.
    A ``table_name`` is the name of one of the controller's own tables.

    :param database: inside a transaction
    :param graph: the edges to follow
    :param roots: the chosen rows; without ``lock`` all of them must exist
    :param lock: whether to lock every row that is found, so that nothing can be added to it any more
    :ivar sets: the keys that the closure holds, by table
    :raises DatabaseError: a query failed
    """

    def __init__(self, database: Database, graph: DeletionGraph, roots: KeySet, *, lock: bool = False) -> None:
        self.graph = graph if lock else graph.for_reading()
        self.database = database
        self._sql = Sql(graph.catalogue)
        self._lock = lock
        self.sets = {
            table: KeySet(columns) for table in self.graph.tables if (columns := self.graph.tracked_columns(table))
        }
        self._grow(roots)

    def keys(self, table_name: str) -> KeySet:
        """The keys of the table's rows that the closure holds."""
        return self.sets.get(self.graph.catalogue.table(table_name)) or KeySet(("id",))

    def condition(self, table: Table) -> Composable:
        """The SQL condition for the rows of the table that go."""
        if table in self.sets:
            columns = self.graph.catalogue.primary_key(table) or self.sets[table].columns
            return self._among(table, columns, self.sets[table], columns)
        return any_of(self._edge_conditions(self.edges_to(table)))

    def edges_to(self, table: Table) -> list[Edge]:
        """The edges to the table from tables that have rows that go."""
        return [edge for edge in self.graph.edges_to(table) if self.sets[edge.source]]

    def concerns(self, table: Table) -> bool:
        """Whether any row of the table may go."""
        if table in self.sets:
            return bool(self.sets[table])
        return bool(self.edges_to(table))

    def ids(self, table_name: str, limit: int | None = None) -> Iterator[str]:
        """The sorted ids of the table's rows that go; with a limit only the first of them.

        A closure with locks locks these rows, too. Otherwise another session could delete and report the same rows.

        Without a limit the ids are a stream, which is open until its end or the end of the transaction.
        """
        table = self.graph.catalogue.table(table_name)
        if limit == 0 or table not in self.graph.tables:
            return iter(())
        if table in self.sets:
            return itertools.islice(sorted(self.sets[table].ids()), limit)
        query = sql.SQL("SELECT id::text FROM {} WHERE {} ORDER BY id LIMIT {}{}").format(
            self._sql.name(table),
            self.condition(table),
            sql.Literal(limit),
            sql.SQL(" FOR UPDATE") if self._lock else sql.SQL(""),
        )
        rows = self.database.stream(query) if limit is None else self.database.rows(query)
        return (row[0] for row in rows)

    @functools.cached_property
    def freed_addresses(self) -> KeySet:
        """The mail addresses that nobody has any more when the users who go are gone, as in :func:`.addresses.of_users`."""
        users = self.keys("users")
        if not (users and any(edge.by_address for edge in self.graph.edges)):
            return KeySet(("address", "tenant", "id"))
        return addresses.of_users(self.database, self.graph.catalogue, users, lock=self._lock)

    def events_of_invitations(self) -> list[str]:
        """The ids of the events of invitations that go because of their mail address, whatever else they go with."""
        table = self.graph.catalogue.table("event_email_invites")
        if not self.freed_addresses:
            return []
        query = sql.SQL("SELECT DISTINCT event_id::text FROM {} WHERE {} ORDER BY 1").format(
            self._sql.name(table), addresses.condition(self.graph.catalogue, self.freed_addresses)
        )
        return [event for (event,) in self.database.rows(query)]

    def asset_bytes(self) -> int:
        """The total size in bytes of the assets that go, as the database records it."""
        table = self.graph.catalogue.table("assets")
        if not self.keys("assets"):
            return 0
        query = sql.SQL("SELECT coalesce(sum(size), 0) FROM {} WHERE {}").format(
            self._sql.name(table), self.condition(table)
        )
        # The sum of integers that PostgreSQL can hold may be one that it cannot hold.
        return int(self.database.row(query)[0])

    def changes(self) -> dict[Table, list[Change]]:
        """The references that may have to be changed, by their table."""
        found = defaultdict(list)
        for change in self.graph.changes:
            if self.sets[change.reference.target]:
                found[change.reference.table].append(change)
        return found

    def change_condition(self, table: Table, changes: list[Change]) -> Composable:
        """The SQL condition for rows of the table that stay and lose one of these references."""
        refers = any_of([self.refers(change) for change in changes])
        if table not in self.graph.tables:
            return refers
        return sql.SQL("{} AND ({}) IS NOT TRUE").format(refers, self.condition(table))

    def refers(self, change: Change) -> Composable:
        """The SQL condition for rows whose reference points at a row that goes."""
        reference = change.reference
        return self._among(reference.table, reference.columns, self.sets[reference.target], reference.target_columns)

    def _grow(self, roots: KeySet) -> None:
        fresh = {self.graph.root: self._start(roots)}
        while fresh:
            found: dict[Table, KeySet] = {}
            for table in self.sets:
                edges = [edge for edge in self.graph.edges_to(table) if fresh.get(edge.source)]
                leads = [(edge, keys) for edge in edges if (keys := self._unfollowed(edge, fresh[edge.source]))]
                if leads and (keys := self._follow(table, leads)):
                    found[table] = keys
            fresh = found

    def _start(self, roots: KeySet) -> KeySet:
        root = self.graph.root
        if self._lock or roots.columns != self.sets[root].columns:
            return self._find(root, self._sql.within(root, ("id",), roots, ("id",)))
        self.sets[root] = roots
        return roots

    def _unfollowed(self, edge: Edge, keys: KeySet) -> KeySet:
        """The keys of an edge's source that may lead to rows that are not in the closure yet."""
        known = self.sets[edge.target]
        if not known or not self._leads_to_one(edge):
            return keys
        (column,), (target_column,) = edge.source_columns, edge.target_columns
        found = {"NULL", *known.ids(target_column)}
        return KeySet.of_ids(sorted({key for key in keys.ids(column) if key not in found}), column)

    def _leads_to_one(self, edge: Edge) -> bool:
        """Whether each key leads to at most one row, which has this key in the closure. An event's room is such a row."""
        catalogue, table, columns = self.graph.catalogue, edge.target, edge.target_columns
        return (
            len(columns) == 1
            and columns[0] in self.sets[table].columns
            and catalogue.type_of(table, columns[0]) == "uuid"
            and catalogue.is_unique(table, columns)
        )

    def _follow(self, table: Table, leads: list[tuple[Edge, KeySet]]) -> KeySet:
        """Add the rows to which the keys lead, and return the new ones."""
        ((edge, keys), *others), known = leads, self.sets[table]
        # A carried row exists, because a foreign key points at it. So the keys of carried rows need not be read.
        if (
            not (self._lock or others)
            and self.graph.carries(edge)
            and self._leads_to_one(edge)
            and len(known.columns) == 1
        ):
            found = KeySet.of_ids(keys.values(edge.source_columns[0]))
            self.sets[table] = known + found
            return found
        condition = any_of([self._led(edge, keys) for edge, keys in leads])
        return self._find(table, condition, new=all(self._leads_to_one(edge) for edge, _unused in leads))

    def _find(self, table: Table, condition: Composable, *, new: bool = False) -> KeySet:
        """Add the rows that meet the condition, and return the new ones.

        :param new: whether all rows that meet the condition are new
        """
        known = self.sets[table]
        if known and not new:
            columns = self.graph.catalogue.primary_key(table) or known.columns
            # Not "NOT …": PostgreSQL 14 would search the array from its start for every row.
            condition = sql.SQL("{} AND ({}) IS NOT TRUE").format(
                condition, self._among(table, columns, known, columns)
            )
        query = self._sql.keys(table, known.columns, condition, lock=self._lock)
        found = key_set(known.columns, self.database.row(query))
        self.sets[table] = known + found
        return found

    def _edge_conditions(self, edges: list[Edge]) -> list[Composable]:
        return [self._led(edge, self.sets[edge.source]) for edge in edges]

    def _led(self, edge: Edge, keys: KeySet) -> Composable:
        if edge.by_address:
            return addresses.condition(self.graph.catalogue, self.freed_addresses)
        return self._among(edge.target, edge.target_columns, keys, edge.source_columns)

    def _among(self, table: Table, columns: tuple[str, ...], keys: KeySet, key_columns: tuple[str, ...]) -> Composable:
        return self._sql.within(table, columns, keys, key_columns)
