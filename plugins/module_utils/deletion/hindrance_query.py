# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The query that asks PostgreSQL's catalogue for everything that may keep it from doing what a job asks.

The catalogue's letters and bits: https://www.postgresql.org/docs/current/catalogs.html
"""

from __future__ import annotations

# The kinds of what is found.
REPLICA = "session_replication_role"
SECURITY = "row-level security"
RULE = "rule"
TRIGGER = "trigger"
NO_IDENTITY = "replica identity"
FILTER = "publication filter"
UNCHECKED = "unchecked foreign key"
NOT_NULL = "not null"

# Rules and security count for the named table only. All else counts for its partitions and its inheritance children, too,
# because a statement for the named table changes their rows.
_TABLES = """
WITH RECURSIVE named AS (
    SELECT given.*, c.oid
      FROM unnest(%(schemas)s::text[], %(names)s::text[], %(deletes)s::boolean[], %(updates)s::boolean[])
           WITH ORDINALITY given (schema, name, deletes, updates, place)
      JOIN pg_namespace n ON n.nspname = given.schema
      JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = given.name
), member AS (
    SELECT place, oid, deletes, updates FROM named
     UNION
    SELECT place, inhrelid, deletes, updates FROM member JOIN pg_inherits ON inhparent = member.oid
), changed AS (
    SELECT * FROM unnest(%(places)s::bigint[], %(columns)s::text[], %(emptied)s::boolean[]) given (place, name, emptied)
), mode AS (
    SELECT current_setting('session_replication_role') = 'replica' AS is_replica
), active AS (
    SELECT CASE WHEN is_replica THEN '{A,R}'::"char"[] ELSE '{A,O}' END AS letters FROM mode
), operation (name, bit, event) AS (
    VALUES ('DELETE', 8, '4'::"char"), ('UPDATE', 16, '2')
), work AS (
    SELECT member.place, member.oid, operation.*, c.relkind, c.relreplident
      FROM member JOIN pg_class c USING (oid), operation
     WHERE CASE operation.name WHEN 'DELETE' THEN deletes ELSE updates END
)"""

# A publication may name an ancestor of a partition in place of the partition. Its column list and its row filter must
# agree with the replica identity. The columns of a filter stand as ":varattno NUMBER" in the expression's tree.
_PUBLICATIONS = """, published AS (
    SELECT p.oid AS publication, p.pubname, p.pubdelete, p.pubupdate, c.oid, to_jsonb(t) -> 'attnames' AS columns
      FROM pg_publication_tables t JOIN pg_publication p USING (pubname)
      JOIN pg_namespace n ON n.nspname = t.schemaname
      JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
), filter AS (
    SELECT prpubid AS publication, prrelid AS oid, to_jsonb(array_agg(a.attname)) AS columns
      FROM pg_publication_rel r,
           regexp_matches(to_jsonb(r) ->> 'prqual', ':varattno ([0-9]+)', 'g') used, pg_attribute a
     WHERE a.attrelid = prrelid AND a.attnum = used[1]::int2
     GROUP BY prpubid, prrelid
), identity AS (
    SELECT i.indrelid AS oid, to_jsonb(array_agg(a.attname)) AS columns
      FROM (SELECT DISTINCT oid, relreplident FROM work) w
      JOIN pg_index i ON i.indrelid = w.oid AND i.indisvalid AND i.indimmediate
       AND CASE w.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
     GROUP BY i.indrelid
     UNION ALL
    SELECT a.attrelid, to_jsonb(array_agg(a.attname))
      FROM (SELECT DISTINCT oid FROM work WHERE relreplident = 'f') w
      JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
     GROUP BY a.attrelid
), lineage AS (
    SELECT DISTINCT oid, oid AS publishes FROM work
     UNION
    SELECT work.oid, relid FROM work, pg_partition_ancestors(work.oid) relid
), replicated AS (
    SELECT w.*, p.pubname, p.columns AS published, filter.columns AS filtering, identity.columns AS identity
      FROM work w JOIN lineage USING (oid) JOIN published p ON p.oid = lineage.publishes
       AND CASE w.name WHEN 'DELETE' THEN p.pubdelete ELSE p.pubupdate END
      LEFT JOIN identity ON identity.oid = w.oid
      LEFT JOIN filter ON filter.publication = p.publication AND filter.oid = p.oid
     WHERE w.relkind = 'r'
)"""

# A cloned trigger of a partition has the name of the trigger from which it comes.
_FOUND = f""", found (kind, place, oid, operation, detail) AS (
    SELECT '{REPLICA}', 0, 0::oid, '', '' FROM mode WHERE is_replica
     UNION ALL
    SELECT '{SECURITY}', place, oid, '', '' FROM named WHERE row_security_active(oid)
     UNION ALL
    SELECT '{RULE}', named.place, named.oid, w.name, r.rulename
      FROM named JOIN work w USING (place, oid) JOIN pg_rewrite r ON r.ev_class = named.oid AND r.ev_type = w.event, active
     WHERE r.ev_enabled = ANY (letters)
     UNION ALL
    SELECT '{TRIGGER}', w.place, w.oid, w.name, t.tgname
      FROM work w JOIN pg_trigger t ON t.tgrelid = w.oid AND t.tgtype & (3 | w.bit) = (3 | w.bit), active
     WHERE t.tgenabled = ANY (letters)
       AND (w.name = 'DELETE' OR cardinality(t.tgattr::int2[]) = 0 OR EXISTS (
           SELECT FROM changed JOIN pg_attribute a ON a.attrelid = w.oid AND a.attname = changed.name
            WHERE changed.place = w.place AND a.attnum = ANY (t.tgattr::int2[])))
     UNION ALL
    SELECT '{UNCHECKED}', m.place, off.oid, '', k.conname
      FROM member m JOIN pg_constraint k ON k.confrelid = m.oid AND k.contype = 'f', active, mode,
           LATERAL (SELECT k.conrelid AS oid WHERE to_jsonb(k) ->> 'conenforced' = 'false'
                    UNION SELECT tgrelid FROM pg_trigger WHERE tgconstraint = k.oid AND tgenabled <> ALL (letters)) off
     WHERE m.deletes AND NOT is_replica
     UNION ALL
    SELECT '{NOT_NULL}', m.place, m.oid, '', a.attname
      FROM changed JOIN member m USING (place) JOIN pg_attribute a ON a.attrelid = m.oid AND a.attname = changed.name
      JOIN pg_type t ON t.oid = a.atttypid
     WHERE changed.emptied AND (a.attnotnull OR t.typnotnull)"""

_FOUND_PUBLICATIONS = f"""
     UNION ALL
    SELECT '{NO_IDENTITY}', place, oid, name, pubname FROM replicated WHERE identity IS NULL
     UNION ALL
    SELECT '{FILTER}', place, oid, name, pubname FROM replicated
     WHERE NOT published @> identity OR relreplident <> 'f' AND NOT identity @> filtering"""

_RESULT = """
)
SELECT DISTINCT found.kind, found.place, n.nspname, c.relname, found.operation, found.detail
  FROM found LEFT JOIN pg_class c ON c.oid = found.oid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
 ORDER BY found.place, found.kind, n.nspname, c.relname, found.operation, found.detail"""

# Gives rows of kind, place of the table from 1 on, schema and name of the table or of the partition, operation, and a name.
#
# Parameters: `schemas` and `names` of the tables, and for each whether the job `deletes` or `updates` its rows; `places`
# and `columns` of the columns that it changes, and whether they are `emptied`.
QUERY = _TABLES + _PUBLICATIONS + _FOUND + _FOUND_PUBLICATIONS + _RESULT
# The same for a database without publications: PostgreSQL takes most of the query's time to plan the part about them.
QUERY_WITHOUT_PUBLICATIONS = _TABLES + _FOUND + _RESULT
HAS_PUBLICATIONS = "SELECT EXISTS (SELECT FROM pg_publication)"
