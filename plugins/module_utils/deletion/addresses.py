# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Invitations by mail to users who go. They have no foreign key to these users, but the same mail address.

An invitation is meant for the users of its event's tenant who have its address, in whatever case. It goes with the last of
them. So it stays as long as one of them stays.
"""

from __future__ import annotations

from ..systems.database import Composable, Database, sql
from .catalogue import Catalogue, Table
from .keys import KeySet, Sql, key_set

# How addresses are compared, in SQL. A run with many batches builds indexes on it.
IN_LOWER_CASE = "lower(email)"
_COLUMNS = ("address", "tenant", "id")


def invitations(catalogue: Catalogue, table: Table) -> Table | None:
    """The table whose rows go with rows of the given table because of their addresses, if there is one."""
    found = catalogue.table("event_email_invites")
    is_users = table == catalogue.table("users") and catalogue.has("users", "email")
    return found if is_users and catalogue.has(found.name, "email") else None


def of_users(database: Database, catalogue: Catalogue, users: KeySet, *, lock: bool) -> KeySet:
    """The addresses that nobody has any more when these users are gone.

    :param lock: whether to keep all others who have these addresses from being deleted until the end of the transaction; those
        who are just being deleted by somebody else are waited for
    :returns: the columns ``address``, in lower case, ``tenant``, and ``id`` of the last user who has the address
    """
    query = _shared(catalogue, users, "SELECT address, tenant, max(id) AS id", "bool_and(goes)", lock=lock)
    arrays = sql.SQL(", ").join(sql.SQL("array_agg({})::text").format(sql.Identifier(name)) for name in _COLUMNS)
    return key_set(_COLUMNS, database.row(sql.SQL("SELECT count(*), {} FROM ({}) found").format(arrays, query)))


def users_who_share(database: Database, catalogue: Catalogue, users: KeySet) -> list[str]:
    """The ids of those of the users whose address a user has, too, who is not among them."""
    query = _shared(catalogue, users, "SELECT array_agg(id ORDER BY id) FILTER (WHERE goes)", "NOT bool_and(goes)")
    return sorted(user for (ids,) in database.rows(query) for user in ids)


def condition(catalogue: Catalogue, addresses: KeySet) -> Composable:
    """The SQL condition for invitations to these addresses."""
    if not addresses:
        return sql.SQL("false")
    return sql.SQL("(lower(email) = ANY ({}::text[]) AND (lower(email), {}) IN (SELECT * FROM {}))").format(
        sql.Literal(addresses.literals[0]), _tenant_of_invitation(catalogue), _unnest(addresses, 2)
    )


def users_of(catalogue: Catalogue, addresses: KeySet, invitations: Composable) -> Composable:
    """The SQL condition for users with whom invitations go that meet a condition."""
    return sql.SQL(
        "id IN (SELECT last.id::uuid FROM {} last (address, tenant, id)"
        " WHERE (address, tenant) IN (SELECT lower(email), {} FROM {} WHERE {}))"
    ).format(
        _unnest(addresses, 3),
        _tenant_of_invitation(catalogue),
        Sql.name(catalogue.table("event_email_invites")),
        invitations,
    )


def _shared(catalogue: Catalogue, users: KeySet, select: str, having: str, *, lock: bool = False) -> Composable:
    """A query with a row for each address and tenant of the users.

    :param select: speaks of ``address``, ``tenant``, ``id`` and ``goes`` of all users who have the address
    """
    tenant = "tenant_id::text" if _has_tenants(catalogue) else "''"
    return sql.SQL(
        "{} FROM (SELECT lower(email) AS address, {} AS tenant, owner.id::text AS id, going.id IS NOT NULL AS goes"
        " FROM {} owner LEFT JOIN unnest({}::uuid[]) going (id) ON going.id = owner.id"
        " WHERE lower(email) IN (SELECT lower(email) FROM {} WHERE id = ANY ({}::uuid[]))"
        " ORDER BY owner.id{}) found GROUP BY address, tenant HAVING bool_or(goes) AND {}"
    ).format(
        sql.SQL(select),
        sql.SQL(tenant),
        *2 * (Sql.name(catalogue.table("users")), sql.Literal(users.literals[users.columns.index("id")])),
        sql.SQL(" FOR KEY SHARE OF owner" if lock else ""),
        sql.SQL(having),
    )


def _tenant_of_invitation(catalogue: Catalogue) -> Composable:
    if not _has_tenants(catalogue):
        return sql.SQL("''")
    invitations, events = catalogue.table("event_email_invites"), catalogue.table("events")
    return sql.SQL("(SELECT tenant_id::text FROM {} meant WHERE meant.id = {})").format(
        Sql.name(events), sql.Identifier(invitations.schema, invitations.name, "event_id")
    )


def _has_tenants(catalogue: Catalogue) -> bool:
    return catalogue.has("users", "tenant_id") and catalogue.has("events", "tenant_id")


def _unnest(addresses: KeySet, number: int) -> Composable:
    arrays = (sql.SQL("{}::text[]").format(sql.Literal(literal)) for literal in addresses.literals[:number])
    return sql.SQL("unnest({})").format(sql.SQL(", ").join(arrays))
