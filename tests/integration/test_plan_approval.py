# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is held to a preview deletes what that showed, or less, or nothing at all."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.engine import plan_id

from support import ansible, terminal
from support.builders import Builder
from support.snapshot import added, counts, parsed, removed
from support.world import World

Open = Callable[..., World]
Approval = Callable[[World], tuple[list[str], dict[str, str]]]


@pytest.mark.parametrize("module", ["event_cleanup", "user_cleanup", "room_cleanup", "adhoc_event_cleanup"])
def test_same_plan_is_carried_out_with_the_moment_of_the_preview(open_world: Open, module: str) -> None:
    world = open_world()
    world.fill(events=440, users=60)
    preview = world.run(module, check_mode=True, report_limit=1)
    assert preview["changed"]
    again = world.run(module, check_mode=True, expected_plan_id=preview["plan_id"], report_limit=5)
    assert again["plan_id"] == preview["plan_id"]
    run = world.run(module, expected_plan_id=preview["plan_id"], report_limit=1)
    assert not run.get("failed"), run.get("msg")
    assert run["done"]["rows_deleted"] == preview["plan"]["rows_deleted"] and "plan_id" not in run


def test_what_became_due_after_the_preview_stays(open_world: Open) -> None:
    world = open_world()
    world.fill()
    preview = world.run("adhoc_event_cleanup", check_mode=True, seconds_since_creation=0)
    build = Builder(world.connection)
    young = build.event(build.user(), is_adhoc=True)
    run = world.run("adhoc_event_cleanup", seconds_since_creation=0, expected_plan_id=preview["plan_id"])
    assert set(run["done"]["events"]["ids"]) == set(preview["plan"]["events"]["ids"])
    assert young in world.ids("events")


@pytest.mark.parametrize("listed", [True, False])
def test_more_is_refused_and_less_is_done(open_world: Open, monkeypatch: pytest.MonkeyPatch, listed: bool) -> None:
    if not listed:
        monkeypatch.setattr(plan_id, "MOST_LISTED", 3)
    world = open_world()
    world.fill()
    preview = world.run("event_cleanup", check_mode=True)
    room = world.query("SELECT room::text FROM events WHERE id = %s", (preview["plan"]["events"]["ids"][0],))[0][0]
    build = Builder(world.connection)
    invite = build.invite(room)
    before, objects = world.rows(), world.objects()
    refused = world.run("event_cleanup", expected_plan_id=preview["plan_id"])
    assert refused["failed"] and "expected_plan_id" in refused["msg"]
    assert (invite in refused["msg"]) == listed
    assert (world.rows(), world.objects()) == (before, objects)

    # One thing more and one thing less is not the same number of things.
    fresh = world.run("event_cleanup", check_mode=True)
    world.query("DELETE FROM invites WHERE id = %s", (invite,))
    build.invite(room)
    swapped = world.run("event_cleanup", expected_plan_id=fresh["plan_id"])
    assert swapped["failed"] and "expected_plan_id" in swapped["msg"]

    moved = preview["plan"]["events"]["ids"][1]
    fresh = world.run("event_cleanup", check_mode=True)
    world.query("UPDATE event_dates SET ends_at = now() + interval '1 day' WHERE event_id = %s", (moved,))
    less = world.run("event_cleanup", expected_plan_id=fresh["plan_id"])
    if listed:
        assert not less.get("failed"), less.get("msg")
        assert set(less["done"]["events"]["ids"]) == set(fresh["plan"]["events"]["ids"]) - {moved}
        assert moved in world.ids("events")
    else:
        assert less["failed"] and "above 3 only exactly the same plan" in less["msg"]
        assert set(fresh["plan"]["events"]["ids"]) <= world.ids("events")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v1",
        "v1:0:1:zz:",
        f"v1:0:1:{'0' * 64}:AAA=",
        f"v1:{'9' * 18}:1:{'0' * 64}:",
        f"v1:4102444800000000:0:{'0' * 64}:",
    ],
)
def test_what_is_no_id_is_refused(open_world: Open, text: str) -> None:
    world = open_world()
    refused = world.run("room_cleanup", expected_plan_id=text)
    assert refused["failed"] and "expected_plan_id" in refused["msg"]


def test_invites_and_storage(open_world: Open) -> None:
    world = open_world()
    build = Builder(world.connection)
    room = build.room(build.user())
    lost = build.assets(room, 1, size=3)[0]
    kept = build.assets(room, 1, size=3)[0]
    build.invite(room, active=False)
    world.storage.upload(world.bucket, [(f"assets/{kept}", 3)])
    cases: list[tuple[str, dict[str, Any]]] = [
        ("sync_storage_files", {"missing_storage_file_handling": "delete_asset_entry"}),
        ("invite_cleanup", {"delete_invites": True}),
    ]
    for module, options in cases:
        preview = world.run(module, check_mode=True, **options)
        stale = plan_id.PlanIdentity().id(plan_id.parse(preview["plan_id"]).now)
        assert world.run(module, expected_plan_id=stale, **options)["failed"]
        assert world.run(module, expected_plan_id=preview["plan_id"], **options)["changed"]
    assert world.ids("assets") == {kept} and world.ids("invites") == set() and lost


@pytest.fixture
def approval(collections_path: str, tmp_path: Path) -> Approval:
    """The command and the environment of the playbook that asks."""

    def make(world: World) -> tuple[list[str], dict[str, str]]:
        settings = {
            f"OPENTALK_CTRL_MINIO__{name.upper()}": value for name, value in world.options["object_storage"].items()
        }
        settings |= {"OPENTALK_CTRL_DATABASE__URL": world.options["database_url"], "ANSIBLE_NOCOLOR": "1"}
        playbook = "opentalk.maintenance.event_cleanup_with_approval"
        command = [ansible.program(), playbook, "-i", "localhost,", "-c", "local"]
        return command, ansible.environment(collections_path, **settings)

    return make


def test_playbook_that_asks_deletes_nothing_without_an_answer(
    open_world: Open, approval: Approval, tmp_path: Path
) -> None:
    world = open_world()
    world.fill()
    before = world.rows()
    command, environment = approval(world)
    played = subprocess.run(
        command, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=90, check=False
    )  # fmt: skip
    assert played.returncode != 0 and b"the answer was not yes" in played.stdout, played.stdout
    assert world.rows() == before


@pytest.mark.parametrize("text", ["no", "yes"])
def test_playbook_that_asks_deletes_what_it_has_shown_and_only_after_a_yes(
    open_world: Open, approval: Approval, tmp_path: Path, text: str
) -> None:
    world = open_world()
    world.fill(events=44, users=10)
    ((now,),) = world.query("SELECT now()")
    world.freeze(now)
    build = Builder(world.connection)
    # Due by the clock at which the answer is given, but not by that of the preview.
    ends_at = now - timedelta(days=29, hours=12)
    soon = build.event(build.user(), starts_at=ends_at - timedelta(hours=1), ends_at=ends_at)
    before, objects = world.rows(), world.objects()
    command, environment = approval(world)
    code, printed = terminal.answer(
        command, text, prompt="Type yes", until="TASK [Stop unless", environment=environment, cwd=tmp_path,
        at_prompt=lambda: world.freeze(now + timedelta(days=1)),
    )  # fmt: skip
    gone = removed(before, world.rows())
    if text == "no":
        assert code != 0 and "the answer was not yes" in printed, printed
        assert (gone, added(before, world.rows()), world.objects()) == ({}, {}, objects)
        return
    assert code == 0, printed
    shown = printed[: printed.index("Type yes")]
    assert counts(gone) == {
        table: int(number) for table, number in re.findall(r"^-  (\w+): (\d+)$", shown, re.MULTILINE)
    }
    listed = {
        kind: set(re.findall(r"^-    - (\S{36})$", part, re.MULTILINE))
        for kind, part in re.findall(r"^--- before: (\w+)\n(.*?)\n\n", shown, re.MULTILINE | re.DOTALL)
    }
    for kind in ("events", "rooms", "assets"):
        assert {row["id"] for row in parsed(gone)[kind]} == listed[kind] != set(), kind
    assert {key.removeprefix("assets/") for key in objects.keys() - world.objects().keys()} == listed["assets"]
    assert soon in world.ids("events") and added(before, world.rows()) == {}
    # By its own clock the run would have deleted that one, too.
    assert world.run("event_cleanup", check_mode=True)["plan"]["events"]["ids"] == [soon]
