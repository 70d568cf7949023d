# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The persons that an operator names: from ids, ids at the OIDC provider and mail addresses to ids of users.

Nothing here gives one of these values back. An entry that is wrong is named by its list and its position.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...base.errors import ParameterError
from ...base.options import PERSONS
from ...deletion.catalogue import Catalogue
from ...deletion.keys import Sql
from ...systems.database import Database, sql

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# How the entries of each list find users.
_MATCHES = {
    "user_ids": "users.id::text = lower(wanted.entry)",
    "oidc_subs": "users.oidc_sub = wanted.entry",
    "emails": "lower(users.email) = lower(wanted.entry)",
}


@dataclass(frozen=True)
class Entry:
    """An entry of a list.

    :ivar option: the list
    :ivar position: its place in the list, from 1 on
    """

    option: str
    position: int

    def __str__(self) -> str:
        return f"entry {self.position} of {self.option}"


@dataclass
class Found:
    """The users that are meant.

    :ivar users: whether each user is disabled, by id
    :ivar unmatched: the entries that match no user
    :ivar ambiguous: the entries that match several users, with the ids of these
    """

    users: dict[str, bool] = field(default_factory=dict)
    unmatched: list[Entry] = field(default_factory=list)
    ambiguous: dict[Entry, list[str]] = field(default_factory=dict)


class Persons:
    """The persons that the options of a run name.

    :param options: of the module
    :raises ParameterError: nobody is named, or an entry cannot be what it should be
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._lists: dict[str, list[str]] = {name: options[name] or [] for name in PERSONS}
        if not any(self._lists.values()):
            raise ParameterError(f"Nobody is named; name at least one person in {', '.join(PERSONS)}.")
        for name, entries in self._lists.items():
            for position, entry in enumerate(entries, 1):
                if reason := _wrong(name, entry):
                    raise ParameterError(f"{str(Entry(name, position)).capitalize()} {reason}; correct it.")

    def find(self, database: Database, catalogue: Catalogue) -> Found:
        """Look for all of them.

        An entry that matches several users is no doubt if the list of ids has some of these. Then it means those.

        :raises DatabaseError: a query failed
        """
        matches: dict[Entry, dict[str, bool]] = defaultdict(dict)
        for name, entries in self._lists.items():
            for position, user, is_disabled in self._matches(database, catalogue, name, entries):
                matches[Entry(name, position)][user] = is_disabled
        named = {user for entry, users in matches.items() if entry.option == "user_ids" for user in users}
        found = Found()
        for name, entries in self._lists.items():
            for entry in (Entry(name, position) for position in range(1, len(entries) + 1)):
                users = matches[entry]
                if len(users) > 1:
                    users = {user: users[user] for user in named.intersection(users)}
                    if not users:
                        found.ambiguous[entry] = sorted(matches[entry])
                elif not users:
                    found.unmatched.append(entry)
                found.users.update(users)
        return found

    @staticmethod
    def _matches(database: Database, catalogue: Catalogue, name: str, entries: list[str]) -> list[tuple[Any, ...]]:
        query = sql.SQL(
            "SELECT wanted.position, users.id::text, users.disabled_since IS NOT NULL"
            " FROM unnest(%(entries)s::text[]) WITH ORDINALITY wanted (entry, position) JOIN {} users ON {}"
        ).format(Sql.name(catalogue.table("users")), sql.SQL(_MATCHES[name]))
        return database.rows(query, {"entries": entries}) if entries else []


def _wrong(name: str, entry: str) -> str:
    """Why an entry cannot be what it should be; empty if it can."""
    try:
        is_text = b"\0" not in entry.encode()
    except UnicodeEncodeError:
        is_text = False
    if not is_text:
        return "holds characters that no text in the database can have"
    if not entry.strip():
        return "is empty"
    if name == "user_ids" and not _UUID.fullmatch(entry):
        return "is no id of a user"
    if name == "emails" and "@" not in entry:
        return "is no mail address"
    return ""
