# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database whose users have accounts in a realm."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from support.builders import Builder
from support.keycloak import KeycloakProxy, Realm
from support.recording_server import Request
from support.world import World

JOB = "keycloak_account_sync"


class KeycloakWorld:
    """A world, a realm, and the proxy through which the job reaches it."""

    def __init__(self, world: World, realm: Realm, proxy: KeycloakProxy) -> None:
        self.world, self.realm, self.proxy = world, realm, proxy
        self.build = Builder(world.connection)
        self.keycloak = realm.options(proxy.url + proxy.prefix)

    def run(
        self, *, check_mode: bool = False, keycloak: dict[str, str] | None = None, **options: Any
    ) -> dict[str, Any]:
        return self.world.run_bare(
            JOB,
            check_mode=check_mode,
            **{"database_url": self.world.options["database_url"], **options},
            keycloak={**self.keycloak, **(keycloak or {})},
        )

    def disabled(self) -> dict[str, datetime | None]:
        """The moment since which each user is disabled, by id; None if the user is enabled."""
        return dict(self.world.query("SELECT id::text, disabled_since FROM users"))

    def refused(self, *, check_modes: tuple[bool, ...] = (True, False), **options: Any) -> list[str]:
        """The messages with which the preview and the run fail. Both must change nothing."""
        before, accounts = self.world.rows(), self.realm.accounts()
        messages = []
        for check_mode in check_modes:
            result = self.run(check_mode=check_mode, **options)
            assert result["failed"], result
            assert "Traceback" not in str(result)
            assert not result.get("done", {}).get("rows_updated")
            assert self.realm.secret not in str(result)
            messages.append(result["msg"])
        assert self.world.rows() == before
        assert self.realm.accounts() == accounts
        assert {request.operation for request in self.proxy.writes} <= {"Token"}
        return messages

    def asked(self, operation: str) -> int:
        """The number of requests of that kind to the proxy."""
        return sum(request.operation == operation for request in self.proxy.requests)


def page(request: Request) -> bool:
    return request.operation == "Page"


def count(request: Request) -> bool:
    return request.operation == "Count"


def token(request: Request) -> bool:
    return request.operation == "Token"
