# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""user_erasure: of the persons who are named nothing is left, of all others everything, and nothing shows who they are."""

from __future__ import annotations

import json
import subprocess
import sys
import syslog
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import ansible
from support.builders import Builder
from support.effect import check_effect
from support.limits import HANGS
from support.messages import is_sentence
from support.oracle import survivors
from support.schemas import SCHEMAS
from support.snapshot import Snapshot
from support.world import World

Open = Callable[..., World]
NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)
MARK = "pl4nted"


class Person:
    """A user whose every text has a mark of its own, and who left traces everywhere: in their own events and those of others.

    :ivar traces: texts that tell who it is, or that only the person can have written
    """

    def __init__(self, build: Builder, name: str, host: str, **columns: Any) -> None:
        self.name, self.email, self.sub = name, f"{name}@example.org", f"sub-{name}-{uuid.uuid4()}"
        self.id = build.user(
            **{
                "oidc_sub": self.sub, "email": self.email, "title": f"Dr {name}", "firstname": f"First-{name}",
                "lastname": f"Last-{name}", "display_name": f"First-{name} Last-{name}", "phone": f"+49-{name}"[:30],
                "disabled_since": NOW, **columns,
            }
        )  # fmt: skip
        own = build.event(self.id, title=f"Meeting of {name}", description=f"About {name}")
        room, others = build.room_of(own), build.event(host)
        build.asset(room)
        build.invite(room)
        build.mail_invitation(own, f"friend-of-{name}@example.net", self.id)
        build.mail_invitation(others, self.email, host)
        build.exception(others, self.id, title=f"Moved by {name}", kind="cancelled")
        build.permission(f"user::{self.id}", f"/events/{others}")
        self.traces = {self.id, self.sub, name}


def find(rows: Snapshot, objects: dict[str, int], persons: list[Person]) -> list[str]:
    """Everything in all columns of all tables, and in the keys of objects, in which somebody of these is."""
    texts = [f"{table}: {row}" for table, found in rows.items() for row in found] + list(objects)
    return [text for text in texts for person in persons for trace in person.traces if trace.lower() in text.lower()]


@pytest.fixture
def no_journal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda priority, text: lines.append(text))
    return lines


@pytest.mark.parametrize("version", SCHEMAS)
def test_nothing_is_left_of_them_and_everything_of_others(
    open_world: Open, no_journal: list[str], tmp_path: Path, version: int
) -> None:
    world = open_world(version)
    build = Builder(world.connection)
    host = build.user(disabled_since=NOW)
    persons = [Person(build, f"{MARK}-{name}", host) for name in ("ada", "bob", "cleo")]
    stays = Person(build, "somebody", host)
    world.upload()
    before, objects, log = world.rows(), world.objects(), tmp_path / "audit.jsonl"
    assert all(find(before, objects, [person]) for person in persons)
    ada, bob, cleo = persons
    options = {"user_ids": [ada.id.upper()], "oidc_subs": [bob.sub], "emails": [cleo.email.upper(), ada.email]}
    expected = survivors(before, "users", {person.id for person in persons})

    preview = world.run("user_erasure", check_mode=True, diff=True, audit_log=str(log), **options)
    assert preview["plan"]["users"]["count"] == 3 and world.rows() == before
    held = {**options, "approved_plan": preview["approval"], "audit_log": str(log)}
    check_effect(
        world, "user_erasure", {"audit_log": str(log), **options}, before, expected,
        users=frozenset(person.id for person in persons), again=False,
    )  # fmt: skip
    assert find(world.rows(), world.objects(), persons) == [] and find(world.rows(), {}, [stays]) != []

    again = world.run("user_erasure", **held)
    assert again["failed"] and is_sentence(again["msg"]) and not again["changed"]
    named = [(failure["kind"], failure["id"]) for failure in again["failures"]]
    assert named == [("user_ids", "1"), ("oidc_subs", "1"), ("emails", "1"), ("emails", "2")]
    calm = world.run("user_erasure", fail_on_unmatched=False, **options)
    assert not calm.get("failed") and not calm["changed"]
    assert calm["unmatched"] == {"user_ids": [1], "oidc_subs": [1], "emails": [1, 2]}
    assert "entry 2 of emails" in str(calm["warnings"])
    shown = json.dumps([preview, again, calm]) + log.read_text() + "".join(no_journal)
    assert MARK not in shown.lower() and "Keycloak" in {entry["place"] for entry in calm["remains"]}


def test_nobody_goes_while_one_entry_is_in_doubt(open_world: Open) -> None:
    world = open_world()
    build = Builder(world.connection)
    disabled = build.user(email=f"{MARK}@example.org", disabled_since=NOW)
    enabled = build.user(email=f"{MARK}-enabled@example.org")
    twins = sorted(
        build.user(email=f"{MARK}-twin@example.org", disabled_since=NOW, tenant_id=tenant, oidc_sub="same")
        for tenant in (build.tenant(), build.tenant())
    )
    before = world.rows()

    def refused(**options: Any) -> dict[str, Any]:
        for check_mode in (True, False):
            result = world.run("user_erasure", check_mode=check_mode, **options)
            assert result["failed"] and is_sentence(result["msg"]), result
            # A preview of a plan that is too large shows it.
            assert check_mode or not result["changed"], result
            assert MARK not in json.dumps(result) and world.rows() == before
        return result

    good = f"{MARK}@example.org"
    for options, failure in (
        ({"emails": [good, f"{MARK}-typo@example.org"]}, ("emails", "2")),
        ({"emails": [good], "oidc_subs": [f"{MARK}"]}, ("oidc_subs", "1")),
        ({"emails": [good], "user_ids": [str(uuid.uuid4())]}, ("user_ids", "1")),
        ({"emails": [f"{MARK}-enabled@example.org", good]}, ("users", enabled)),
        ({"emails": [good, f"{MARK}-twin@example.org"]}, ("emails", "2")),
        ({"oidc_subs": ["same"], "user_ids": [disabled]}, ("oidc_subs", "1")),
    ):
        result = refused(**options)
        assert [(found["kind"], found["id"]) for found in result["failures"]] == [failure]
    assert all(user in result["msg"] for user in twins)
    for options, text in (
        ({}, "Nobody is named"),
        ({"emails": [], "user_ids": []}, "Nobody is named"),
        ({"user_ids": [disabled, MARK]}, "Entry 2 of user_ids is no id of a user"),
        ({"emails": [MARK]}, "Entry 1 of emails is no mail address"),
        ({"oidc_subs": [" "]}, "Entry 1 of oidc_subs is empty"),
        ({"oidc_subs": ["e"]}, "Nothing was deleted, because not everybody"),
        ({"oidc_subs": ["a\0b"]}, "Entry 1 of oidc_subs holds characters"),
        ({"emails": [good], "max_affected": 0}, "max_affected allows 0"),
    ):
        assert text in refused(**options)["msg"]
    # Told apart by an id, the address means that one.
    run = world.run("user_erasure", emails=[f"{MARK}-twin@example.org"], user_ids=[twins[0]])
    assert run["done"]["users"]["ids"] == [twins[0]] and twins[1] in world.ids("users")
    run = world.run("user_erasure", user_ids=[enabled, disabled], require_disabled=False)
    assert run["done"]["users"]["count"] == 2 and world.ids("users") == {twins[1]}


def test_who_is_enabled_again_stays_and_is_a_failure(open_world: Open) -> None:
    """Between the plan and the batch."""
    world = open_world()
    build = Builder(world.connection)
    back, goes = (build.user(disabled_since=NOW) for _unused in range(2))
    build.asset(build.room(goes))
    world.upload()
    # Whoever has the row locked keeps the first batch waiting, which finds out then.
    with world.server.connect(world.database) as other, other.cursor() as cursor:
        cursor.execute("UPDATE users SET disabled_since = NULL WHERE id = %s", (back,))
        with world.in_background("user_erasure", user_ids=[back, goes]) as running:
            world.wait_for_lock()
            other.commit()
            run = running.result()
    assert run["failed"] and {(failure["kind"], failure["id"]) for failure in run["failures"]} == {("users", back)}
    assert world.ids("users") == {back} and world.objects() == {}


def test_login_meanwhile_waits_and_finds_nobody(open_world: Open) -> None:
    """A user who is not disabled is locked until the commit."""
    world = open_world()
    build = Builder(world.connection)
    user = build.user()
    build.asset(build.room(user))
    world.upload()
    logins: list[Any] = []

    def log_in(request: Any) -> None:
        if request.operation == "DeleteObjects":
            with world.server.connect(world.database) as other, other.cursor() as cursor:
                cursor.execute("SET lock_timeout = 100")
                try:
                    cursor.execute("UPDATE users SET last_authenticated_at = now() WHERE id = %s", (user,))
                except Exception as error:  # the class is psycopg2's
                    logins.append(type(error).__name__)

    world.proxy.on_request(log_in)
    run = world.run("user_erasure", user_ids=[user], require_disabled=False)
    assert not run.get("failed") and logins == ["LockNotAvailable"] and world.ids("users") == set()


def test_approval_has_ids_only_and_holds_the_run(open_world: Open) -> None:
    world = open_world()
    build = Builder(world.connection)
    host = build.user()
    first, second = (Person(build, f"{MARK}-{name}", host) for name in ("ada", "bob"))
    options = {"emails": [first.email, second.email]}
    preview = world.run("user_erasure", check_mode=True, **options)
    approval = json.loads(json.dumps(preview["approval"]))
    assert set(approval["roots"]["users"]) == {first.id, second.id} and MARK not in json.dumps(approval)
    assert approval["parameters"].keys().isdisjoint(options)
    build.event(second.id)
    third = build.user(email="third@example.org", disabled_since=NOW)
    run = world.run("user_erasure", approved_plan=approval, emails=[*options["emails"], "third@example.org"])
    assert run["failed"] and [failure["id"] for failure in run["failures"]] == [second.id]
    assert world.ids("users") == {host, second.id, third} and run["done"]["users"]["ids"] == [first.id]


def test_playbook_shows_nobody(open_world: Open, collections_path: str, tmp_path: Path) -> None:
    world = open_world()
    build = Builder(world.connection)
    person = Person(build, MARK, build.user())
    (tmp_path / "person.yml").write_text(
        yaml.safe_dump({"user_erasure_emails": [person.email], "user_erasure_oidc_subs": [person.sub]})
    )
    (tmp_path / "wrong.yml").write_text(yaml.safe_dump({"user_erasure_emails": [{"address": person.email}, MARK]}))
    settings = {
        f"OPENTALK_CTRL_MINIO__{name.upper()}": value for name, value in world.options["object_storage"].items()
    }
    environment = ansible.environment(
        collections_path, OPENTALK_CTRL_DATABASE__URL=world.options["database_url"],
        ANSIBLE_LOG_PATH=str(tmp_path / "ansible.log"), ANSIBLE_PYTHON_INTERPRETER=sys.executable, **settings,
    )  # fmt: skip

    def play(*arguments: str) -> tuple[int, str]:
        played = subprocess.run(
            [ansible.program(), "opentalk.maintenance.user_erasure", "-i", "localhost,", "-c", "local", "-vvv", *arguments],
            env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANGS, check=False,
        )  # fmt: skip
        return played.returncode, played.stdout + played.stderr + (tmp_path / "ansible.log").read_text()

    failed, output = play("-e", "@wrong.yml")
    assert failed and MARK not in output, output[-3000:]
    for options in (["--check"], []):
        failed, output = play("-e", "@person.yml", *options)
        assert not failed and "Job finished successfully" in output and person.id in output
        assert MARK not in output, output[max(0, output.index(MARK) - 300) :][:400]
    assert person.id not in world.ids("users")


def test_beside_user_cleanup_an_invitation_goes_with_the_last_of_two(open_world: Open) -> None:
    """Each of both jobs deletes one of two users who have an address, at the same time."""
    world = open_world()
    build = Builder(world.connection)
    host = build.user()
    named, due = build.user(email="twin@example.org"), build.user(email="twin@example.org", disabled_since=NOW)
    build.mail_invitation(build.event(host), "twin@example.org", host)
    build.asset(build.room(named))
    world.upload()
    others: list[dict[str, Any]] = []
    cleanup = threading.Thread(target=lambda: others.append(world.run_in_process("user_cleanup")))

    def at_work(request: Any) -> None:
        if request.operation == "DeleteObjects":
            cleanup.start()
            world.wait_for_lock()

    world.proxy.on_request(at_work)
    run = world.run("user_erasure", user_ids=[named], require_disabled=False)
    cleanup.join(HANGS)
    assert not run.get("failed") and run["done"]["users"]["ids"] == [named]
    assert others[0]["done"]["rows_deleted"] == {"event_email_invites": 1, "users": 1}, others
    assert world.ids("users") == {host} and due not in world.ids("users")
    assert world.query("SELECT email FROM event_email_invites") == []
