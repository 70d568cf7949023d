# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Permission rows (Casbin policies, up to migration 65) of resources that go.

The controller writes one row for each subject (v0) and path of its REST API (v1).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..systems.database import Composable, Database, sql
from . import policy
from .catalogue import Catalogue
from .keys import KeySet, Sql, any_of

if TYPE_CHECKING:
    from .closure import Closure

_UUID = "([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
# The id in the path of a room or an event, in SQL. A run with many batches builds an index on it.
ID_IN_PATH = "split_part(v1, '/', 3)"
# What a subject and a path are about, with a space between them.
_ABOUT = {
    "rooms": re.compile(f" /rooms/{_UUID}(?:/|$)"),
    "events": re.compile(f" /(?:events|users/me/event_favorites)/{_UUID}(?:/|$)"),
    "module_resources": re.compile(f" /module_resources/{_UUID}$"),
    "invites": re.compile(f"^invite::{_UUID} "),
    "users": re.compile(f"^user::{_UUID} "),
}


def condition(closure: Closure) -> Composable:
    """The SQL condition for rows of casbin_rule that are about a resource that goes."""
    rooms, events = closure.keys("rooms"), closure.keys("events")
    resources, invites, users = closure.keys("module_resources"), closure.keys("invites"), closure.keys("users")
    objects = [
        *_path("rooms", rooms),
        *_path("events", events),
        *_equal("v1", "/users/me/event_favorites/", events),
        *_equal("v1", "/module_resources/", resources),
        *_equal("v0", "invite::", invites),
    ]
    conditions = []
    if objects:
        conditions.append(sql.SQL("(ptype = 'p' AND {})").format(any_of(objects)))
    subjects = _equal("v0", "user::", users)
    if subjects:
        conditions.append(sql.SQL("(ptype IN ('p', 'g') AND {})").format(any_of(subjects)))
    return any_of(conditions)


def resources(database: Database, catalogue: Catalogue, condition: Composable) -> dict[str, list[str]]:
    """The ids of everything that the permission rows that meet a condition are about, by the name of the table."""
    query = sql.SQL("SELECT DISTINCT v0 || ' ' || v1 FROM {} WHERE {}").format(
        Sql.name(catalogue.table(policy.PERMISSIONS)), condition
    )
    texts = [text for (text,) in database.rows(query)]
    found = {
        table: {match[1] for text in texts if (match := pattern.search(text))} for table, pattern in _ABOUT.items()
    }
    return {table: sorted(ids) for table, ids in found.items() if ids}


def _path(kind: str, keys: KeySet) -> list[Composable]:
    # The paths of the resource itself and of everything below it.
    if not keys:
        return []
    return [
        sql.SQL("(v1 LIKE {} AND {} = ANY ({}::text[]))").format(
            sql.Literal(f"/{kind}/%"), sql.SQL(ID_IN_PATH), sql.Literal(_ids(keys))
        )
    ]


def _equal(column: str, prefix: str, keys: KeySet) -> list[Composable]:
    if not keys:
        return []
    literal = "{" + ",".join(f"{prefix}{key}" for key in keys.ids()) + "}"
    return [sql.SQL("{} = ANY ({}::text[])").format(sql.Identifier(column), sql.Literal(literal))]


def _ids(keys: KeySet) -> str:
    return keys.literals[keys.columns.index("id")]
