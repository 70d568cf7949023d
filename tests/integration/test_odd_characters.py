# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Characters that steer terminals, passwords inside addresses, and hosts whose locale is not UTF-8."""

from __future__ import annotations

import json
import syslog
import unicodedata
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import http_session

from support import locales
from support.builders import Builder
from support.cloud_server import CloudServer
from support.keycloak import KeycloakProxy, KeycloakServer, Realm
from support.keycloak_stand_in import KeycloakStandIn
from support.messages import is_sentence
from support.modules import run_module
from support.recording_server import Request
from support.world import World

Open = Callable[..., World]
# C1, separators of lines and paragraphs, overrides and isolates of direction, and a character of an astral plane.
ODD = "\x9b31m \x85 \u2028 \u2029 \u202e \u2066 \ufeff \U000e0041"
SEEN = "\\x9b31m \\x85 \\u2028 \\u2029 \\u202e \\u2066 \\ufeff \\U000e0041"
# Of these only a record in the database can have one: no path with them is sent to a cloud.
CONTROLS = "\x1b[31m \r\n \x7f"
PLANTED = "pl4nted"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lines that go to the journal."""
    written: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda *arguments: written.append(arguments[-1]))
    return written


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(key)
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def odd(text: str) -> list[str]:
    return [character for character in text if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def check(result: dict[str, Any]) -> None:
    """Check that no text of a result has a character that is not to be seen, except for line breaks between YAML."""
    for entry in result.get("diff", ()):
        for side in ("before", "after"):
            yaml.safe_load(entry[side])
            entry[side] = entry[side].replace("\n", "")
    for text in texts(result):
        assert not odd(text), ascii(text)


def expired(build: Builder, path: str, record: dict[str, Any]) -> str:
    then = datetime.now(timezone.utc) - timedelta(days=90)
    return build.shared_folder(build.event(build.user(), starts_at=then, ends_at=then), path=path, record=record)


def test_paths(open_world: Open, open_cloud: Callable[..., CloudServer], tmp_path: Path, lines: list[str]) -> None:
    world, cloud = open_world(), open_cloud()
    world.cloud, build = cloud, Builder(world.connection)
    path, outside = f"{cloud.directory}/{ODD}", f"{CONTROLS}{ODD}"
    goes = expired(build, path, cloud.shared_folder(path))
    stays = expired(build, outside, cloud.shared_folder("x"))
    world.query('CREATE TABLE "notes \u202e" (event_id uuid NOT NULL REFERENCES events ON DELETE CASCADE)')
    world.query('INSERT INTO "notes \u202e" VALUES (%s)', (goes,))
    log = tmp_path / "audit.jsonl"
    for check_mode in (True, False):
        result = world.run("event_cleanup", check_mode=check_mode, diff=True, audit_log=str(log))
        (left,) = result["shared_folders_left_behind"]
        assert left["event_id"] == stays and left["path"] == f"\\x1b[31m \\r\\n \\x7f{SEEN}"
        assert check_mode or any(SEEN in line for line in result["log"]), result["log"]
        # The diff is YAML with escapes, which has the exact path.
        shown = {entry["before_header"]: yaml.safe_load(entry["before"]) for entry in result["diff"]}
        assert shown["rows_deleted"]["rows_deleted"]["notes \u202e"] == 1
        assert shown["shared_folders"]["shared_folders"]["items"][0]["path"] == path
        assert result["plan"]["shared_folders"]["items"][0]["path"] == f"{cloud.directory}/{SEEN}"
        assert result["plan"]["rows_deleted"]["notes \\u202e"] == 1
        check(result)
    assert world.ids("events") == set() and path not in cloud.folders
    assert lines and not any(map(odd, lines))
    # The audit log has the exact path, in ASCII.
    written = [json.loads(line) for line in log.read_bytes().decode("ascii").splitlines()]
    assert [line["path"] for line in written if line["event"] == "left_behind"] == [outside]
    period = {"from": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}
    read = run_module("audit_log_info", paths=[str(log)], **period)
    assert stays in str(read)
    check(read)


def test_what_servers_say(open_world: Open, monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    monkeypatch.setattr(http_session, "BACKOFF", 0.01)
    world, said = open_world(), CONTROLS + ODD
    world.query(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0]; END $$"
    )
    world.query("CREATE TRIGGER refuse BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION refuse('" + said + "')")
    Builder(world.connection).user()
    body = json.dumps({"error": said, "errorMessage": said}, ensure_ascii=False).encode()
    with KeycloakStandIn() as stand_in, KeycloakProxy(stand_in.url) as proxy:
        realm = Realm(KeycloakServer(stand_in))
        realm.add([{"username": "user"}])
        options: dict[str, Any] = {
            "database_url": world.options["database_url"], "max_affected_percent": 100, "dump_failed_responses": True,
        }  # fmt: skip
        refused = run_module("keycloak_account_sync", **options, keycloak=realm.options(proxy.url), diff=True)
        proxy.fail(500, lambda request: request.operation == "Page", body=body)
        failed = run_module("keycloak_account_sync", **options, keycloak=realm.options(proxy.url))
    assert refused["failed"] and failed["failed"]
    check(refused)
    check(failed)

    def answer(request: Request) -> tuple[int, dict[str, str], bytes]:
        return 400, {"Content-Type": "application/xml"}, f"<Error><Code>{ODD}</Code></Error>".encode()

    world.proxy.fault(answer, lambda request: request.operation == "ListObjectsV2")
    stored = world.run("sync_storage_files")
    assert stored["failed"]
    check(stored)
    assert lines and not any(map(odd, lines))


def test_passwords_inside_addresses(open_world: Open, tmp_path: Path, lines: list[str]) -> None:
    world = open_world()
    database = world.options["database_url"]
    address = f"http://user:{PLANTED}/{PLANTED}@127.0.0.1:1"
    storage = {**world.options["object_storage"], "uri": address}
    folder = {"provider": "nextcloud", "url": address, "username": "u", "password": "p"}
    keycloak = {
        "authority": f"{address}/realms/x", "api_base_url": f"{address}/admin/realms/x", "client_id": "x",
        "client_secret": "y",
    }  # fmt: skip
    runs: dict[str, dict[str, Any]] = {
        "sync_storage_files": {"object_storage": storage},
        "sync_shared_folders": {"shared_folder": folder},
        "keycloak_account_sync": {"keycloak": keycloak},
        "self_check": {"object_storage": storage, "shared_folder": folder, "keycloak": keycloak, "connections": True},
    }
    sections = {
        "minio": storage, "shared_folder": folder, "oidc": {"authority": keycloak["authority"]},
        "oidc.controller": {"client_id": "x", "client_secret": "y"},
        "user_search": {"backend": "keycloak_webapi", "api_base_url": keycloak["api_base_url"]},
    }  # fmt: skip
    config = tmp_path / "controller.toml"
    config.write_text(
        "".join(
            f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
            for name, values in sections.items()
        )
    )
    for job, options in runs.items():
        for given in (options, {"controller_config": str(config)}):
            result = run_module(job, database_url=database, timeout=30, check_mode=True, **given)
            assert PLANTED not in json.dumps(result), job
            # self_check fails only where a job is interrupted.
            assert job == "self_check" or (result["failed"] and is_sentence(result["msg"])), result
    assert any("127.0.0.1:1" in line for line in lines)
    assert not any(PLANTED in line for line in lines)


def test_paths_where_the_locale_is_not_utf_8(open_world: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = open_world()
    world.fill(events=44)
    place = tmp_path / "ü 漢"
    place.mkdir()
    log, config, authorities = place / "ü.jsonl", place / "Ä.toml", place / "é.pem"
    config.write_text(f'[database]\nurl = "{world.options["database_url"]}"\n', encoding="utf-8")
    authorities.write_text("no certificate")
    with locales.latin_1(monkeypatch):
        gone = {"database_url": None, "controller_config": str(config), "ca_path": str(authorities)}
        result = world.run_in_process("event_cleanup", audit_log=str(log), **gone)
        assert not result.get("failed"), result["msg"]
        missing = world.run_in_process("event_cleanup", **{**gone, "controller_config": f"{config}x"})
        assert f"{config}x does not exist" in missing["msg"]
        monkeypatch.chdir(place)
        monkeypatch.setenv("HOME", str(place))
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        nowhere = world.run_in_process("event_cleanup", **{**gone, "controller_config": None})
        assert f"{place}/.config/opentalk/controller.toml" in nowhere["msg"]
        (place / ".config" / "opentalk").mkdir(parents=True)
        config.rename(place / ".config" / "opentalk" / "controller.toml")
        found = world.run_in_process("event_cleanup", **{**gone, "controller_config": None})
        assert not found.get("failed"), found["msg"]
    assert {file.name for file in place.iterdir()} == {log.name, authorities.name, ".config"}
    assert json.loads(log.read_text().splitlines()[-1])["event"] == "run_ended"
