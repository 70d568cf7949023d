# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables, keys and foreign keys of the database, read from PostgreSQL's catalogue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..base.errors import SchemaError
from ..systems.database import Database

OLDEST_MIGRATION = 52

# Rules of pg_constraint.confdeltype: https://www.postgresql.org/docs/current/catalog-pg-constraint.html
CASCADE = "c"
SET_NULL = "n"


@dataclass(frozen=True)
class Table:
    """A table, by its place in the database.

    :ivar label: its name in reports, with the schema only if that is not the controller's
    """

    schema: str
    name: str
    label: str


@dataclass(frozen=True)
class Reference:
    """A foreign key: ``table (columns)`` refers to ``target (target_columns)``.

    :ivar reset_columns: the columns that ON DELETE SET NULL empties
    :ivar rule: the ON DELETE rule, a letter of pg_constraint.confdeltype
    """

    table: Table
    columns: tuple[str, ...]
    target: Table
    target_columns: tuple[str, ...]
    rule: str
    reset_columns: tuple[str, ...]


@dataclass
class Catalogue:
    """Tables, columns, keys and foreign keys.

    :ivar schema: the controller's schema
    :ivar migration: the newest migration of the controller
    :ivar types: the types of each table's columns
    :ivar unique: sets of columns in which no two rows of a table can have the same values
    """

    schema: str
    migration: int = 0
    types: dict[Table, dict[str, str]] = field(default_factory=dict)
    primary_keys: dict[Table, tuple[str, ...]] = field(default_factory=dict)
    unique: dict[Table, set[tuple[str, ...]]] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)

    def has(self, name: str, column: str | None = None) -> bool:
        """Whether the controller's schema has that table, or that column of it."""
        table = self.table(name)
        return table in self.types and (column is None or column in self.types[table])

    def table(self, name: str) -> Table:
        """A table of the controller's schema, whether it exists or not."""
        return Table(self.schema, name, name)

    def table_of(self, schema: str, name: str) -> Table:
        """A table of any schema."""
        return Table(schema, name, name if schema == self.schema else f"{schema}.{name}")

    def type_of(self, table: Table, column: str) -> str:
        """The column's type, for a cast."""
        return self.types[table][column]

    def primary_key(self, table: Table) -> tuple[str, ...]:
        return self.primary_keys.get(table, ())

    def is_unique(self, table: Table, columns: tuple[str, ...]) -> bool:
        """Whether no two rows can have the same values in these columns."""
        return any(set(unique) <= set(columns) for unique in self.unique.get(table, ()))

    def referencing(self, table: Table) -> list[Reference]:
        """The foreign keys that refer to the table."""
        return [reference for reference in self.references if reference.target == table]

    def referenced_by(self, table: Table) -> list[Reference]:
        """The foreign keys that the table has."""
        return [reference for reference in self.references if reference.table == table]


def read_catalogue(database: Database) -> Catalogue:
    """Read the catalogue of a database, which must not be in a transaction. All parts of it are of one moment.

    :raises SchemaError: the database is not a controller's, or its schema is too old
    """
    migration = _check_migration(database)
    with database.transaction(snapshot=True):
        (schema,) = database.row(
            "SELECT nspname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE pg_class.oid = to_regclass('events')"
        )
        catalogue = Catalogue(schema, migration)
        relations = _read_columns(catalogue, database)
        _read_keys(catalogue, database, relations)
        _read_references(catalogue, database, relations)
    return catalogue


@dataclass
class _Relation:
    """A table or partition, and the names of its columns by their number."""

    table: Table
    columns: dict[int, str] = field(default_factory=dict)

    def names(self, numbers: list[int]) -> tuple[str, ...]:
        return tuple(self.columns[number] for number in numbers)


def _read_columns(catalogue: Catalogue, database: Database) -> dict[int, _Relation]:
    """Read the columns of all tables, and return tables and partitions by their number."""
    rows = database.rows(
        "SELECT c.oid, n.nspname, c.relname, c.relispartition, a.attnum, a.attname, format_type(a.atttypid, NULL)"
        " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped"
        " AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%'"
    )
    relations: dict[int, _Relation] = {}
    for number, schema, name, is_partition, place, column, type_name in rows:
        if number not in relations:
            relations[number] = _Relation(catalogue.table_of(schema, name))
        relation = relations[number]
        relation.columns[place] = column
        if not is_partition:
            catalogue.types.setdefault(relation.table, {})[column] = type_name
    return relations


def _read_keys(catalogue: Catalogue, database: Database, relations: dict[int, _Relation]) -> None:
    # Columns behind the key belong to the index only.
    rows = database.rows(
        "SELECT indrelid, indisprimary, (indkey::int2[])[0:indnkeyatts - 1] FROM pg_index"
        " WHERE indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL"
    )
    for number, primary, places in rows:
        if relation := relations.get(number):
            columns = relation.names(places)
            catalogue.unique.setdefault(relation.table, set()).add(columns)
            if primary:
                catalogue.primary_keys[relation.table] = columns


def _read_references(catalogue: Catalogue, database: Database, relations: dict[int, _Relation]) -> None:
    # confdelsetcols exists since PostgreSQL 15; conparentid is set on what a partition inherits.
    rows = database.rows(
        "SELECT conname, conrelid, confrelid, confdeltype::text, conkey, confkey,"
        " CASE WHEN confdeltype = 'n' THEN to_jsonb(c) -> 'confdelsetcols' END"
        " FROM pg_constraint c WHERE contype = 'f' AND conparentid = 0"
    )
    found = [
        (
            name,
            Reference(
                table=relations[number].table,
                columns=relations[number].names(places),
                target=relations[target].table,
                target_columns=relations[target].names(target_places),
                rule=rule,
                reset_columns=relations[number].names(reset or places),
            ),
        )
        for name, number, target, rule, places, target_places, reset in rows
        if number in relations and target in relations
    ]
    found.sort(key=lambda item: (item[1].table.schema, item[1].table.name, item[0]))
    catalogue.references = [reference for _name, reference in found]


def _check_migration(database: Database) -> int:
    row: tuple[Any, ...] = database.row(
        "SELECT to_regclass('refinery_schema_history') IS NOT NULL AND to_regclass('events') IS NOT NULL"
        " AND to_regclass('rooms') IS NOT NULL AND to_regclass('users') IS NOT NULL"
    )
    if not row[0]:
        raise SchemaError(
            "The database is not an OpenTalk controller's (a table among refinery_schema_history, events, rooms and users"
            " is missing); correct the database URL."
        )
    (migration,) = database.row("SELECT max(version) FROM refinery_schema_history")
    if migration is None or migration < OLDEST_MIGRATION:
        raise SchemaError(
            f"The database is at migration {migration or 0}, but the oldest supported one is {OLDEST_MIGRATION};"
            " upgrade the controller."
        )
    return int(migration)
