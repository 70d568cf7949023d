# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""invite_cleanup: the choice of invites, and the rows that go with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from support.builders import Builder
from support.oracle import survivors
from support.schemas import SCHEMAS
from support.snapshot import Snapshot, counts, removed
from support.world import World

Open = Callable[..., World]
NOW = datetime(2026, 5, 1, 12, 0, 0, 5, tzinfo=timezone.utc)


def ended(rows: Snapshot, before: datetime) -> set[str]:
    invites = map(json.loads, rows["invites"])
    return {
        invite["id"]
        for invite in invites
        if not invite["active"] or (invite["expiration"] and datetime.fromisoformat(invite["expiration"]) < before)
    }


def permitted(rows: Snapshot, invites: set[str]) -> list[str]:
    """The permission rows of these invites."""
    subjects = {f"invite::{invite}" for invite in invites}
    return [row for row in rows["casbin_rule"] if (rule := json.loads(row))["ptype"] == "p" and rule["v0"] in subjects]


@pytest.mark.parametrize("version", SCHEMAS)
@pytest.mark.parametrize("batch_size", [7, 1000])
def test_permissions_go_and_invites_stay(open_world: Open, version: int, batch_size: int) -> None:
    world = open_world(version)
    world.fill(events=440)
    before = world.rows()
    preview = world.run("invite_cleanup", check_mode=True, diff=True, batch_size=batch_size)
    assert world.rows() == before
    run = world.run("invite_cleanup", batch_size=batch_size)
    after = world.rows()
    assert run["plan"] == preview["plan"]
    if "casbin_rule" not in before:
        assert not preview["changed"] and not run["changed"]
        assert after == before
        for result in (preview, run):
            assert any("There is nothing to clear" in line for line in result["log"])
        return
    invites = ended(before, datetime.now(timezone.utc))
    expected = permitted(before, invites)
    assert invites and expected and invites != world.ids("invites")
    assert removed(before, after) == {"casbin_rule": sorted(expected)}
    assert run["plan"]["rows_deleted"] == run["done"]["rows_deleted"] == {"casbin_rule": len(expected)}
    assert set(run["done"]["invites"]["ids"]) == set(run["plan"]["invites"]["ids"]) == invites
    again = world.run("invite_cleanup")
    assert not again["changed"]
    assert world.rows() == after


@pytest.mark.parametrize("delete_invites", [False, True])
def test_diff_shows_as_removed_only_what_goes(open_world: Open, delete_invites: bool) -> None:
    world = open_world(52)
    build = Builder(world.connection)
    invite = build.invite(build.room(build.user()), active=False)
    for mode in (True, False):
        result = world.run("invite_cleanup", check_mode=mode, diff=True, delete_invites=delete_invites)
        shown = {entry["before_header"]: entry for entry in result["diff"]}
        before, after = shown["invites"]["before"], shown["invites"]["after"]
        if delete_invites:
            assert invite in before and after == "" and "invites: 1" in shown["summary"]["before"]
        else:
            assert f'{{"{invite}": "with permissions"}}' in before and f'{{"{invite}": "without permissions"}}' in after
            assert shown["summary"]["before"] == "" and "invites: 1" in shown["summary"]["after"]
            assert "casbin_rule: 2" in shown["rows_deleted"]["before"]


@pytest.mark.parametrize("version", SCHEMAS)
@pytest.mark.parametrize("batch_size", [7, 1000])
def test_invites_go_with_their_permissions(open_world: Open, version: int, batch_size: int) -> None:
    world = open_world(version)
    world.fill(events=440)
    before = world.rows()
    invites = ended(before, datetime.now(timezone.utc))
    options: dict[str, Any] = {"delete_invites": True, "batch_size": batch_size}
    preview = world.run("invite_cleanup", check_mode=True, diff=True, **options)
    assert world.rows() == before
    run = world.run("invite_cleanup", **options)
    after = world.rows()
    assert after == survivors(before, "invites", invites)
    gone = counts(removed(before, after))
    assert gone["invites"] == len(invites)
    assert run["plan"] == preview["plan"]
    assert run["plan"]["rows_deleted"] == run["done"]["rows_deleted"] == gone
    assert set(run["done"]["invites"]["ids"]) == invites
    again = world.run("invite_cleanup", **options)
    assert not again["changed"]
    assert world.rows() == after


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, NOW),
        ("2026-04-01T12:00:00+02:00", datetime(2026, 4, 1, 10, tzinfo=timezone.utc)),
        ("2026-04-01T12:00:00-0530", datetime(2026, 4, 1, 17, 30, tzinfo=timezone.utc)),
        ("2026-04-01T12:00:00", datetime(2026, 4, 1, 12, tzinfo=timezone.utc)),
        ("2026-04-01 12:00:00.000005", datetime(2026, 4, 1, 12, 0, 0, 5, tzinfo=timezone.utc)),
        ("2026-04-01T12:00:00.000005Z", datetime(2026, 4, 1, 12, 0, 0, 5, tzinfo=timezone.utc)),
        ("2026-04-01", datetime(2026, 4, 1, tzinfo=timezone.utc)),
        ("2026-05-01T12:00:00.000006Z", NOW + timedelta(microseconds=1)),
    ],
)
def test_expired_before_to_the_microsecond(open_world: Open, text: str | None, moment: datetime) -> None:
    world = open_world(52)
    build = Builder(world.connection)
    world.freeze(NOW)
    room = build.room(build.user())
    goes = {
        build.invite(room, expiration=moment - timedelta(microseconds=1)),
        build.invite(room, active=False),
        build.invite(room, active=False, expiration=moment + timedelta(days=1)),
    }
    stays = {
        build.invite(room, expiration=moment),
        build.invite(room, expiration=moment + timedelta(days=1)),
        build.invite(room),
    }
    run = world.run("invite_cleanup", expired_before=text)
    assert set(run["done"]["invites"]["ids"]) == goes
    left = world.query("SELECT DISTINCT replace(v0, 'invite::', '') FROM casbin_rule")
    assert {row[0] for row in left} == stays
    assert world.ids("invites") == goes | stays
    # Only what is not yet expired by the database's own clock deserves a warning.
    assert any("lies in the future" in line for line in run["log"]) == (moment > NOW)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-13-01", "2026-02-30", "2026-04", "2026", "12:00", "1767225600", "2026-04-01T25:00:00"],
)
def test_not_a_date(open_world: Open, text: str) -> None:
    world = open_world(52)
    world.fill(events=22)
    before = world.rows()
    for mode in (True, False):
        run = world.run("invite_cleanup", check_mode=mode, expired_before=text)
        assert run["failed"] and "expired_before" in run["msg"] and "Traceback" not in str(run)
    assert world.rows() == before


def test_invite_that_is_deleted_meanwhile_is_not_said_to_stay(open_world: Open) -> None:
    world = open_world(67)
    build = Builder(world.connection)
    room = build.room(build.user())
    invites = sorted(build.invite(room, active=False) for _unused in range(2))
    with world.server.connect(world.database) as blocker:
        blocker.cursor().execute("SELECT FROM invites WHERE id = %s FOR UPDATE", (invites[0],))
        with world.in_background("invite_cleanup", batch_size=1, delete_invites=True) as running:
            world.wait_for_lock()
            world.query("DELETE FROM invites WHERE id = %s", (invites[1],))
            blocker.rollback()
        run = running.result()
    assert run["done"]["invites"]["ids"] == [invites[0]]
    (line,) = [line for line in run["log"] if invites[1] in line]
    assert "no longer match or are gone already" in line and "stay" not in line


def test_invite_that_is_prolonged_meanwhile_keeps_its_permissions(open_world: Open) -> None:
    """The invites of the second batch change after the plan, while the first batch waits for a lock."""
    world = open_world(60)
    build = Builder(world.connection)
    room = build.room(build.user())
    invites = sorted(build.invite(room, active=False) for _unused in range(2))
    with world.server.connect(world.database) as blocker:
        blocker.cursor().execute("SELECT FROM invites WHERE id = %s FOR UPDATE", (invites[0],))
        with world.in_background("invite_cleanup", batch_size=1) as running:
            world.wait_for_lock()
            world.query("UPDATE invites SET active = true WHERE id = %s", (invites[1],))
            blocker.rollback()
        run = running.result()
    assert run["done"]["invites"]["ids"] == [invites[0]]
    assert any(invites[1] in line for line in run["log"])
    assert world.query("SELECT DISTINCT v0 FROM casbin_rule") == [(f"invite::{invites[1]}",)]
