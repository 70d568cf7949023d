# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of a database, from PostgreSQL's catalogue, for a generator of rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_COLUMNS = """
    SELECT c.relname, a.attname, t.typname, a.attnotnull,
           CASE WHEN t.typname = 'varchar' AND a.atttypmod > 0 THEN a.atttypmod - 4 END,
           pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%',
           array(SELECT enumlabel::text FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder)
      FROM pg_class c
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      JOIN pg_type t ON t.oid = a.atttypid
 LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
  ORDER BY c.relname, a.attnum
"""
_REFERENCES = """
    SELECT c.relname, a.attname, r.relname, b.attname, cardinality(k.conkey)
      FROM pg_constraint k
      JOIN pg_class c ON c.oid = k.conrelid
      JOIN pg_class r ON r.oid = k.confrelid
      JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
      JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = k.confkey[1]
     WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace
"""
_CHECKS = """
    SELECT c.relname, pg_get_expr(k.conbin, k.conrelid)
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
     WHERE k.contype = 'c' AND k.connamespace = 'public'::regnamespace
"""


@dataclass(frozen=True)
class Column:
    """A column.

    :ivar type: as in pg_type.typname
    :ivar length: the most characters, or None
    :ivar numbered: whether a sequence gives its default
    :ivar labels: the values of an enum; empty for other types
    :ivar target: the table and column that it refers to, or None
    """

    name: str
    type: str
    not_null: bool
    length: int | None
    numbered: bool
    labels: tuple[str, ...]
    target: tuple[str, str] | None


@dataclass
class Table:
    name: str
    columns: list[Column] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)


def read_tables(connection: Any) -> list[Table]:
    """The tables of the controller's schema, each after the tables to which it refers. It ends the transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_REFERENCES)
        references = {}
        for table, column, target, target_column, width in cursor.fetchall():
            assert width == 1, f"the foreign key of {table} that begins with {column} has several columns"
            references[table, column] = (target, target_column)
        cursor.execute(_COLUMNS)
        found: dict[str, Table] = {}
        for table, name, type_name, not_null, length, numbered, labels in cursor.fetchall():
            target = references.get((table, name))
            column = Column(name, type_name, not_null, length, bool(numbered), tuple(labels), target)
            found.setdefault(table, Table(table)).columns.append(column)
        cursor.execute(_CHECKS)
        for table, expression in cursor.fetchall():
            found[table].checks.append(expression)
    connection.rollback()
    return _ordered(found)


def _ordered(tables: dict[str, Table]) -> list[Table]:
    ordered: dict[str, Table] = {}
    while len(ordered) < len(tables):
        ready = [
            table
            for name, table in tables.items()
            if name not in ordered
            and all(
                column.target is None
                or column.target[0] in ordered
                or (column.target[0] == name and not column.not_null)
                for column in table.columns
            )
        ]
        assert ready, "the foreign keys form a circle"
        ordered.update((table.name, table) for table in ready)
    return list(ordered.values())
