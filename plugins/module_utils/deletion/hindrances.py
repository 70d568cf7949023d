# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What in a database keeps statements from doing what a run reports: security, rules, triggers, publications and the like."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..base.errors import SchemaError
from ..systems.database import Database
from . import hindrance_query as kinds
from . import policy
from .catalogue import Catalogue, Table
from .graph import DeletionGraph

# The most names of one kind in a message.
MOST_NAMES = 5

# What is wrong, and in brackets the remedy.
_REFUSALS = {
    kinds.REPLICA: "PostgreSQL checks no foreign keys, because session_replication_role is replica (reset it for the role and"
    " the database)",
    kinds.SECURITY: "row-level security of table {table} applies to the database user and may hide rows (run the job as a"
    " role to which it does not apply, such as one with BYPASSRLS)",
    kinds.RULE: "table {table} has a rule on {operation} ({names}), which changes what the statement does (disable or drop"
    " the rule)",
    kinds.NO_IDENTITY: "table {table} is in a publication ({names}), but has no replica identity, so PostgreSQL refuses"
    " {operation} (give it a primary key, or set REPLICA IDENTITY FULL)",
    kinds.FILTER: "table {table} is in a publication ({names}) whose columns or row filter do not fit the replica identity, so"
    " PostgreSQL refuses {operation} (correct the publication)",
    kinds.UNCHECKED: "foreign keys with triggers on table {table} are not checked ({names}), so rows may refer to deleted"
    " ones (run ALTER TABLE {table} ENABLE TRIGGER ALL)",
    kinds.NOT_NULL: "a foreign key of table {table} is ON DELETE SET NULL, but its column cannot be NULL ({names}) (allow"
    " NULL, or correct the foreign key)",
}
_WARNING = (
    "Table {table} has a trigger BEFORE {operation} that is not the controller's ({names}), which may keep rows as they are or"
    " make the job fail; make sure that it lets the job do its work."
)


@dataclass(frozen=True)
class Hindrances:
    """What may keep rows from being deleted or changed, although PostgreSQL reports no error.

    :ivar warnings: a sentence for each table and operation
    :ivar doubtful: tables with a trigger that may keep a row from being deleted
    :ivar doubtful_updates: tables with a trigger that may keep a row from being changed as asked
    """

    warnings: list[str] = field(default_factory=list)
    doubtful: frozenset[Table] = frozenset()
    doubtful_updates: frozenset[Table] = frozenset()


@dataclass
class _Work:
    """What a job does with tables.

    :ivar read: the tables, in the order in which messages name them
    :ivar deleted: the tables that lose rows
    :ivar changed: columns that get other values, by table
    :ivar emptied: those of the columns that get NULL
    """

    read: list[Table]
    deleted: set[Table] = field(default_factory=set)
    changed: dict[Table, set[str]] = field(default_factory=dict)
    emptied: set[tuple[Table, str]] = field(default_factory=set)

    def change(self, table: Table, columns: Iterable[str], *, empty: bool = False) -> None:
        if table not in self.read:
            self.read.append(table)
        self.changed.setdefault(table, set()).update(columns)
        self.emptied.update((table, column) for column in columns if empty)


@dataclass(frozen=True)
class _Finding:
    """A row of the query.

    :ivar table: the table that the job names
    :ivar label: the name of the table or partition that has it
    :ivar operation: DELETE or UPDATE, or empty
    :ivar name: the name of the rule, trigger, publication, foreign key or column, or empty
    """

    kind: str
    table: Table
    label: str
    operation: str
    name: str


def find(
    database: Database,
    graph: DeletionGraph,
    *,
    deleting: Collection[Table] | None = None,
    changing: Mapping[Table, Collection[str]] | None = None,
) -> Hindrances:
    """Ask the catalogue about every table of a deletion.

    :param deleting: the tables that lose rows, if the job reads the roots, but does not delete them
    :param changing: columns that the job changes besides, by table
    :raises SchemaError: statements would surely fail, or work on some of the rows only
    """
    catalogue = graph.catalogue
    if deleting is not None:
        work = _Work(list(dict.fromkeys([graph.root, *deleting])), set(deleting))
    else:
        permissions = [catalogue.table(policy.PERMISSIONS)] if catalogue.has(policy.PERMISSIONS) else []
        work = _Work([*graph.tables, *permissions], {*graph.tables, *permissions})
        for change in graph.changes:
            work.change(change.reference.table, change.columns, empty=change.replacement is None)
    for table, columns in (changing or {}).items():
        work.change(table, columns)
    return _find(database, catalogue, work)


def find_for_changes(database: Database, catalogue: Catalogue, table: Table, *columns: str) -> Hindrances:
    """Ask the catalogue about a table of which a job only reads rows and changes columns.

    :raises SchemaError: as for :func:`find`
    """
    work = _Work([table])
    work.change(table, columns)
    return _find(database, catalogue, work)


def check_reading(database: Database, catalogue: Catalogue, *tables: Table) -> None:
    """Ask the catalogue about tables of which a job only reads rows.

    :raises SchemaError: some rows may be hidden
    """
    _find(database, catalogue, _Work(list(tables)))


def _find(database: Database, catalogue: Catalogue, work: _Work) -> Hindrances:
    findings = list(_query(database, catalogue, work))
    triggers = [finding for finding in findings if finding.kind == kinds.TRIGGER]
    refusals = [finding for finding in findings if finding.kind != kinds.TRIGGER]
    if refusals:
        reasons = "; ".join(_described(_REFUSALS[group[0].kind], group) for group in _grouped(refusals))
        raise SchemaError(f"The job cannot do what it would report, so nothing was touched: {reasons}.")
    return Hindrances(
        [_described(_WARNING, group) for group in _grouped(triggers)],
        frozenset(finding.table for finding in triggers if finding.operation == "DELETE"),
        frozenset(finding.table for finding in triggers if finding.operation == "UPDATE"),
    )


def _query(database: Database, catalogue: Catalogue, work: _Work) -> Iterator[_Finding]:
    columns = [
        (place, column, (table, column) in work.emptied)
        for place, table in enumerate(work.read, 1)
        for column in sorted(work.changed.get(table, ()))
    ]
    (has_publications,) = database.row(kinds.HAS_PUBLICATIONS)
    rows = database.rows(
        kinds.QUERY if has_publications else kinds.QUERY_WITHOUT_PUBLICATIONS,
        {
            "schemas": [table.schema for table in work.read],
            "names": [table.name for table in work.read],
            "deletes": [table in work.deleted for table in work.read],
            "updates": [table in work.changed for table in work.read],
            "places": [place for place, _column, _empty in columns],
            "columns": [column for _place, column, _empty in columns],
            "emptied": [empty for _place, _column, empty in columns],
        },
    )
    for kind, place, schema, name, operation, detail in rows:
        table = work.read[max(place, 1) - 1]
        part = table if schema is None else catalogue.table_of(schema, name)
        # A foreign key may have its triggers on another table.
        yield _Finding(kind, part if kind == kinds.UNCHECKED else table, part.label, operation, detail)


def _grouped(findings: list[_Finding]) -> Iterator[list[_Finding]]:
    """The findings that share a message."""
    groups: dict[tuple[str, Table, str], list[_Finding]] = {}
    for finding in findings:
        operation = finding.operation if finding.kind == kinds.TRIGGER else ""
        groups.setdefault((finding.kind, finding.table, operation), []).append(finding)
    yield from groups.values()


def _described(template: str, findings: list[_Finding]) -> str:
    table = findings[0].table.label
    labels = list(dict.fromkeys(finding.label for finding in findings))
    if table not in labels:
        table += f" (its part {_listed(labels)})"
    operation = " and ".join(dict.fromkeys(finding.operation for finding in findings))
    names = _listed(dict.fromkeys(finding.name for finding in findings))
    return template.format(table=table, operation=operation, names=names)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
