# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""self_check with connections: all faults at once, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.cloud_server import CloudServer
from support.keycloak import KeycloakProxy, Realm
from support.keycloak_world import KeycloakWorld
from support.modules import run_module
from support.upstream import SELF_CHECK
from support.world import World

NAMES = ["packages", "settings", "database", "object storage", "shared folders", "Keycloak"]


def statuses(result: dict[str, Any]) -> list[str]:
    assert [check["name"] for check in result["connections"]] == NAMES
    return [check["status"] for check in result["connections"]]


def details(result: dict[str, Any], name: str) -> str:
    return next(check["details"] for check in result["connections"] if check["name"] == name)


@pytest.mark.parametrize("provider", ["nextcloud", "opencloud"])
def test_everything_is_looked_at_and_nothing_is_changed(
    provider: str,
    open_world: Callable[..., World],
    open_cloud: Callable[..., CloudServer],
    realm: Realm,
    keycloak_proxy: KeycloakProxy,
) -> None:
    world, cloud = open_world(), open_cloud(provider)
    accounts = KeycloakWorld(world, realm, keycloak_proxy)
    realm.add([{"username": "user"}])
    accounts.build.user()
    cloud.make_folder(cloud.directory)
    before = world.rows(), world.objects(), set(cloud.folders), realm.accounts()
    options = {**world.options, "shared_folder": cloud.settings, "keycloak": accounts.keycloak}

    for check_mode in (True, False):
        result = run_module("self_check", connections=True, check_mode=check_mode, **options)
        assert statuses(result) == ["ok"] * 6, result["connections"]
        assert not result["changed"] and not result.get("failed")
        assert "migration 67" in details(result, "database")
        assert "psycopg2" in details(result, "packages") and "boto3" in details(result, "packages")
        lines = SELF_CHECK.splitlines()
        end = lines.index("[INFO ] Job finished successfully") - 1
        assert result["log"][:end] == lines[:end]
        assert not [line for line in result["log"][end:] if line.startswith(("[WARN ]", "[ERROR]"))]

    assert (world.rows(), world.objects(), set(cloud.folders), realm.accounts()) == before
    assert not world.proxy.writes and not cloud.writes
    assert {request.operation for request in keycloak_proxy.writes} <= {"Token"}


def test_all_faults_show_at_once(
    open_world: Callable[..., World], open_cloud: Callable[..., CloudServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, cloud = open_world(), open_cloud()
    world.query(
        "ALTER TABLE rooms ENABLE ROW LEVEL SECURITY;"
        "DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN PASSWORD 'planted-password';"
        "GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO weak; REVOKE DELETE ON events FROM weak;"
        "ALTER ROLE weak SET default_transaction_read_only = on"
    )
    url = world.options["database_url"]
    weak = url.replace(url.split("//")[1].split("@")[0], "weak:planted-password")
    storage = {**world.options["object_storage"], "bucket": "not-there"}
    folders = {**cloud.settings, "password": "planted-secret"}

    result = run_module(
        "self_check", connections=True, database_url=weak, object_storage=storage, shared_folder=folders,
        keycloak={"authority": "http://127.0.0.1:1/realms/talk", "api_base_url": "http://127.0.0.1:1/admin/realms/talk",
                  "client_id": "a", "client_secret": "planted-key"},
    )  # fmt: skip

    assert result["failed"], result
    assert statuses(result) == ["ok", "ok", "failed", "failed", "failed", "failed"]
    assert "row-level security of table rooms" in details(result, "database")
    assert "events: DELETE" in details(result, "database")
    assert "default_transaction_read_only" in details(result, "database")
    assert "not-there" in details(result, "object storage")
    assert "refused the user name or the password" in details(result, "shared folders")
    assert result["msg"] == (
        "Jobs cannot use database, object storage, shared folders, Keycloak; mend what connections in the result says about it."
    )
    assert "planted" not in str({key: value for key, value in result.items() if key != "invocation"})
    world.query("REASSIGN OWNED BY weak TO CURRENT_USER; DROP OWNED BY weak; DROP ROLE weak")


def test_what_is_not_set_is_said(
    open_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    world = open_world()
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    result = run_module("self_check", connections=True, **world.options)
    assert statuses(result) == ["ok", "ok", "ok", "ok", "not set", "not set"] and not result.get("failed")
    assert str(tmp_path / "controller.toml") in details(result, "settings")

    nothing = run_module("self_check", connections=True)
    assert statuses(nothing)[2:4] == ["failed", "failed"] and nothing["failed"]
    assert str(tmp_path / "config.toml") in details(nothing, "database")
    refused = run_module("event_cleanup")
    assert "/etc/opentalk/controller.toml" in refused["msg"]
    assert "option controller_config (variable opentalk_maintenance_controller_config)" in refused["msg"]
    assert "option database_url (variable opentalk_maintenance_database_url)" in refused["msg"]
    wrong = run_module("event_cleanup", days_since_last_occurrence=0)
    assert "option days_since_last_occurrence (variable event_cleanup_days_since_last_occurrence)" in wrong["msg"]
