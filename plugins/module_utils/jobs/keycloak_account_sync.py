# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""keycloak_account_sync: disables and enables users so that they agree with the accounts in Keycloak."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from ..base.errors import KeycloakError
from ..deletion.batches import Batches
from ..deletion.catalogue import read_catalogue
from ..deletion.hindrances import find_for_changes
from ..deletion.keys import Sql
from ..deletion.statements import kept_by_trigger
from ..record.effects import ChangeListing, Effects, Listing
from ..record.safety import Share
from ..systems.database import Composable, array_literal, sql
from ..systems.keycloak import Keycloak
from ..systems.keycloak_errors import no_accounts
from ..systems.settings import KeycloakSettings
from .job import Job
from .parts import keycloak_accounts
from .parts.keycloak_accounts import Accounts


class KeycloakAccountSync(Job):
    job_type = "keycloak_account_sync"

    _settings: KeycloakSettings
    _keycloak: Keycloak
    _users: Composable
    _disable: dict[str, str]
    _enable: dict[str, str]
    _unknown_attribute: str
    _total: int

    def listings(self) -> dict[str, Listing]:
        limit = self.run.options["report_limit"]
        return {
            "users_disabled": ChangeListing(limit, "enabled", "disabled"),
            "users_enabled": ChangeListing(limit, "disabled", "enabled"),
        }

    def work(self) -> KeycloakAccountSync:
        self._settings = self.run.settings.keycloak()
        for warning in self._settings.warnings:
            self.run.warn(warning)
        dumps = self.run.parameters["dump_failed_responses"]
        self._keycloak = Keycloak.for_job(
            self._settings,
            self.run.options,
            deadline=self.run.deadline,
            gate=self.run.gate,
            dump=self.run.log.warn if dumps else lambda line: None,
        )
        return self

    def plan(self) -> None:
        catalogue = read_catalogue(self.run.database)
        self._users = Sql.name(catalogue.table("users"))
        for warning in find_for_changes(
            self.run.database, catalogue, catalogue.table("users"), "disabled_since"
        ).warnings:
            self.run.warn(warning)
        # A user who is created after this may have an account that Keycloak's list lacks, so such users are not disabled.
        (newest,) = self.run.database.row(sql.SQL("SELECT coalesce(max(id_serial), 0) FROM {}").format(self._users))
        accounts = self._accounts()
        self._disable, self._enable = self._choose(accounts, newest)
        if self._disable:
            self._look_again(newest)
        self._describe(self.run.plan, "users_disabled", self._disable)
        self._describe(self.run.plan, "users_enabled", self._enable)
        self.run.log.info(f"Users to be disabled: {len(self._disable)}")
        self.run.log.info(f"Users to be enabled: {len(self._enable)}")
        self.run.affected = len(self._disable)

    def total(self) -> int:
        return self._total

    def shares(self) -> list[Share]:
        return [Share("users", len(self._disable), self._total)]

    def check_plan(self) -> None:
        if self._disable and self._unknown_attribute:
            raise KeycloakError(
                f"Users would be disabled, but no account in Keycloak has the attribute {self._unknown_attribute}, so nothing"
                " was changed; correct external_id_user_attribute_name in section [user_search] of the controller's settings"
                " or in the option keycloak, or remove it if users are matched by the ids of their accounts."
            )

    def apply(self) -> None:
        self._set("users_disabled", self._disable, self.run.now, "disabled_since IS NULL")
        self._set("users_enabled", self._enable, None, "disabled_since IS NOT NULL")
        self.run.log.info(f"Users disabled: {self.run.done['users_disabled'].count}")
        self.run.log.info(f"Users enabled: {self.run.done['users_enabled'].count}")

    def _look_again(self, newest: int) -> None:
        """Remove from the plan what a second list of the accounts does not confirm.

        If one account is removed and another one is created while a list is read, the numbers agree, but the list may
        lack an account.
        """
        self.run.log.info("There are users to be disabled, so all accounts are listed once more to make sure")
        disable, enable = self._choose(self._read(), newest)
        self._disable = _common(self._disable, disable)
        self._enable = _common(self._enable, enable)

    def _accounts(self) -> Accounts:
        accounts = self._read()
        self.run.log.info(f"Accounts in Keycloak: {accounts.count}")
        by_id_only = accounts.matched_by_id == accounts.count
        self._unknown_attribute = self._settings.external_id_attribute if by_id_only else ""
        if self._unknown_attribute:
            self.run.warn(
                f"No account in Keycloak has the attribute {self._unknown_attribute} that is configured as"
                " external_id_user_attribute_name, so all users are matched by the id of their account."
            )
        if accounts.ambiguous:
            self.run.warn(
                f"External ids that an enabled account has in common with one that is not: {accounts.ambiguous};"
                " their users count as enabled."
            )
        return accounts

    def _read(self) -> Accounts:
        page_size = self.run.parameters["keycloak_api_page_size"]
        accounts = keycloak_accounts.read(self._keycloak, page_size, self.run.log, self.run.progress)
        if not accounts.count:
            raise no_accounts(self._settings)
        return accounts

    def _choose(self, accounts: Accounts, newest: int) -> tuple[dict[str, str], dict[str, str]]:
        """The users to disable and the users to enable: the key that matches the account, by the user's id.

        :param newest: the serial number of the newest user who may be disabled
        """
        with self.run.database.transaction(snapshot=True):
            rows = self._differing(accounts, newest)
            self._total = self._count_enabled()
        return (
            {identifier: subject for identifier, subject, disable in rows if disable},
            {identifier: subject for identifier, subject, disable in rows if not disable},
        )

    def _differing(self, accounts: Accounts, newest: int) -> list[tuple[Any, ...]]:
        return self.run.database.rows(
            sql.SQL(
                "SELECT chosen.id::text, chosen.oidc_sub, account.sub IS NULL FROM {} chosen"
                " LEFT JOIN unnest(%(enabled)s::text[]) account (sub) ON account.sub = chosen.oidc_sub"
                " WHERE (account.sub IS NULL) = (chosen.disabled_since IS NULL)"
                " AND (account.sub IS NOT NULL OR chosen.id_serial <= %(newest)s) ORDER BY chosen.id"
            ).format(self._users),
            {"enabled": array_literal(accounts.enabled), "newest": newest},
        )

    def _set(self, kind: str, users: dict[str, str], value: datetime | None, condition: str) -> None:
        """Set ``disabled_since`` of the users who are still as they were in the plan."""
        statement = sql.SQL(
            "WITH locked AS (SELECT chosen.id FROM {} chosen"
            " JOIN unnest(%(ids)s::uuid[], %(subjects)s::text[]) planned (id, sub)"
            " ON chosen.id = planned.id AND chosen.oidc_sub = planned.sub"
            # The other jobs lock users in the same order.
            " WHERE chosen.{} ORDER BY chosen.id FOR UPDATE OF chosen),"
            " changed AS (UPDATE {} changing SET disabled_since = %(value)s FROM locked WHERE changing.id = locked.id"
            " RETURNING changing.id, disabled_since IS NOT DISTINCT FROM %(value)s AS updated)"
            " SELECT locked.id::text, coalesce(updated, false) FROM locked LEFT JOIN changed USING (id)"
        ).format(self._users, sql.SQL(condition), self._users)

        def work(ids: list[str]) -> None:
            subjects = (users[identifier] for identifier in ids)
            with self.run.database.transaction():
                found = self.run.database.rows(
                    statement, {"value": value, "ids": array_literal(ids), "subjects": array_literal(subjects)}
                )
                if not all(updated for _unused, updated in found):
                    raise kept_by_trigger("users")
            changed = {identifier for identifier, _unused in found}
            self._describe(self.run.done, kind, changed)
            if unchanged := [identifier for identifier in ids if identifier not in changed]:
                limit = self.run.options["report_limit"]
                self.run.log.info(
                    f"Users of the plan that no longer match and stay: {len(unchanged)}: "
                    + ", ".join(unchanged[:limit])
                )

        Batches(
            iter(users),
            lambda identifier, reason: self.run.fail("users", identifier, reason),
            self.run.deadline,
            largest=self.run.options["batch_size"],
            progress=self.run.progress.stage(f"users {kind.removeprefix('users_')}", len(users)),
        ).run(work)

    def _count_enabled(self) -> int:
        query = sql.SQL("SELECT count(*) FROM {} WHERE disabled_since IS NULL").format(self._users)
        return self.run.database.row(query)[0]

    @staticmethod
    def _describe(effects: Effects, kind: str, users: Collection[str]) -> None:
        effects[kind].add(sorted(users))
        effects.rows_updated["users"] += len(users)


def _common(first: dict[str, str], second: dict[str, str]) -> dict[str, str]:
    return {identifier: subject for identifier, subject in first.items() if second.get(identifier) == subject}
