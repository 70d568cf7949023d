# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""user_erasure: deletes the users that an operator names."""

from __future__ import annotations

from ..base.errors import ParameterError
from ..deletion.content import Everything
from ..deletion.deletion_run import DeletionRun
from ..deletion.keys import KeySet, Sql, without
from ..deletion.outside import Outside
from ..deletion.selection import Candidates
from ..systems.database import sql
from .job import Job
from .parts.persons import Found, Persons
from .parts.remains import REMAINS

_UNMATCHED = "it matches no user"
_ENABLED = (
    "the user is not disabled; disable the account in Keycloak and run keycloak_account_sync, or see require_disabled"
)


class UserErasure(Job):
    job_type = "user_erasure"

    def work(self) -> DeletionRun:
        self._persons = Persons(self.run.options)
        self._found: Found | None = None
        self._enabled: set[str] = set()
        self.run.more = {"unmatched": {}, "remains": REMAINS}
        # The creators of events tell which events are those of other users.
        reading = {"events": ("created_by",)}
        return DeletionRun(self.run, "users", self.select, Everything(self.run), Outside(self.run), reading=reading)

    def select(self, users: Candidates) -> KeySet:
        if self._found is None:
            # Once in a run: who was meant stays who is meant, whatever becomes of a mail address.
            self._found = self._persons.find(users.database, users.catalogue)
            self._check(self._found)
        meant = Sql(users.catalogue).within(
            users.table, ("id",), KeySet.of_ids(sorted(self._found.users)), ("id",), alias="chosen_from"
        )
        if not self.run.parameters["require_disabled"]:
            return users.where(meant)
        disabled = users.where(sql.SQL("{} AND disabled_since IS NOT NULL").format(meant))
        if users.within and disabled.count < users.within.count:
            self._fail_enabled(without(users.where(meant), set(disabled.ids())))
        return disabled

    def _check(self, found: Found) -> None:
        """Refuse the whole run if one of the entries is in doubt.

        :raises ParameterError: an entry matches nobody or several users, or a user is not disabled
        """
        run, unmatched = self.run, unmatched_positions(found)
        run.more["unmatched"] = unmatched
        if run.parameters["fail_on_unmatched"]:
            for entry in found.unmatched:
                run.fail(entry.option, str(entry.position), _UNMATCHED)
        elif found.unmatched:
            run.warn(f"These entries match no user: {', '.join(map(str, found.unmatched))}.")
        for entry, ids in found.ambiguous.items():
            run.fail(
                entry.option,
                str(entry.position),
                f"it matches {len(ids)} users; name those that are meant in user_ids: {', '.join(ids)}",
            )
        if run.parameters["require_disabled"]:
            self._fail_enabled([user for user, is_disabled in sorted(found.users.items()) if not is_disabled])
        if run.failure_count:
            first = run.failures[0]
            raise ParameterError(
                f"Nothing was deleted, because not everybody who is named can be erased: {run.failure_count} entries or users"
                f" are in doubt, the first of them {first['kind']} {first['id']} ({first['reason']}); correct the lists."
            )

    def _fail_enabled(self, users: list[str]) -> None:
        for user in users:
            if user not in self._enabled:
                self._enabled.add(user)
                self.run.fail("users", user, _ENABLED)


def unmatched_positions(found: Found) -> dict[str, list[int]]:
    """The positions of entries that match nobody, by list."""
    positions: dict[str, list[int]] = {}
    for entry in found.unmatched:
        positions.setdefault(entry.option, []).append(entry.position)
    return positions
