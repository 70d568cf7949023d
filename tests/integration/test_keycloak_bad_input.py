# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""keycloak_account_sync with wrong settings, refused credentials, and servers that are not Keycloak."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.keycloak import NOBODY, UNABLE, KeycloakProxy, KeycloakServer, Realm
from support.keycloak_world import JOB, KeycloakWorld, count, page, token
from support.modules import run_module
from support.world import World

PLANTED = "pl4nted-s3cret"
JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html"}


@pytest.fixture(scope="module")
def realm(keycloak: KeycloakServer) -> Iterator[Realm]:
    realm = Realm(keycloak)
    realm.add({"username": f"user{number}"} for number in range(4))
    yield realm
    realm.drop()


@pytest.fixture
def synced(open_world: Callable[..., World], realm: Realm, keycloak_proxy: KeycloakProxy) -> KeycloakWorld:
    """Users for all accounts, and one user without an account, who would be disabled."""
    made = KeycloakWorld(open_world(67), realm, keycloak_proxy)
    for identifier in (*realm.ids().values(), "stranger"):
        made.build.user(oidc_sub=identifier)
    return made


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import http_session

    monkeypatch.setattr(http_session, "BACKOFF", 0.01)


def check(message: str, *names: str) -> None:
    """Check that the message is one sentence that contains these names."""
    for name in names:
        assert name in message, message
    assert message.endswith(".") and "\n" not in message
    assert len(re.findall(r"\.( |$)", message)) == 1, message
    assert PLANTED not in message


# Credentials and addresses


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ({"client_secret": PLANTED}, ["client_secret", "Controller", "401", "[oidc.controller]"]),
        ({"client_id": "nobody"}, ["client_id", "nobody", "401"]),
        ({"client_id": UNABLE}, [UNABLE, "service account", "view-users"]),
        ({"client_id": NOBODY}, [NOBODY, "view-users", "query-users", "realm-management"]),
        ({"authority": "{url}/realms/nowhere"}, ["404", "authority", "[oidc]"]),
        ({"authority": "{url}/auth/realms/nowhere"}, ["404", "authority", "/auth"]),
        ({"api_base_url": "{url}/auth/admin/realms/nowhere"}, ["404", "api_base_url", "/auth", "[user_search]"]),
        ({"authority": "http://127.0.0.1:1/realms/x"}, ["127.0.0.1:1", "cannot be reached", "authority"]),
        ({"api_base_url": "http://127.0.0.1:1/admin/realms/x"}, ["127.0.0.1:1", "cannot be reached", "api_base_url"]),
        ({"api_base_url": "{url}/realms/x"}, ["api_base_url", "https://HOST/admin/realms/REALM"]),
        ({"authority": "{url}/admin/realms/x"}, ["authority", "https://HOST/realms/REALM"]),
        ({"authority": f"https://user:{PLANTED}@host/realms/x"}, ["authority", "https://HOST/realms/REALM"]),
        ({"authority": "id.example.org/realms/x"}, ["authority", "https://HOST/realms/REALM"]),
    ],
)
def test_wrong_options(synced: KeycloakWorld, override: dict[str, str], names: list[str]) -> None:
    for message in synced.refused(
        keycloak={key: value.format(url=synced.proxy.url) for key, value in override.items()}
    ):
        # Ansible itself takes the values of secrets out of messages.
        check(message, *names)


@pytest.mark.parametrize(
    ("when", "answer", "names"),
    [
        (token, (302, {"Location": "{url}/realms/x"}, b""), ["redirect", "302", "authority"]),
        (count, (301, {"Location": "{url}/stolen"}, b""), ["redirect", "301", "api_base_url"]),
        (token, (200, HTML, b"<h1>Welcome</h1>"), ["Something else than Keycloak", "authority"]),
        (token, (200, JSON, b"{}"), ["Something else than Keycloak", "authority"]),
        (token, (200, JSON, b'["access_token"]'), ["Something else than Keycloak", "authority"]),
        (count, (200, HTML, b"<h1>Welcome</h1>"), ["Something else than Keycloak", "api_base_url", "number"]),
        (count, (200, JSON, b"true"), ["Something else than Keycloak", "number"]),
        (count, (200, JSON, b'{"count": 4}'), ["Something else than Keycloak", "number"]),
        (page, (200, HTML, b"<h1>Welcome</h1>"), ["Something else than Keycloak", "list"]),
        (page, (200, JSON, b'[{"id": "1", "enabled": true'), ["Something else than Keycloak", "list"]),
        (page, (200, JSON, b'{"id": "1", "enabled": true}'), ["Something else than Keycloak", "list"]),
        (page, (200, JSON, b'[{"id": "1"}]'), ["Something else than Keycloak", "without id or without enabled"]),
        (page, (200, JSON, b"[1]"), ["Something else than Keycloak", "without id or without enabled"]),
        (page, (204, JSON, b""), ["Something else than Keycloak", "list"]),
        (page, (200, JSON, b"[]"), ["may be incomplete", "4 counted before, 0 listed, 4 counted after"]),
        (token, (500, HTML, b""), ["500", "dump_failed_responses"]),
        (page, (503, HTML, b""), ["503", "dump_failed_responses"]),
        (page, (403, JSON, b""), ["view-users", "realm-management"]),
        (page, (418, JSON, b""), ["418", "dump_failed_responses", "api_base_url"]),
    ],
)
def test_answers_of_other_kinds(
    synced: KeycloakWorld, when: Any, answer: tuple[int, dict[str, str], bytes], names: list[str]
) -> None:
    status, headers, body = answer
    headers = {name: value.format(url=synced.proxy.url) for name, value in headers.items()}
    synced.proxy.fault(lambda request: (status, headers, body), when=when)
    for message in synced.refused():
        check(message, *names)
    assert not [request for request in synced.proxy.requests if "stolen" in request.path]


def test_dump_of_failed_answers(synced: KeycloakWorld) -> None:
    seen: dict[str, str] = {}

    def fail(request: Any) -> tuple[int, dict[str, str], bytes]:
        seen["token"] = request.headers["Authorization"].removeprefix("Bearer ")
        text = f"<h1>Proxy Error 17</h1>client_secret={synced.realm.secret} Authorization: Bearer {seen['token']}"
        return 502, HTML, text.encode()

    synced.proxy.fault(fail, when=page)
    quiet = synced.run()
    loud = synced.run(dump_failed_responses=True)
    assert quiet["failed"] and loud["failed"]
    assert "Proxy Error 17" not in str(quiet)
    dumped = [line for line in loud["log"] if "Proxy Error 17" in line]
    assert len(dumped) == 5
    for line in dumped:
        assert line.startswith("[WARN ] Failed answer to GET /admin/realms/")
        assert "users first=0 max=100 " in line and "HTTP status 502, body: Proxy Error 17 (removed)" in line
    assert synced.realm.secret not in str(loud) and seen["token"] not in str(loud)


@pytest.mark.parametrize("status", [200, 502])
def test_dump_shows_no_accounts(synced: KeycloakWorld, status: int) -> None:
    """The dump leaves out a list of accounts, even if it is cut off or has a wrong content type."""
    accounts = json.dumps([{"username": PLANTED, "email": f"{PLANTED}@example.org"}] * 5000).encode()
    for body in (accounts, accounts[:-1], b"\xef\xbb\xbf" + accounts, accounts.decode().encode("utf-16")[:-1]):
        synced.proxy.clear_faults()
        synced.proxy.fault(lambda request, body=body: (status, HTML, body), when=page)
        result = synced.run(dump_failed_responses=True)
        assert result["failed"] and "Failed answer" in "".join(result["log"])
        assert PLANTED not in str(result).replace("\0", "")


def test_dump_of_a_refusal(synced: KeycloakWorld) -> None:
    result = synced.run(dump_failed_responses=True, keycloak={"client_secret": PLANTED})
    (line,) = [line for line in result["log"] if line.startswith("[WARN ]")]
    assert "POST" in line and "HTTP status 401" in line and "Invalid client or Invalid client credentials" in line
    assert PLANTED not in str(result)


# The settings file


def sections(options: dict[str, str], **changed: dict[str, Any] | None) -> str:
    content: dict[str, dict[str, Any] | None] = {
        "oidc": {"authority": options["authority"]},
        "oidc.controller": {"client_id": options["client_id"], "client_secret": options["client_secret"]},
        "user_search": {"backend": "keycloak_webapi", "api_base_url": options["api_base_url"]},
    }
    content |= changed
    return "".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        for name, values in content.items()
        if values is not None
    )


def test_settings_file(synced: KeycloakWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, config = synced.keycloak, tmp_path / "controller.toml"
    url = synced.world.options["database_url"]

    def run(text: str, **options: Any) -> dict[str, Any]:
        config.write_text(text)
        return run_module(JOB, check_mode=True, database_url=url, controller_config=str(config), **options)

    def works(result: dict[str, Any]) -> None:
        assert not result.get("failed"), result["msg"]
        assert result["plan"]["users_disabled"]["count"] == 1

    works(run(sections(good)))
    wrong = {"client_id": "nobody", "client_secret": PLANTED}
    credentials = {"client_id": good["client_id"], "client_secret": good["client_secret"]}
    search = {"backend": "keycloak_webapi", "api_base_url": good["api_base_url"]}
    works(run(sections(good, **{"oidc.controller": wrong}, user_search={**search, **credentials})))
    nowhere = {"authority": f"{synced.proxy.url}/realms/nowhere"}
    works(run(sections(good, oidc=nowhere, **{"oidc.controller": {**credentials, "authority": good["authority"]}})))
    assert "401" in run(sections(good, **{"oidc.controller": wrong}))["msg"]
    works(run(sections(good, **{"oidc.controller": wrong}), keycloak=credentials))
    monkeypatch.setenv("OPENTALK_CTRL_OIDC__CONTROLLER__CLIENT_ID", good["client_id"])
    monkeypatch.setenv("OPENTALK_CTRL_OIDC__CONTROLLER__CLIENT_SECRET", good["client_secret"])
    monkeypatch.setenv("OPENTALK_CTRL_USER_SEARCH__EXTERNAL_ID_USER_ATTRIBUTE_NAME", "fromEnvironment")
    # No account has this attribute, so that a user who would be disabled is no reason to go on.
    assert "fromEnvironment" in run(sections(good, **{"oidc.controller": wrong}))["msg"]
    works(run(sections(good), keycloak={"external_id_user_attribute_name": ""}))


def test_deprecated_section(synced: KeycloakWorld, tmp_path: Path) -> None:
    config = tmp_path / "controller.toml"
    url = synced.world.options["database_url"]
    values = {
        "base_url": f"{synced.proxy.url}/", "realm": synced.realm.name, "client_id": synced.keycloak["client_id"],
        "client_secret": synced.keycloak["client_secret"], "external_id_user_attribute_name": "externalId",
    }  # fmt: skip

    def run(text: str) -> dict[str, Any]:
        config.write_text(text)
        return run_module(JOB, check_mode=True, database_url=url, controller_config=str(config))

    only = sections(synced.keycloak, keycloak=values, oidc=None, **{"oidc.controller": None}, user_search=None)
    result = run(only)
    assert "attribute externalId" in result["msg"] and result["plan"]["users_disabled"]["count"] == 1
    warnings = [line for line in result["log"] if line.startswith("[WARN ]")]
    assert "[keycloak]" in warnings[0] and str(config) in warnings[0] and "externalId" in warnings[1]
    # Where the sections that replace it are there, it is not looked at.
    both = run(sections(synced.keycloak, keycloak={"base_url": "nonsense"}))
    assert not both.get("failed") and "deprecated" not in str(both["log"])


GOOD = {
    "authority": "https://id.example.org/realms/OPENTALK",
    "api_base_url": "https://id.example.org/admin/realms/OPENTALK",
    "client_id": "Controller",
    "client_secret": PLANTED,
}
SEARCH = {"backend": "keycloak_webapi", "api_base_url": GOOD["api_base_url"]}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["[oidc]", "option keycloak"]),
        (sections(GOOD, user_search=None), ["[user_search]", "option keycloak"]),
        (sections(GOOD, user_search={"backend": "keycloak_webapi"}), ["api_base_url", "[user_search]"]),
        (
            sections(GOOD, user_search={**SEARCH, "backend": "disabled"}),
            ["backend", "[user_search]", "keycloak_webapi"],
        ),
        (sections(GOOD, user_search={"api_base_url": "x"}), ["backend", "[user_search]", "keycloak_webapi"]),
        (sections(GOOD, user_search={**SEARCH, "api_base_url": [5]}), ["api_base_url", "[user_search]", "string"]),
        (sections(GOOD, user_search={**SEARCH, "api_base_url": "https://x/?y"}), ["api_base_url", "[user_search]"]),
        (sections(GOOD, oidc={"authority": "https:x"}), ["authority", "[oidc]", "https://HOST/realms/REALM"]),
        (sections(GOOD, oidc={}), ["authority", "[oidc]"]),
        (sections(GOOD, **{"oidc.controller": {"client_id": "x"}}), ["client_secret", "[oidc.controller]"]),
        (f'user_search = "{PLANTED}"', ["[user_search]", "section"]),
        (f'[oidc]\ncontroller = "{PLANTED}"\n[user_search]\nbackend = "x"', ["[oidc.controller]", "section"]),
        ('[keycloak]\nbase_url = "https://x"', ["realm", "[keycloak]"]),
        ('[keycloak]\nbase_url = "x"\nrealm = "y"', ["base_url", "[keycloak]"]),
        (f'[keycloak]\nbase_url = "https://x"\nrealm = "y"\nclient_secret = "{PLANTED}"', ["client_id", "[keycloak]"]),
    ],
)
def test_wrong_settings_file(tmp_path: Path, text: str, names: list[str]) -> None:
    config = tmp_path / "controller.toml"
    config.write_text(text)
    url = "postgres://u:p@127.0.0.1:1/opentalk"
    result = run_module(JOB, database_url=url, controller_config=str(config))
    assert result["failed"] and PLANTED not in str(result)
    check(result["msg"], str(config), *names)


@pytest.mark.parametrize("size", [0, 10001, -1])
def test_page_size_out_of_bounds(synced: KeycloakWorld, size: int) -> None:
    for message in synced.refused(keycloak_api_page_size=size):
        check(message, "keycloak_api_page_size", "at least 1" if size < 1 else "at most 10000")
    assert not synced.proxy.requests
