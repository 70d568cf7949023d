# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""keycloak_account_sync with realms of up to 1,200 accounts, in pages of any size."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from support.builders import Builder
from support.keycloak import KeycloakProxy, Realm
from support.limits import HANGS
from support.world import World

SEED = 20260501
ATTRIBUTE = "externalId"
NOW = datetime(2026, 5, 1, 12, 0, 0, 5, tzinfo=timezone.utc)
LATER = NOW + timedelta(days=1)


def expected(accounts: list[dict[str, Any]], before: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The moment since which each user is disabled after the job, by oidc_sub, worked out from the contract row by row."""
    state = {}
    for account in accounts:
        key = account.get("attributes", {}).get(ATTRIBUTE, [account["id"]])[0]
        state[key] = account["enabled"]
    return {sub: None if state.get(sub) else (since or now) for sub, since in before.items()}


def users(world: World) -> dict[str, Any]:
    return dict(world.query("SELECT oidc_sub, disabled_since FROM users"))


def changes(result: dict[str, Any]) -> dict[str, Any]:
    return {kind: sorted(result[kind]["ids"]) for kind in ("users_disabled", "users_enabled")}


# Pages of one account take a request for each account, so their realm is small.
@pytest.mark.timeout(HANGS)
@pytest.mark.parametrize(("number_of_accounts", "sizes"), [(60, (1,)), (650, (100, 10000))])
def test_pages_of_any_size(
    open_world: Callable[..., World],
    realm: Realm,
    keycloak_proxy: KeycloakProxy,
    number_of_accounts: int,
    sizes: tuple[int, ...],
) -> None:
    print(f"seed {SEED}")
    choice = random.Random(SEED)
    ids = realm.add(
        {
            "username": f"user{number:04}",
            "enabled": choice.random() > 0.05,
            "attributes": {ATTRIBUTE: [f"ext-{number}", "another"]} if number % 3 == 0 else {},
        }
        for number in range(number_of_accounts)
    )
    accounts = realm.accounts()
    subjects = [account.get("attributes", {}).get(ATTRIBUTE, [account["id"]])[0] for account in accounts]
    past = NOW - timedelta(days=9)
    since = [past if choice.random() < 0.1 else None for _unused in subjects]
    worlds: dict[int, World] = {}
    for size in sizes:
        worlds[size] = open_world(67)
        build = Builder(worlds[size].connection)
        for subject, disabled in zip(subjects, since, strict=True):
            build.user(oidc_sub=subject, disabled_since=disabled)
        for number in range(12):
            build.user(oidc_sub=f"stranger-{number}", disabled_since=past if number % 2 else None)
        # An account that has the attribute is not matched by its id.
        build.user(oidc_sub=ids["user0000"])

    def sync(size: int, *, now: datetime) -> None:
        world = worlds[size]
        world.freeze(now) if now == NOW else world.query(
            f"CREATE OR REPLACE FUNCTION frozen.now() RETURNS timestamptz LANGUAGE sql AS"
            f" $$ SELECT '{now.isoformat()}'::timestamptz $$"
        )
        options = {
            "database_url": world.options["database_url"],
            "keycloak": {**realm.options(keycloak_proxy.url), "external_id_user_attribute_name": ATTRIBUTE},
            "keycloak_api_page_size": size,
        }
        before, rows = users(world), world.rows()
        after = expected(realm.accounts(), before, now)
        keycloak_proxy.clear()
        preview = world.run_bare("keycloak_account_sync", check_mode=True, **options)
        assert world.rows() == rows
        assert {request.operation for request in keycloak_proxy.writes} == {"Token"}
        asked = [request for request in keycloak_proxy.requests if request.operation == "Page"]
        assert len(asked) >= len(realm.accounts()) / size
        assert {request.query["max"][0] for request in asked} == {str(size)}
        run = world.run_bare("keycloak_account_sync", **options)
        assert not run.get("failed"), run["msg"]
        assert users(world) == after != before
        assert preview["plan"] == run["plan"] == run["done"]
        by_id = dict(world.query("SELECT oidc_sub, id::text FROM users"))
        assert changes(run["done"]) == {
            "users_disabled": sorted(by_id[sub] for sub in after if after[sub] and not before[sub]),
            "users_enabled": sorted(by_id[sub] for sub in after if before[sub] and not after[sub]),
        }
        assert run["done"]["users_disabled"]["count"] and run["done"]["users_enabled"]["count"]
        again = world.run_bare("keycloak_account_sync", **options)
        assert not again["changed"] and again["plan"] == again["done"]
        assert users(world) == after

    for size in worlds:
        sync(size, now=NOW)
    for number, account in enumerate(accounts):
        if number % 20 == 0:
            realm.remove(account["id"])
        # In a small realm, too, enabled and disabled accounts change.
        elif number % 20 == 1 or (number % 2 and not account["enabled"]):
            realm.set_enabled(account["id"], not account["enabled"])
    for size in worlds:
        sync(size, now=LATER)
