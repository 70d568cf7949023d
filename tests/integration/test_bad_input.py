# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong options, settings and systems: the job touches nothing, and one sentence names the thing to fix."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.modules import run_module
from support.world import World

PLANTED = "pl4nted-s3cret"


@pytest.fixture
def world(open_world: Callable[..., World]) -> World:
    world = open_world()
    world.fill(events=44)
    return world


def check(result: dict[str, Any], *names: str) -> None:
    """Check that the module failed with one sentence that contains these names."""
    assert result["failed"]
    message = result["msg"]
    for name in names:
        assert name in message, message
    assert message.endswith(".") and "\n" not in message
    assert len(re.findall(r"\.( |$)", message)) == 1, message
    assert "Traceback" not in str(result)
    assert "exception" not in result or result["exception"] in ("(traceback unavailable)", None)
    assert PLANTED not in str(result)


# Ansible itself words the refusal of unknown options and wrong types.
@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"days": 3}, ["days"]),
        ({"days_since_last_occurrence": "soon"}, ["days_since_last_occurrence"]),
        ({"days_since_last_occurrence": 1.5}, ["days_since_last_occurrence"]),
        ({"days_since_last_occurrence": float("inf")}, ["days_since_last_occurrence", "int"]),
        ({"timeout": "-Infinity"}, ["timeout", "int"]),
        ({"include_finished_series": "perhaps"}, ["include_finished_series"]),
        ({"object_storage": {"buckets": "x"}}, ["buckets"]),
    ],
)
def test_options_that_ansible_refuses(world: World, options: dict[str, Any], names: list[str]) -> None:
    before = world.rows()
    result = world.run("event_cleanup", **options)
    assert result["failed"] and all(name in result["msg"] for name in names)
    assert "Traceback" not in str(result)
    assert world.rows() == before


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"days_since_last_occurrence": 0}, ["days_since_last_occurrence", "at least 1"]),
        ({"days_since_last_occurrence": -1}, ["days_since_last_occurrence", "at least 1"]),
        ({"timeout": 0}, ["timeout", "at least 1"]),
        ({"batch_size": 0}, ["batch_size"]),
        ({"report_limit": -1}, ["report_limit"]),
        ({"ca_path": "/nonexistent/ca.pem"}, ["ca_path", "/nonexistent/ca.pem"]),
        ({"ca_path": "/etc/ssl/\0"}, ["ca_path", "characters"]),
        ({"audit_log": "/var/log/\ud800.jsonl"}, ["audit_log", "characters"]),
        ({"controller_config": "\ud800"}, ["controller_config", "characters"]),
        ({"max_affected": -1}, ["max_affected"]),
        ({"max_affected_percent": 101}, ["max_affected_percent", "100"]),
        ({"max_affected_percent": "nan"}, ["max_affected_percent"]),
        ({"database_url": f"mysql://u:{PLANTED}@h/db"}, ["postgres://", "database_url"]),
        ({"database_url": f"postgres://u:{PLANTED}/%zz@[h/db"}, ["database URL", "cannot be parsed"]),
        ({"database_url": f"postgres://u:{PLANTED}@127.0.0.1:1/opentalk"}, ["127.0.0.1:1", "refused", "database_url"]),
        ({"database_url": f"postgres://u:{PLANTED}@nowhere.invalid/opentalk"}, ["nowhere.invalid", "resolved"]),
        ({"controller_config": "/nonexistent/controller.toml"}, ["/nonexistent/controller.toml", "controller_config"]),
    ],
)
def test_wrong_options(world: World, options: dict[str, Any], names: list[str]) -> None:
    before, objects = world.rows(), world.objects()
    for mode in (True, False):
        check(world.run("event_cleanup", check_mode=mode, **options), *names)
    assert world.rows() == before
    assert world.objects() == objects
    assert world.proxy.writes == []


@pytest.mark.parametrize("number", [800_000, 10**18])
def test_duration_that_begins_before_the_calendar_deletes_nothing(world: World, number: int) -> None:
    """The controller takes such numbers, too."""
    before = world.rows()
    for job, option in (
        ("event_cleanup", "days_since_last_occurrence"),
        ("user_cleanup", "days_since_user_has_been_disabled"),
        ("adhoc_event_cleanup", "seconds_since_creation"),
    ):
        result = world.run(job, **{option: number * (86_400 if job == "adhoc_event_cleanup" else 1)})
        assert not result.get("failed") and not result["changed"], result
    assert world.rows() == before


def test_wrong_password_and_database(world: World) -> None:
    url = world.server.url(world.database)
    password = world.server.password
    check(world.run("event_cleanup", database_url=url.replace(password, PLANTED)), "password", "database_url")
    check(world.run("event_cleanup", database_url=url.rpartition("/")[0] + "/missing"), "missing", "does not have")
    foreign = world.run("event_cleanup", database_url=url.rpartition("/")[0] + "/postgres")
    check(foreign, "not an OpenTalk controller's", "database URL")
    world.query("DELETE FROM refinery_schema_history WHERE version > 51")
    check(world.run("event_cleanup"), "migration 51", "52")


def test_missing_privilege(world: World) -> None:
    world.query(
        f"DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD '{PLANTED}';"
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"
    )
    before, objects = world.rows(), world.objects()
    host = world.server.url(world.database).rpartition("@")[2]
    check(world.run("event_cleanup", database_url=f"postgres://reader:{PLANTED}@{host}"), "events", "privilege")
    assert (world.rows(), world.objects()) == (before, objects)
    world.query("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM reader; DROP ROLE reader")


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ({"bucket": "missing-bucket"}, ["missing-bucket", "no bucket"]),
        ({"bucket": "Not A Bucket"}, ["minio"]),
        ({"secret_key": PLANTED}, ["access_key", "secret_key"]),
        ({"access_key": "nobody"}, ["access_key"]),
        ({"uri": "http://127.0.0.1:1"}, ["127.0.0.1:1", "cannot be reached"]),
        ({"uri": "http://[::1"}, ["uri", "object_storage"]),
        ({"uri": "ftp://127.0.0.1"}, ["http://", "object_storage"]),
    ],
)
def test_wrong_storage(world: World, override: dict[str, str], names: list[str]) -> None:
    before, objects = world.rows(), world.objects()
    for mode in (True, False):
        merged = {**world.options["object_storage"], **override}
        check(world.run("event_cleanup", check_mode=mode, object_storage=merged), *names)
    assert (world.rows(), world.objects()) == (before, objects)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[database\nurl = 1", ["not valid TOML", "line 1"]),
        (f'[database]\nurl = "{PLANTED}', ["not valid TOML", "end of document"]),
        ('database = "x"', ["[database]", "section"]),
        ("[database]\nurl = 5", ["url", "[database]"]),
        ("[database]\n", ["[database]", "database_url"]),
        ("[minio]\n", ["[minio]", "object_storage"]),
        ('[minio]\nuri = "http://x"\nbucket = "b"\naccess_key = "a"', ["secret_key", "[minio]"]),
        ('[minio]\nuri = "x"\n', ["http://", "[minio]"]),
        (f'[minio]\nuri = "http://x"\nbucket = ["{PLANTED}"]', ["bucket", "string"]),
        (b"\xff\xfe".decode("latin-1"), ["UTF-8"]),
    ],
)
def test_wrong_settings_file(tmp_path: Path, text: str, names: list[str]) -> None:
    config = tmp_path / "controller.toml"
    config.write_bytes(text.encode("latin-1"))
    options: dict[str, Any] = {"controller_config": str(config)}
    if "[database]" in text or text.startswith("database"):
        options["object_storage"] = {"uri": "http://x", "bucket": "b", "access_key": "a", "secret_key": PLANTED}
    else:
        options["database_url"] = "postgres://u:p@127.0.0.1:1/opentalk"
    check(run_module("event_cleanup", **options), str(config), *names)


def test_no_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    check(run_module("event_cleanup"), "[database]", "controller_config")


@pytest.mark.parametrize("library", ["psycopg2", "boto3"])
def test_missing_library(world: World, tmp_path: Path, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{library}.py").write_text("raise ImportError('not installed')\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = world.rows()
    result = world.run_in_process("event_cleanup", check_mode=False)
    assert result["failed"] and library in result["msg"] and "required Python library" in result["msg"]
    assert world.rows() == before
