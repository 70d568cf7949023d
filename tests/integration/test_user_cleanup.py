# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""user_cleanup with rows that several people share."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from support.builders import Builder
from support.oracle import survivors
from support.schemas import SCHEMAS
from support.world import World


@pytest.mark.parametrize("version", SCHEMAS)
def test_refused_object_keeps_everybody_whose_deletion_needs_it(open_world: Callable[..., World], version: int) -> None:
    world = open_world(version)
    build = Builder(world.connection)
    disabled = datetime.now(timezone.utc) - timedelta(days=31)
    host, guest, other = (build.user(disabled_since=disabled) for _unused in range(3))
    active = build.user()
    # The guest's event is in a room of the host: the recording goes with either of them.
    room = build.room(host)
    build.event(guest, room=room)
    recording = build.asset(room)
    build.asset(build.room_of(build.event(other)))
    build.event(active, updated_by=other)
    world.upload()
    before = world.rows()
    world.proxy.refuse_keys({f"assets/{recording}": "AccessDenied"})

    run = world.run("user_cleanup")
    assert run["failed"]
    kept = {failure["id"] for failure in run["failures"] if failure["kind"] == "users"}
    assert kept == {host, guest}
    assert world.rows() == survivors(before, "users", {other})
    assert world.objects().keys() == {f"assets/{recording}"}

    world.proxy.clear_faults()
    rest = world.run("user_cleanup")
    assert set(rest["done"]["users"]["ids"]) == {host, guest}
    assert world.rows() == survivors(before, "users", {host, guest, other})
    assert world.ids("users") == {active}
    assert world.objects() == {}


@pytest.mark.parametrize("version", SCHEMAS)
def test_who_is_disabled_for_long_enough(open_world: Callable[..., World], version: int) -> None:
    world = open_world(version)
    build = Builder(world.connection)
    now = datetime(2026, 5, 1, 12, 0, 0, 5, tzinfo=timezone.utc)
    world.freeze(now)
    goes = build.user(disabled_since=now - timedelta(days=30))
    stays = {
        build.user(disabled_since=now - timedelta(days=30) + timedelta(microseconds=1)),
        build.user(disabled_since=now),
        build.user(),
    }
    assert world.run("user_cleanup")["done"]["users"]["ids"] == [goes]
    assert world.ids("users") == stays
    at_once = world.run("user_cleanup", days_since_user_has_been_disabled=0)
    assert at_once["done"]["users"]["count"] == 2


@pytest.mark.parametrize("version", SCHEMAS)
def test_invitations_by_mail_go_with_the_last_user_who_has_the_address(
    open_world: Callable[..., World], tmp_path: Path, version: int
) -> None:
    world = open_world(version)
    build = Builder(world.connection)
    # The check of the table is not ours: whoever drops it may store addresses as they were typed.
    world.query("ALTER TABLE event_email_invites DROP CONSTRAINT IF EXISTS event_email_invites_email_check")
    disabled = datetime.now(timezone.utc) - timedelta(days=31)
    other_tenant = build.tenant()
    alone = build.user(email="alone@example.org", disabled_since=disabled)
    twins = {build.user(email="twin@example.org", disabled_since=disabled) for _unused in range(2)}
    again = build.user(email="again@example.org", disabled_since=disabled)
    stays = build.user(email="again@example.org")
    abroad = build.user(email="abroad@example.org", disabled_since=disabled, tenant_id=other_tenant)
    build.user(email="alone@example.org", tenant_id=other_tenant)
    event = build.event(stays)
    goes = {"Alone@Example.org", "twin@example.org"}
    kept = {"again@example.org", "abroad@example.org", "nobody@example.org"}
    for address in goes | kept:
        build.mail_invitation(event, address, stays)
    before, audit_log = world.rows(), tmp_path / "audit.jsonl"
    users = {alone, *twins, again, abroad}

    preview = world.run("user_cleanup", check_mode=True)
    assert preview["plan"]["rows_deleted"] == {"event_email_invites": 2, "users": 5}
    assert world.rows() == before
    run = world.run("user_cleanup", batch_size=1, audit_log=str(audit_log), approved_plan=preview["approval"])
    assert run["done"]["rows_deleted"] == preview["plan"]["rows_deleted"]
    assert world.rows() == survivors(before, "users", users)
    assert {row[0] for row in world.query("SELECT email FROM event_email_invites")} == kept
    text = audit_log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    found = [line["id"] for line in lines if (line["event"], line.get("kind")) == ("deleting", "event_email_invites")]
    assert found == [event, event]
    for shown in (text, json.dumps(preview), json.dumps(run)):
        assert "example.org" not in shown


@pytest.mark.parametrize("batch_size", [1, 1000])
def test_approval_knows_whose_address_somebody_else_had(open_world: Callable[..., World], batch_size: int) -> None:
    world = open_world()
    build = Builder(world.connection)
    disabled = datetime.now(timezone.utc) - timedelta(days=31)
    first, last = sorted(build.user(email="twin@example.org", disabled_since=disabled) for _unused in range(2))
    host, other = build.user(), build.user(email="twin@example.org")
    build.mail_invitation(build.event(host), "twin@example.org", host)
    preview = world.run("user_cleanup", check_mode=True)
    assert preview["plan"]["rows_deleted"] == {"users": 2}
    world.query("DELETE FROM users WHERE id = %s", (other,))

    options = {"approved_plan": preview["approval"], "batch_size": batch_size}
    run = world.run("user_cleanup", **options)
    assert run["failed"] and [failure["id"] for failure in run["failures"]] == [last]
    assert "did not show" in run["failures"][0]["reason"]
    assert world.ids("users") == {host, last} and first in run["done"]["users"]["ids"]
    assert len(world.query("SELECT 1 FROM event_email_invites")) == 1
    assert world.run("user_cleanup", check_mode=True)["plan"]["rows_deleted"] == {"event_email_invites": 1, "users": 1}
