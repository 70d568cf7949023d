# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""keycloak_account_sync: which users are disabled, after the accounts in Keycloak."""

from __future__ import annotations

from typing import Any

from ..deletion.keys import Sql
from ..deletion.references import Catalogue
from ..engine import options
from ..engine.job import Job
from ..engine.plan import ChangeListing, Effects, Listing
from ..engine.safety import DefaultLimit
from ..systems.database import array_literal, sql
from ..systems.keycloak import Keycloak
from ..systems.keycloak_errors import no_accounts
from ..systems.settings import KeycloakSettings
from . import keycloak_accounts
from .batches import Batches
from .keycloak_accounts import Accounts


class KeycloakAccountSync(Job):
    job_type = "keycloak_account_sync"
    options = (
        options.DATABASE,
        options.KEYCLOAK,
        options.TLS,
        options.REPORT,
        options.BATCHES,
        options.AUDIT,
        options.SAFETY,
    )
    default_limit = DefaultLimit(percent=20, always=10)

    _settings: KeycloakSettings
    _keycloak: Keycloak
    _users: Any
    _disable: dict[str, str]
    _enable: dict[str, str]
    _total: int

    def listings(self) -> dict[str, Listing]:
        limit = self.run.options["report_limit"]
        return {
            "users_disabled": ChangeListing(limit, "enabled", "disabled"),
            "users_enabled": ChangeListing(limit, "disabled", "enabled"),
        }

    def prepare(self) -> None:
        self._settings = self.run.settings.keycloak()
        for warning in self._settings.warnings:
            self.run.warn(warning)
        dumps = self.run.parameters["dump_failed_responses"]
        self._keycloak = Keycloak(
            self._settings,
            deadline=self.run.deadline,
            gate=self.run.gate,
            validate_certs=self.run.options["validate_certs"],
            ca_path=self.run.options["ca_path"],
            dump=self.run.log.warn if dumps else lambda line: None,
        )

    def plan(self) -> None:
        self._users = Sql.name(Catalogue(self.run.database).table("users"))
        # A user who comes after this may have an account that comes after it was asked for.
        (newest,) = self.run.database.row(sql.SQL("SELECT coalesce(max(id_serial), 0) FROM {}").format(self._users))
        accounts = self._accounts()
        with self.run.database.transaction(snapshot=True):
            self._choose(accounts, newest)
            self._total = self._count_enabled()
        self._describe(self.run.plan, "users_disabled", self._disable)
        self._describe(self.run.plan, "users_enabled", self._enable)
        self.run.log.info(f"Users to be disabled: {len(self._disable)}")
        self.run.log.info(f"Users to be enabled: {len(self._enable)}")
        self.run.affected = len(self._disable)

    def total(self) -> int:
        return self._total

    def apply(self) -> None:
        self._set("users_disabled", self._disable, self.run.now, "disabled_since IS NULL")
        self._set("users_enabled", self._enable, None, "disabled_since IS NOT NULL")
        self.run.log.info(f"Users disabled: {self.run.done['users_disabled'].count}")
        self.run.log.info(f"Users enabled: {self.run.done['users_enabled'].count}")

    def _accounts(self) -> Accounts:
        page_size = self.run.parameters["keycloak_api_page_size"]
        accounts = keycloak_accounts.read(self._keycloak, page_size, self.run.log, self.run.progress)
        if not accounts.count:
            raise no_accounts(self._settings)
        self.run.log.info(f"Accounts in Keycloak: {accounts.count}")
        if self._settings.external_id_attribute and accounts.matched_by_id == accounts.count:
            self.run.warn(
                f"No account in Keycloak has the attribute {self._settings.external_id_attribute} that is configured as"
                " external_id_user_attribute_name, so all users are matched by the id of their account."
            )
        if accounts.ambiguous:
            self.run.warn(
                f"External ids that an enabled account has in common with one that is not: {accounts.ambiguous};"
                " their users count as enabled."
            )
        return accounts

    def _choose(self, accounts: Accounts, newest: int) -> None:
        rows = self.run.database.rows(
            sql.SQL(
                "SELECT chosen.id::text, chosen.oidc_sub, account.sub IS NULL FROM {} chosen"
                " LEFT JOIN unnest(%(enabled)s::text[]) account (sub) ON account.sub = chosen.oidc_sub"
                " WHERE (account.sub IS NULL) = (chosen.disabled_since IS NULL)"
                " AND (account.sub IS NOT NULL OR chosen.id_serial <= %(newest)s) ORDER BY chosen.id"
            ).format(self._users),
            {"enabled": array_literal(accounts.enabled), "newest": newest},
        )
        self._disable = {identifier: subject for identifier, subject, disable in rows if disable}
        self._enable = {identifier: subject for identifier, subject, disable in rows if not disable}

    def _set(self, kind: str, users: dict[str, str], value: Any, condition: str) -> None:
        """Set ``disabled_since`` of those users who still are what was decided about."""
        statement = sql.SQL(
            "UPDATE {} chosen SET disabled_since = %(value)s"
            " FROM unnest(%(ids)s::uuid[], %(subjects)s::text[]) planned (id, sub)"
            " WHERE chosen.id = planned.id AND chosen.oidc_sub = planned.sub AND chosen.{}"
            " RETURNING chosen.id::text"
        ).format(self._users, sql.SQL(condition))

        def work(ids: list[str]) -> None:
            subjects = (users[identifier] for identifier in ids)
            with self.run.database.transaction():
                updated = self.run.database.rows(
                    statement, {"value": value, "ids": array_literal(ids), "subjects": array_literal(subjects)}
                )
            changed = {identifier for (identifier,) in updated}
            self._describe(self.run.done, kind, changed)
            if unchanged := [identifier for identifier in ids if identifier not in changed]:
                limit = self.run.options["report_limit"]
                self.run.log.info(
                    f"Users of the plan that no longer match and stay: {len(unchanged)}: "
                    + ", ".join(unchanged[:limit])
                )

        Batches(
            [work],
            lambda identifier, reason: self.fail("users", identifier, reason),
            self.run.deadline,
            largest=self.run.options["batch_size"],
            progress=self.run.progress.stage(f"users {kind.removeprefix('users_')}", len(users)),
        ).run(iter(users))

    def _count_enabled(self) -> int:
        query = sql.SQL("SELECT count(*) FROM {} WHERE disabled_since IS NULL").format(self._users)
        return self.run.database.row(query)[0]

    @staticmethod
    def _describe(effects: Effects, kind: str, users: Any) -> None:
        effects[kind].add(sorted(users))
        effects.rows_updated["users"] += len(users)
