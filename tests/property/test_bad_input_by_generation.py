# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated wrong settings files, parameters and server answers: a job ends with a sentence, never with a traceback.

OPENTALK_TEST_SEED is the seed. Each case has its own source of random numbers, and a failure names its case.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base import options
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOBS as REGISTERED
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import http_session, object_storage_client

from support.builders import Builder
from support.cloud_server import CloudServer
from support.disorder import ADDRESSES, TEXTS, Disorder
from support.keycloak import KeycloakProxy, KeycloakServer, Realm
from support.keycloak_stand_in import KeycloakStandIn
from support.keycloak_world import KeycloakWorld
from support.messages import is_sentence
from support.modules import run_module
from support.recording_server import RecordingServer, Request
from support.tangle import SEED_VARIABLE, first_seed
from support.world import World

SEED = first_seed()
# How many cases of each kind end as a sentence of the job itself, at least; in the others it succeeds, or Ansible words the
# refusal of a type.
SAID = {
    "settings": 600, "paths": 32, "parameters": 30, "listing": 60, "deletion": 45, "nextcloud": 28, "opencloud": 14,
    "keycloak": 85, "object storage": 67, "shared folders": 67, "addresses of keycloak": 67, "storage": 32, "cloud": 1,
}  # fmt: skip
PLANTED = "pl4nted-s3cret"
NOWHERE = f"postgres://user:{PLANTED}@127.0.0.1:1/opentalk"
JOBS = [job for job in REGISTERED if job != "self_check"]
LONG_AGO = datetime.now(timezone.utc) - timedelta(days=90)
Open = Callable[..., World]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs make no pauses between attempts."""
    monkeypatch.setattr(http_session, "BACKOFF", 0.001)
    monkeypatch.setattr(http_session, "ATTEMPTS", 2)
    monkeypatch.setattr(object_storage_client, "ATTEMPTS", 1)


def cases(kind: str, number: int) -> Iterator[Disorder]:
    """A source of disorder for each case. The output of a failed test names the failed case last."""
    print(f"To repeat this: {SEED_VARIABLE}={SEED} tests/all tests/property/{Path(__file__).name}")
    for case in range(number):
        print(f"{kind} {case}")
        yield Disorder(random.Random(f"{kind} {case} of {SEED}"))


def check(result: dict[str, Any], *, may_succeed: bool = False) -> bool:
    """Whether the job itself reported the error. Ansible has its own words for wrong types."""
    shown = json.dumps(result)
    assert "Traceback" not in shown and PLANTED not in shown
    assert all(line.isprintable() for line in result.get("log", ()))
    if not result.get("failed"):
        assert may_succeed, result
        return False
    assert result["msg"].strip()
    if "log" not in result:
        return False
    assert is_sentence(result["msg"]), result["msg"]
    assert all(failure["reason"].isprintable() for failure in result.get("failures", ()))
    return True


def enough(kind: str, said: int) -> None:
    print(f"{kind}: {said} sentences")
    assert said >= SAID[kind]


def test_a_thousand_sentences() -> None:
    assert sum(SAID.values()) >= 1000


# Settings

SETTINGS: dict[str, Any] = {
    "database": {"url": NOWHERE},
    "minio": {
        "uri": "http://127.0.0.1:1", "bucket": "controller", "access_key": "key", "secret_key": PLANTED,
        "region": "local", "force_path_style": True,
    },
    "oidc": {
        "authority": "https://id.invalid/realms/OPENTALK",
        "controller": {"client_id": "Controller", "client_secret": PLANTED},
    },
    "user_search": {
        "backend": "keycloak_webapi", "api_base_url": "https://id.invalid/admin/realms/OPENTALK",
        "external_id_user_attribute_name": "external",
    },
    "shared_folder": {
        "provider": "nextcloud", "url": "http://127.0.0.1:1", "username": "user", "password": PLANTED,
        "directory": "opentalk",
    },
}  # fmt: skip
DATABASE_URLS = (
    "postgres://", "postgres:///", "postgres://@", "postgres://:@/", "postgres://[::1", "postgres://h:port/db",
    "postgres://h:-1/db", "postgres://h:99999999/db", "postgres://h/db?nonsense=1", "postgres://h/db?sslmode=perhaps",
    f"postgres://u:{PLANTED}/x@127.0.0.1:1/db", f"postgres://u:{PLANTED}@x@127.0.0.1:1/db",
    f"postgres:///u:{PLANTED}@127.0.0.1/db", f"postgres://u:1/{PLANTED}@127.0.0.1/db", "postgres://u:%@h/db",
    "postgres://127.0.0.1:1/a%0Ab", "postgres://%00/db", "postgres://\0", "postgres://127.0.0.1:1/" + "x" * 9000,
    "postgresql://a\nb@127.0.0.1:1/db", "postgres://127.0.0.1:1/db?sslrootcert=/nonexistent&sslmode=verify-full",
    "postgres://127.0.0.1:1/db?connect_timeout=x", "postgres://127.0.0.1:1/db?client_encoding=x", "mysql://h/db",
    "postgres://127.0.0.1:1,127.0.0.1:2/db?target_session_attrs=any", "postgres://é.invalid/db", "postgres://a..b/db",
)  # fmt: skip


def test_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "controller.toml"
    said = 0
    for disorder, job in zip(cases("settings", 600), itertools.cycle(JOBS), strict=False):
        settings = disorder.nested(SETTINGS) if disorder.choose.random() < 0.5 else json.loads(json.dumps(SETTINGS))
        section = disorder.choose.choice(list(SETTINGS))
        if disorder.choose.random() < 0.4 and isinstance(settings, dict) and isinstance(settings.get(section), dict):
            key = disorder.choose.choice(list(SETTINGS[section]))
            odd = DATABASE_URLS if section == "database" else (*ADDRESSES, *TEXTS)
            settings[section][key] = disorder.choose.choice(odd)
        text = _toml(settings).encode(errors="replace")
        config.write_bytes(disorder.text(text) if disorder.choose.random() < 0.3 else text)
        said += check(run_module(job, controller_config=str(config)))
    enough("settings", said)


def test_paths_of_settings(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    names = ["folder", "empty", "fifo", "missing", "mis\nsing", "a" * 300, "a\0b", "ü\u2028", "folder/x", "empty/x"]
    paths = [str(tmp_path / name) for name in names] + [
        "/dev/zero",
        "/dev/null",
        "/proc/self/mem",
        "",
        "~nobody/x",
        "$X",
    ]
    said = 0
    for path in paths:
        said += check(run_module("room_cleanup", controller_config=path))
        said += check(run_module("room_cleanup", database_url=NOWHERE, object_storage=SETTINGS["minio"], ca_path=path))
    enough("paths", said)


def _toml(settings: Any) -> str:
    if not isinstance(settings, dict):
        return str(settings)
    lines = []
    for name, value in settings.items():
        if isinstance(value, dict):
            lines.append(f"[{name}]")
            lines += [f"{json.dumps(key)} = {_value(inner)}" for key, inner in value.items()]
        else:
            lines.insert(0, f"{json.dumps(name)} = {_value(value)}")
    return "\n".join(lines)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return {None: "1979-05-27T07:32:00Z", True: "true", False: "false"}.get(value, str(value))


# Parameters and options


def test_parameters(open_world: Open) -> None:
    world = open_world(67)
    before = world.rows()
    said = 0
    for disorder, job in zip(cases("parameters", 400), itertools.cycle(JOBS), strict=False):
        own = list(REGISTERED[job].parameters.properties)
        names = [*own, *own, *options.RUN, *options.BATCHES, *options.REPORT, *options.SAFETY]
        if job not in ("sync_storage_files", "invite_cleanup"):
            names += ["validate_certs"]
        chosen = {name: disorder.thing() for name in disorder.choose.sample(names, disorder.choose.randint(1, 2))}
        if job == "invite_cleanup" and disorder.choose.random() < 0.5:
            chosen = {"expired_before": _moment(disorder)}
        given = (
            {**world.options_of(job), "keycloak": KEYCLOAK} if job == "keycloak_account_sync" else world.options_of(job)
        )
        given = {
            name: value for name, value in given.items() if job != "keycloak_account_sync" or name in KEYCLOAK_TAKES
        }
        result = run_module(job, check_mode=True, **{**given, **chosen})
        said += check(result, may_succeed=True)
    enough("parameters", said)
    assert world.rows() == before and world.proxy.writes == []


KEYCLOAK = {
    "authority": "http://127.0.0.1:1/realms/x", "api_base_url": "http://127.0.0.1:1/admin/realms/x",
    "client_id": "x", "client_secret": PLANTED,
}  # fmt: skip
KEYCLOAK_TAKES = {"database_url", "keycloak"}


_ODD_PARTS = ("", "99", "-99", "T24", ":60", ".", "Z", "+99:99", "-00:00", "٣", " ", "W5", "0000")


def _moment(disorder: Disorder) -> str:
    parts = ["2026", "-01", "-31", "T12", ":00", ":59", ".5", "+01:00"]
    for _unused in range(disorder.choose.randint(1, 2)):
        place = disorder.choose.randrange(len(parts))
        parts[place] = disorder.choose.choice(_ODD_PARTS)
    return "".join(parts)


# Answers


def broken(server: RecordingServer, disorder: Disorder, when: Callable[[Request], bool]) -> None:
    """From now on, the server gives broken answers to these requests. The same request always gets the same answer."""
    server.clear_faults()
    server.fault(lambda request: disorder.answer(server.answer(request)), when)


def test_answers_of_the_storage_to_listings(open_world: Open) -> None:
    world = open_world(67)
    build = Builder(world.connection)
    build.assets(build.room(build.user()), 4, size=3)
    world.upload()
    world.storage.upload(world.bucket, [("assets/0", 1), ("other", 2)])
    before = world.rows()
    said = 0
    for disorder in cases("listing", 120):
        broken(world.proxy, disorder, lambda request: True)
        said += check(world.run("sync_storage_files", check_mode=True, timeout=20), may_succeed=True)
    enough("listing", said)
    assert world.rows() == before


def test_answers_of_the_storage_to_deletions(open_world: Open) -> None:
    world = open_world(67)
    build = Builder(world.connection)
    owner = build.user()
    said = 0
    for disorder in cases("deletion", 80):
        while len(world.ids("events")) < 3:
            build.assets(build.room_of(build.event(owner, starts_at=LONG_AGO, ends_at=LONG_AGO)), 2)
        broken(world.proxy, disorder, lambda request: request.operation == "DeleteObjects")
        result = world.run("event_cleanup", timeout=20, temporary_indexes=False)
        said += check(result, may_succeed=True)
        # What is said to be gone is gone, and nothing else.
        assert result["done"]["events"]["count"] == 3 - len(world.ids("events"))
        assert len(world.ids("assets")) == 2 * len(world.ids("events"))
    enough("deletion", said)


@pytest.mark.parametrize("provider", ["nextcloud", "opencloud"])
def test_answers_of_the_cloud(open_world: Open, open_cloud: Callable[..., CloudServer], provider: str) -> None:
    world, cloud = open_world(67), open_cloud(provider)
    world.cloud = cloud
    build = Builder(world.connection)
    owner = build.user()
    cloud.make_folder(cloud.directory)
    said = 0
    for disorder in cases(provider, 80):
        if not world.ids("events"):
            path = f"{cloud.directory}/x"
            build.shared_folder(
                build.event(owner, starts_at=LONG_AGO, ends_at=LONG_AGO), path=path, record=cloud.shared_folder(path)
            )
        broken(cloud, disorder, lambda request: True)
        fail = disorder.choose.random() < 0.7
        result = world.run(
            "event_cleanup",
            timeout=20,
            temporary_indexes=False,
            check_mode=disorder.choose.random() < 0.2,
            fail_on_shared_folder_deletion_error=fail,
        )
        said += check(result, may_succeed=True)
        for left in result["shared_folders_left_behind"]:
            assert left["reason"].isprintable()
    enough(provider, said)


def test_records_of_shared_folders(open_world: Open, open_cloud: Callable[..., CloudServer]) -> None:
    world, cloud = open_world(67), open_cloud()
    world.cloud = cloud
    build = Builder(world.connection)
    owner = build.user()
    record = {"type": "nextcloud", "write_share_id": "1", "read_share_id": "2"}
    for disorder in cases("record", 40):
        text = json.dumps(disorder.nested(record)).replace("\\u0000", "").replace("\\ud800", "")
        odd = json.loads(text, parse_constant=str)  # as much of it as a column of this type takes
        event = build.event(owner, starts_at=LONG_AGO, ends_at=LONG_AGO)
        build.shared_folder(event, path=f"{cloud.directory}/x", record=record)
        world.query("UPDATE event_shared_folders SET provider_data = %s", (json.dumps(odd),))
        check(world.run("event_cleanup", temporary_indexes=False), may_succeed=True)
        assert world.ids("events") == set()


def test_answers_of_keycloak(open_world: Open) -> None:
    with KeycloakStandIn() as stand_in:
        realm = Realm(KeycloakServer(stand_in))
        ids = realm.add({"username": f"user{number}", "attributes": {"external": ["x"]}} for number in range(3))
        with KeycloakProxy(stand_in.url) as proxy:
            synced = KeycloakWorld(open_world(67), realm, proxy)
            for identifier in (*ids.values(), "stranger"):
                synced.build.user(oidc_sub=identifier)
            before = synced.world.rows()
            said = 0
            for disorder in cases("keycloak", 120):
                operation = disorder.choose.choice(("Token", "Count", "Page", "Page"))
                broken(proxy, disorder, lambda request, operation=operation: request.operation == operation)
                result = synced.run(
                    check_mode=True,
                    timeout=20,
                    keycloak_api_page_size=disorder.choose.choice((2, 100)),
                    dump_failed_responses=disorder.choose.random() < 0.5,
                    keycloak={"external_id_user_attribute_name": disorder.choose.choice(("", "external"))},
                )
                said += check(result, may_succeed=True)
            enough("keycloak", said)
            assert synced.world.rows() == before


@pytest.mark.parametrize("system", ["object storage", "shared folders", "keycloak"])
def test_addresses(open_world: Open, system: str) -> None:
    world = open_world(67)
    build = Builder(world.connection)
    event = build.event(build.user(), starts_at=LONG_AGO, ends_at=LONG_AGO)
    build.assets(build.room_of(event), 1)
    record = {"type": "nextcloud", "write_share_id": "1", "read_share_id": "2"}
    build.shared_folder(event, path="opentalk/x", record=record)
    before = world.rows()
    said = 0
    for address in (*ADDRESSES, *TEXTS):
        print(repr(address)[:99])
        given = {**world.options, "timeout": 20}
        if system == "object storage":
            given["object_storage"] = {**world.options["object_storage"], "uri": address}
            result = run_module("sync_storage_files", **given)
        elif system == "shared folders":
            given["shared_folder"] = {**SETTINGS["shared_folder"], "url": address}
            result = run_module("event_cleanup", fail_on_shared_folder_deletion_error=True, **given)
        else:
            settings = {**KEYCLOAK, "authority": f"{address}/realms/x", "api_base_url": f"{address}/admin/realms/x"}
            result = run_module("keycloak_account_sync", database_url=given["database_url"], keycloak=settings)
        said += check(result)
    enough({"keycloak": "addresses of keycloak"}.get(system, system), said)
    assert world.rows() == before


@pytest.mark.parametrize("fields", [("bucket",), ("access_key", "secret_key"), ("region",)])
def test_odd_settings_of_the_storage(open_world: Open, fields: tuple[str, ...]) -> None:
    world = open_world(67)
    said = 0
    for text in TEXTS:
        said += check(
            world.run(
                "sync_storage_files", object_storage={**world.options["object_storage"], **dict.fromkeys(fields, text)}
            ),
            may_succeed=True,
        )
    enough("storage", said)


@pytest.mark.parametrize("field", ["username", "password", "directory"])
def test_odd_settings_of_the_cloud(open_world: Open, open_cloud: Callable[..., CloudServer], field: str) -> None:
    world, cloud = open_world(67), open_cloud()
    build = Builder(world.connection)
    path = f"{cloud.directory}/x"
    event = build.event(build.user(), starts_at=LONG_AGO, ends_at=LONG_AGO)
    build.shared_folder(event, path=path, record=cloud.shared_folder(path))
    said = 0
    for text in TEXTS:
        given = {"shared_folder": {**cloud.settings, field: text}, "fail_on_shared_folder_deletion_error": True}
        said += check(
            world.run("event_cleanup", check_mode=field == "directory", **given), may_succeed=field == "directory"
        )
    enough("cloud", said)
    assert world.ids("events") == {event}
