# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""keycloak_account_sync: the matching of users and accounts, and lists of accounts that may be incomplete."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from support.keycloak import QUERIER, KeycloakProxy, KeycloakServer, Realm
from support.keycloak_world import KeycloakWorld, page, token
from support.modules import run_in_process
from support.recording_server import Answer, Request
from support.schemas import SCHEMAS
from support.world import World

ATTRIBUTE = "externalId"
NOW = datetime(2026, 5, 1, 12, 0, 0, 5, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def shared_realm(keycloak: KeycloakServer) -> Iterator[Realm]:
    """A realm with 40 enabled and 2 disabled accounts. Tests must not change it."""
    realm = Realm(keycloak)
    realm.add({"username": f"user{number:02}", "enabled": number < 40} for number in range(42))
    yield realm
    realm.drop()


@pytest.fixture
def shared(open_world: Callable[..., World], shared_realm: Realm, keycloak_proxy: KeycloakProxy) -> KeycloakWorld:
    """Users for all accounts of the shared realm, and two users without accounts. The job disables four, enables one."""
    made = KeycloakWorld(open_world(67), shared_realm, keycloak_proxy)
    for number, identifier in enumerate(shared_realm.ids().values()):
        made.build.user(oidc_sub=identifier, disabled_since=NOW if number == 7 else None)
    for _unused in range(2):
        made.build.user()
    return made


@pytest.fixture
def own(open_world: Callable[..., World], realm: Realm, keycloak_proxy: KeycloakProxy) -> KeycloakWorld:
    return KeycloakWorld(open_world(67), realm, keycloak_proxy)


def changed(result: dict[str, Any]) -> tuple[int, int]:
    assert not result.get("failed"), result["msg"]
    return result["done"]["users_disabled"]["count"], result["done"]["users_enabled"]["count"]


def warned(result: dict[str, Any]) -> str:
    return "".join(line for line in result["log"] if line.startswith("[WARN ]"))


# Who is matched with what


@pytest.mark.parametrize("version", SCHEMAS)
def test_who_is_disabled_since_when(
    open_world: Callable[..., World], shared_realm: Realm, keycloak_proxy: KeycloakProxy, version: int
) -> None:
    synced = KeycloakWorld(open_world(version), shared_realm, keycloak_proxy)
    ids = shared_realm.ids()
    past = NOW - timedelta(days=9)
    user = synced.build.user
    expected = {
        user(oidc_sub=ids["user00"]): None,
        user(oidc_sub=ids["user01"], disabled_since=past): None,
        user(oidc_sub=ids["user40"]): NOW,
        user(oidc_sub=ids["user41"], disabled_since=past): past,
        user(): NOW,
        user(disabled_since=past): past,
        user(oidc_sub=ids["user00"].upper()): NOW,
        user(oidc_sub="user00"): NOW,
    }
    world = synced.world
    world.freeze(NOW)
    before = world.rows()
    result = synced.run()
    assert changed(result) == (4, 1)
    assert synced.disabled() == expected
    after = world.rows()
    unchanged = [{**json.loads(row), "disabled_since": None} for row in before.pop("users")]
    assert [{**json.loads(row), "disabled_since": None} for row in after.pop("users")] == unchanged
    assert after == before
    assert changed(synced.run()) == (0, 0)


def test_external_ids(own: KeycloakWorld) -> None:
    strange = 'a "quoted" \\ {brace}, NULL Ünïcode'
    ids = own.realm.add(
        [
            {"username": "a", "attributes": {ATTRIBUTE: ["ext-a", "ext-second"]}},
            {"username": "b"},
            {"username": "c", "enabled": False, "attributes": {ATTRIBUTE: ["ext-c"]}},
            {"username": "d", "attributes": {"other": ["ext-d"]}},
            {"username": "e", "attributes": {ATTRIBUTE: [strange]}},
            # Two accounts of one person, of which one is disabled.
            {"username": "f", "enabled": False, "attributes": {ATTRIBUTE: ["ext-twice"]}},
            {"username": "g", "attributes": {ATTRIBUTE: ["ext-twice"]}},
        ]
    )
    user = own.build.user
    stay = {user(oidc_sub=sub) for sub in ("ext-a", ids["b"], ids["d"], strange, "ext-twice")}
    go = {user(oidc_sub=sub) for sub in ("ext-second", ids["a"], "ext-c", ids["c"], "ext-d", "NULL")}
    result = own.run(keycloak={"external_id_user_attribute_name": ATTRIBUTE})
    assert set(result["done"]["users_disabled"]["ids"]) == go
    assert {user for user, since in own.disabled().items() if since is None} == stay
    assert "in common with one that is not: 1;" in warned(result)


def test_attribute_that_no_account_has_is_a_warning(shared: KeycloakWorld) -> None:
    # Where nobody would be disabled.
    shared.world.query("UPDATE users SET disabled_since = now()")
    result = shared.run(check_mode=True, keycloak={"external_id_user_attribute_name": "extrenalId"})
    assert not result.get("failed") and result["plan"]["users_enabled"]["count"] == 40
    assert "extrenalId" in str(result["warnings"]) and "extrenalId" in warned(result)
    assert all(request.query["briefRepresentation"] == ["false"] for request in shared.proxy.requests if page(request))
    assert not warned(shared.run(check_mode=True))


def test_attribute_that_no_account_has_disables_nobody(shared: KeycloakWorld) -> None:
    for message in shared.refused(keycloak={"external_id_user_attribute_name": "extrenalId"}, max_affected_percent=100):
        assert "attribute extrenalId" in message and "external_id_user_attribute_name" in message


def test_user_who_comes_while_accounts_are_listed_is_left_alone(shared: KeycloakWorld) -> None:
    newcomers: list[str] = []

    def log_in(request: Request) -> None:
        if page(request):
            newcomers.append(shared.build.user())

    shared.proxy.on_request(log_in)
    assert changed(shared.run()) == (4, 1)
    shared.proxy.on_request(None)
    assert newcomers
    assert all(shared.disabled()[newcomer] is None for newcomer in newcomers)
    assert changed(shared.run()) == (len(newcomers), 0)


def test_no_transaction_is_open_while_accounts_are_listed(shared: KeycloakWorld) -> None:
    states: list[Any] = []

    def look(request: Request) -> None:
        states.extend(
            shared.world.query(
                "SELECT state, xact_start FROM pg_stat_activity WHERE application_name LIKE 'opentalk.maintenance%'"
            )
        )

    shared.proxy.on_request(look)
    assert changed(shared.run()) == (4, 1)
    assert set(states) == {("idle", None)}


def test_batches_and_a_user_that_is_locked(shared: KeycloakWorld) -> None:
    locked = shared.run(check_mode=True)["plan"]["users_disabled"]["ids"][1]
    before = shared.disabled()
    other = shared.world.server.connect(shared.world.database)
    other.cursor().execute("SELECT 1 FROM users WHERE id = %s FOR UPDATE", (locked,))
    result = shared.run(batch_size=2)
    other.rollback()
    assert result["failed"] and locked in result["msg"]
    assert [failure["id"] for failure in result["failures"]] == [locked]
    assert (result["done"]["users_disabled"]["count"], result["done"]["users_enabled"]["count"]) == (3, 1)
    assert result["done"]["rows_updated"] == {"users": 4}
    assert len([user for user, since in shared.disabled().items() if since != before[user]]) == 4
    other.close()
    assert changed(shared.run()) == (1, 0)


def test_user_who_is_changed_by_somebody_else_meanwhile(shared: KeycloakWorld) -> None:
    """The user changes between the plan and the update. The update itself checks the users of the plan again."""
    first, second, third, _unused = shared.run(check_mode=True)["plan"]["users_disabled"]["ids"]
    past = NOW - timedelta(days=9)
    shared.world.query(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" UPDATE users SET disabled_since = '{past}' WHERE id = '{second}' AND disabled_since IS NULL;"
        f" UPDATE users SET oidc_sub = 'changed' WHERE id = '{third}' AND oidc_sub <> 'changed';"
        " RETURN NULL; END $$;"
        f"CREATE TRIGGER meddle AFTER UPDATE ON users FOR EACH ROW WHEN (OLD.id = '{first}')"
        " EXECUTE FUNCTION meddle()"
    )
    result = shared.run(batch_size=1)
    assert changed(result) == (2, 1)
    assert shared.disabled()[second] == past
    assert shared.disabled()[third] is None
    assert sum("no longer match" in line for line in result["log"]) == 2


# Safety limits


@pytest.mark.parametrize(
    ("users", "strangers", "options", "passes"),
    [
        (0, 10, {}, True),
        (33, 11, {}, False),
        (44, 11, {}, True),
        (43, 11, {}, False),
        (30, 13, {}, False),
        (30, 13, {"max_affected_percent": 100}, True),
        (30, 13, {"max_affected_percent": 30}, False),
        (30, 13, {"max_affected": 13}, True),
        (30, 13, {"max_affected": 12}, False),
        (44, 3, {"max_affected_percent": 5}, False),
    ],
)
def test_limits(shared: KeycloakWorld, users: int, strangers: int, options: dict[str, Any], passes: bool) -> None:
    shared.world.query("DELETE FROM users")
    ids = [account["id"] for account in shared.realm.accounts() if account["enabled"]]
    for number in range(users):
        # More users than accounts: the same person in several tenants.
        tenant = {"tenant_id": shared.build.tenant()} if number >= len(ids) else {}
        shared.build.user(oidc_sub=ids[number % len(ids)], **tenant)
    for number in range(strangers + 5):
        shared.build.user(disabled_since=NOW if number < 5 else None)
    if passes:
        assert shared.run(check_mode=True, **options)["plan"]["users_disabled"]["count"] == strangers
        assert changed(shared.run(**options)) == (strangers, 0)
        return
    for message in shared.refused(**options):
        assert f"touch {strangers}" in message and "max_affected" in message
        total = f"of {users + strangers} (" if options else f"of {users + strangers} users ("
        assert "max_affected" in options or total in message
    result = shared.run(check_mode=True, **options)
    assert result["plan"]["users_disabled"]["count"] == strangers


def test_realm_that_lost_accounts(own: KeycloakWorld) -> None:
    ids = own.realm.add({"username": f"user{number:02}"} for number in range(40))
    for identifier in ids.values():
        own.build.user(oidc_sub=identifier)
    assert changed(own.run()) == (0, 0)
    lost = [ids[f"user{number:02}"] for number in range(0, 40, 3)][:12]
    for identifier in lost:
        own.realm.remove(identifier)
    for message in own.refused():
        assert "12 of 40 users (30.0 percent)" in message and "max_affected_percent" in message
    assert changed(own.run(max_affected_percent=100)) == (12, 0)
    gone = own.world.query("SELECT oidc_sub FROM users WHERE disabled_since IS NOT NULL")
    assert {sub for (sub,) in gone} == set(lost)


def test_empty_realm(own: KeycloakWorld) -> None:
    for _unused in range(3):
        own.build.user()
    for message in own.refused():
        assert "no accounts at all" in message and "api_base_url" in message and "view-users" in message


# Lists that change or fail while they are read


def test_list_that_goes_on_shrinking(own: KeycloakWorld) -> None:
    ids = iter(own.realm.add({"username": f"user{number:02}"} for number in range(20)).values())
    for identifier in own.realm.ids().values():
        own.build.user(oidc_sub=identifier)
    before = own.world.rows()

    def shrink(request: Request) -> None:
        if page(request) and request.query["first"] == ["5"]:
            own.realm.remove(next(ids))

    own.proxy.on_request(shrink)
    for check_mode in (True, False):
        own.proxy.clear()
        result = own.run(check_mode=check_mode, keycloak_api_page_size=5)
        assert result["failed"] and "may be incomplete" in result["msg"]
        remaining = len(own.realm.accounts())
        # One account is gone, and the first one of the next page has moved to where reading had been already.
        assert f"{remaining + 1} counted before, {remaining} listed, {remaining} counted after" in result["msg"]
        assert own.asked("Count") == 4
        assert sum("listed again" in line for line in result["log"]) == 1
    assert own.world.rows() == before


def test_list_that_shrinks_once(own: KeycloakWorld) -> None:
    ids = own.realm.add({"username": f"user{number:02}"} for number in range(20))
    users = {name: own.build.user(oidc_sub=identifier) for name, identifier in ids.items()}
    pending = ["user00"]

    def shrink(request: Request) -> None:
        if page(request) and request.query["first"] == ["5"] and pending:
            own.realm.remove(ids[pending.pop()])

    own.proxy.on_request(shrink)
    result = own.run(keycloak_api_page_size=5)
    assert changed(result) == (1, 0)
    assert result["done"]["users_disabled"]["ids"] == [users["user00"]]
    assert sum("listed again" in line for line in result["log"]) == 1


def test_removal_and_creation_that_make_up_for_each_other(own: KeycloakWorld) -> None:
    """The numbers agree, although the list lacks an account."""
    ids = own.realm.add({"username": f"user{number:02}"} for number in range(20))
    users = {name: own.build.user(oidc_sub=identifier) for name, identifier in ids.items()}
    pending = ["user00"]

    def replace(request: Request) -> None:
        if page(request) and request.query["first"] == ["5"] and pending:
            own.realm.remove(ids[pending.pop()])
            own.realm.add([{"username": "zzz last of all"}])

    own.proxy.on_request(replace)
    result = own.run(keycloak_api_page_size=5)
    assert not pending and not any("listed again" in line for line in result["log"])
    assert changed(result) == (0, 0)
    assert set(own.disabled().values()) == {None}
    own.proxy.on_request(None)
    assert own.run(keycloak_api_page_size=5)["done"]["users_disabled"]["ids"] == [users["user00"]]


def test_accounts_are_listed_once_more_before_anybody_is_disabled(shared: KeycloakWorld) -> None:
    for check_mode in (True, False):
        shared.proxy.clear()
        assert shared.run(check_mode=check_mode, keycloak_api_page_size=10)["plan"]["users_disabled"]["count"] == 4
        assert (shared.asked("Page"), shared.asked("Count")) == (10, 4)
    shared.proxy.clear()
    assert changed(shared.run(keycloak_api_page_size=10)) == (0, 0)
    assert (shared.asked("Page"), shared.asked("Count")) == (5, 2)


def test_account_that_is_created_meanwhile(own: KeycloakWorld) -> None:
    ids = own.realm.add({"username": f"user{number:02}"} for number in range(10))
    for identifier in ids.values():
        own.build.user(oidc_sub=identifier)
    pending = ["aaa first of all"]

    def grow(request: Request) -> None:
        # So that all later accounts come one place later, and one of them twice.
        if page(request) and request.query["first"] == ["4"] and pending:
            own.realm.add([{"username": pending.pop()}])

    own.proxy.on_request(grow)
    result = own.run(keycloak_api_page_size=2)
    assert changed(result) == (0, 0)
    assert sum("listed again" in line for line in result["log"]) == 1
    assert "[INFO ] Accounts in Keycloak: 11" in result["log"]


def test_account_that_comes_twice_in_a_complete_list(shared: KeycloakWorld) -> None:
    def twice(request: Request) -> Answer:
        status, headers, body = shared.proxy.answer(request)
        accounts = json.loads(body)
        # The second answer about an account says that it is disabled by now.
        return status, headers, json.dumps(accounts + [{**accounts[0], "enabled": False}]).encode()

    shared.proxy.fault(twice, when=lambda request: page(request) and request.query["first"] == ["0"])
    result = shared.run()
    assert changed(result) == (4, 1)
    assert "[INFO ] Accounts in Keycloak: 42" in result["log"]


def test_server_that_repeats_itself_is_not_asked_for_ever(shared: KeycloakWorld) -> None:
    def first_page(request: Request) -> Answer:
        request.path = request.path.replace(f"first={request.query['first'][0]}&", "first=0&")
        return shared.proxy.answer(request)

    shared.proxy.fault(first_page, when=page)
    for message in shared.refused(keycloak_api_page_size=5):
        assert "42 counted before, 5 listed, 42 counted after" in message
    assert shared.asked("Page") < 100


def test_page_that_fails(shared: KeycloakWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    _hurry(monkeypatch)
    shared.proxy.fail(500, when=lambda request: page(request) and request.query["first"] == ["20"])
    for message in shared.refused(keycloak_api_page_size=10):
        assert "HTTP status 500 every time" in message and "dump_failed_responses" in message


def test_page_that_fails_for_a_moment(shared: KeycloakWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    _hurry(monkeypatch)
    for status in (500, 503, 429):
        shared.proxy.fail(status, when=page, times=1)
    shared.proxy.reset(when=page, times=1)
    assert changed(shared.run()) == (4, 1)


def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import http_session

    monkeypatch.setattr(http_session, "BACKOFF", 0.01)


def test_tokens_that_expire_meanwhile(
    open_world: Callable[..., World], keycloak: KeycloakServer, keycloak_proxy: KeycloakProxy
) -> None:
    realm = Realm(keycloak, lifespan=2)
    ids = realm.add({"username": f"user{number:02}"} for number in range(12))
    synced = KeycloakWorld(open_world(67), realm, keycloak_proxy)
    for identifier in ids.values():
        synced.build.user(oidc_sub=identifier)
    stranger = synced.build.user()

    def long_lived(request: Request) -> Answer:
        # The client is told otherwise, so that it uses its token until Keycloak refuses it.
        status, headers, body = keycloak_proxy.answer(request)
        return status, headers, json.dumps({**json.loads(body), "expires_in": 3600}).encode()

    keycloak_proxy.fault(long_lived, when=token)
    for slow in ("4", "8"):
        keycloak_proxy.hang(
            3, when=lambda request, slow=slow: page(request) and request.query["first"] == [slow], times=1
        )
    result = synced.run(keycloak_api_page_size=4)
    assert result["done"]["users_disabled"]["ids"] == [stranger]
    assert synced.asked("Token") == 3
    assert "[INFO ] Accounts in Keycloak: 12" in result["log"]
    realm.drop()


def test_token_that_is_refused_at_once(shared: KeycloakWorld) -> None:
    shared.proxy.fail(401, when=page)
    for message in shared.refused():
        assert "token that was just issued" in message and "authority" in message and "api_base_url" in message
    assert shared.asked("Page") == 4


def test_role_that_is_missing_shows_no_account_as_missing(shared: KeycloakWorld) -> None:
    """With only the role query-users, Keycloak answers successfully, but with an empty list."""
    options = shared.realm.options(shared.proxy.url, QUERIER)
    for message in shared.refused(keycloak=options):
        assert "view-users" in message and QUERIER in message and "realm-management" in message
    assert shared.asked("Page") == 0


def test_server_below_a_path(open_world: Callable[..., World], keycloak: KeycloakServer, shared_realm: Realm) -> None:
    with KeycloakProxy(keycloak.url, "/auth") as proxy:
        synced = KeycloakWorld(open_world(67), shared_realm, proxy)
        synced.build.user()
        assert changed(synced.run()) == (1, 0)
        assert all(request.path.startswith("/auth/") for request in proxy.requests)
        without = shared_realm.options(proxy.url)
        (message,) = synced.refused(keycloak=without, check_modes=(False,))
        assert "404" in message and "/auth" in message and "authority" in message


def test_realm_with_a_space_as_it_is(shared: KeycloakWorld) -> None:
    spaced = {key: shared.keycloak[key].replace("%20", " ") for key in ("authority", "api_base_url")}
    assert all(" " in address for address in spaced.values()) and "%20" in shared.keycloak["authority"]
    assert changed(shared.run(keycloak=spaced)) == (4, 1)


def test_proxy_with_other_paths(shared: KeycloakWorld) -> None:
    """Neither address has the name of the realm, as behind a reverse proxy. Tokens go where the configuration says."""
    realm = shared.realm.name.replace(" ", "%20")
    shared.proxy.renamed = {"/login": f"/realms/{realm}", "/accounts": f"/admin/realms/{realm}"}
    url = shared.proxy.url
    for authority, number in ((f"{url}/login", (4, 1)), (f"{url}/login/", (0, 0))):
        result = shared.run(keycloak={"authority": authority, "api_base_url": f"{url}/accounts/"})
        assert changed(result) == number
    assert {request.path.split("/")[1] for request in shared.proxy.requests} == {"login", "accounts"}
    assert (shared.asked("Configuration"), shared.asked("Token")) == (2, 2)


@pytest.mark.parametrize(
    ("configuration", "names"),
    [
        ({"issuer": "{url}/elsewhere"}, ["another issuer", "authority"]),
        ({"issuer": None}, ["OpenID configuration has none", "authority"]),
        ({"token_endpoint": "ftp://127.0.0.1/token"}, ["OpenID configuration has none", "authority"]),
        ({"token_endpoint": "http://user:pl4nted@127.0.0.1/token"}, ["OpenID configuration has none", "authority"]),
        ([], ["OpenID configuration has none", "authority"]),
        (404, ["HTTP status 404", "OpenID configuration", "authority"]),
    ],
)
def test_configuration_that_sends_no_secret(shared: KeycloakWorld, configuration: Any, names: list[str]) -> None:
    url = shared.proxy.url

    def answer(request: Request) -> Answer:
        content = configuration
        if isinstance(configuration, dict):
            content = {"issuer": f"{url}/login", "token_endpoint": f"{url}/token", **configuration}
        status, content = (404, {"error": "Realm does not exist"}) if content == 404 else (200, content)
        return status, {"Content-Type": "application/json"}, json.dumps(content).replace("{url}", url).encode()

    shared.proxy.fault(answer, when=lambda request: request.operation == "Configuration")
    for message in shared.refused(keycloak={"authority": f"{url}/login"}):
        assert all(name in message for name in names) and "pl4nted" not in message, message
    assert not shared.proxy.writes


@pytest.mark.parametrize("fault", ["hangs", "trickles its answer"])
def test_deadline(shared: KeycloakWorld, fault: str) -> None:
    shared.proxy.hang(20, when=page) if fault == "hangs" else shared.proxy.drip(0.1, when=page)
    started = time.monotonic()
    (message,) = shared.refused(timeout=2, check_modes=(False,))
    assert "timeout of 2 seconds" in message
    assert time.monotonic() - started < 15


def test_missing_library(shared: KeycloakWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keycloak.py").write_text("raise ImportError('not installed')\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = shared.world.rows()
    options = {"database_url": shared.world.options["database_url"], "keycloak": shared.keycloak}
    result = run_in_process("keycloak_account_sync", options)
    assert result["failed"] and "python-keycloak" in result["msg"] and "required Python library" in result["msg"]
    assert shared.world.rows() == before
    assert not shared.proxy.requests
