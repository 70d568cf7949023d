# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run with an approved plan deletes only things that the preview showed, or nothing at all."""

from __future__ import annotations

import base64
import uuid
import zlib
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import PlanDiffersError
from ansible_collections.opentalk.maintenance.plugins.module_utils.record import plan_id

from support.builders import Builder
from support.cloud_server import CloudServer
from support.recording_server import Request
from support.world import World

Open = Callable[..., World]
LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)


def packed(data: bytes) -> str:
    """The bytes encoded as the things in a plan's id."""
    return base64.b64encode(zlib.compress(data)).decode()


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
    number = preview["plan"]["invites"]["count"]
    assert f"(invites {number + 1} instead of {number})" in refused["msg"]
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
        assert less["failed"] and "above 3 things only exactly the same plan" in less["msg"]
        assert set(fresh["plan"]["events"]["ids"]) <= world.ids("events")


def test_many_things_shrink_and_grow_as_few_do() -> None:
    """A plan with the most things that an id lists. A run accepts one thing less, and names one thing more."""
    now = datetime.now(timezone.utc)
    ids = sorted(str(uuid.UUID(int=number << 20)) for number in range(plan_id.MOST_LISTED // 2))
    others = sorted(str(uuid.uuid4()) for _unused in range(plan_id.MOST_LISTED // 2))

    def identity(*kinds: list[str], expected: plan_id.ExpectedPlan | None = None) -> plan_id.PlanIdentity:
        made = plan_id.PlanIdentity("room_cleanup", now, expected)
        for kind, things in zip(("rooms", "invites", "assets"), kinds, strict=False):
            made.add(kind, things)
        return made

    text = identity(ids, others).id()
    assert len(text) < 3.8 * plan_id.MOST_LISTED
    expected = plan_id.parse(text, "room_cleanup")
    assert expected.counts == {"rooms": len(ids), "invites": len(others)}
    identity(ids[1:], others[:-1], expected=expected).check()
    identity([], expected=expected).check()
    foreign = [str(uuid.uuid4()) for _unused in range(1000)]
    assert expected.new("rooms", [*ids[:1000], *foreign]) == foreign
    # The same id as another kind of thing, and one that differs least from one that is there.
    for new in ([ids[1:], others, ids[:1]], [sorted([*ids[1:], str(uuid.UUID(int=1))]), others]):
        with pytest.raises(PlanDiffersError, match="1 of its 200000 things were not in that one"):
            identity(*new, expected=expected).check()
    beyond = identity(sorted([*ids, foreign[0]]), others, expected=expected)
    assert beyond.id().endswith(":-")
    with pytest.raises(PlanDiffersError, match=f"the first of them rooms {foreign[0]} .rooms 100001 instead of 100000"):
        beyond.check()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v1",
        *(
            f"v1:{head}:{'0' * digits}:{tail}"
            for head, digits, tail in (
                ("room_cleanup:0", 63, ":eJwDAAAAAAE="),
                (f"room_cleanup:{'9' * 18}", 64, ":eJwDAAAAAAE="),
                ("room_cleanup:4102444800000000", 64, ":eJwDAAAAAAE="),
                ("event_cleanup:0", 64, ":eJwDAAAAAAE="),
                ("room_cleanup:0", 64, ":"),
                ("room_cleanup:0", 64, ":-"),
                ("room_cleanup:0", 64, "rooms=1:AAA="),
                ("room_cleanup:0", 64, "rooms=1:eJwDAAAAAAE="),
                ("room_cleanup:0", 64, "rooms=0:eJwDAAAAAAE="),
                ("room_cleanup:0", 64, "rooms=1,rooms=1:eJwDAAAAAAE="),
                ("room_cleanup:0", 64, f"rooms={'9' * 18}:eJwDAAAAAAE="),
                ("room_cleanup:0", 64, f"rooms=1:{packed(bytes(8 * 10**7))}"),  # much more than it says
                ("room_cleanup:0", 64, f"rooms=1:{packed(bytes([255] * 8))}"),  # a number beyond all fingerprints
                ("room_cleanup:0", 64, f"rooms=2:{packed(bytes(16))[:-8]}"),
            )
        ),
    ],
)
def test_what_is_no_id_is_refused(open_world: Open, text: str) -> None:
    world = open_world()
    refused = world.run("room_cleanup", expected_plan_id=text)
    assert refused["failed"] and "expected_plan_id" in refused["msg"]


def test_invites_and_storage(open_world: Open) -> None:
    """An approval is for the things and also for what the run does to them."""
    world = open_world(52)
    build = Builder(world.connection)
    room = build.room(build.user())
    lost = build.assets(room, 1, size=3)[0]
    kept = build.assets(room, 1, size=3)[0]
    build.invite(room, active=False)
    world.storage.upload(world.bucket, [(f"assets/{kept}", 3)])
    cases: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("sync_storage_files", {}, {"missing_storage_file_handling": "delete_asset_entry"}),
        ("invite_cleanup", {}, {"delete_invites": True}),
    ]
    for module, mild, severe in cases:
        before = world.rows()
        other = world.run(module, check_mode=True, **mild)
        assert other["changed"]
        refused = world.run(module, expected_plan_id=other["plan_id"], **severe)
        assert refused["failed"] and "expected_plan_id" in refused["msg"] and world.rows() == before
        preview = world.run(module, check_mode=True, **severe)
        stale = plan_id.PlanIdentity(module, plan_id.parse(preview["plan_id"], module).now).id()
        assert world.run(module, expected_plan_id=stale, **severe)["failed"]
        assert world.run(module, expected_plan_id=preview["plan_id"], **severe)["changed"]
    assert world.ids("assets") == {kept} and world.ids("invites") == set() and lost


def test_folder_that_came_after_the_preview_is_not_approved(
    open_world: Open, open_cloud: Callable[..., CloudServer]
) -> None:
    world, cloud = open_world(67), open_cloud("nextcloud")
    build = Builder(world.connection)
    event = build.event(build.user(), starts_at=LONG_AGO, ends_at=LONG_AGO)
    world.share_folders_on(cloud)
    preview = world.run("event_cleanup", check_mode=True)
    path = f"{cloud.directory}/{event}"
    build.shared_folder(event, path=path, record=cloud.shared_folder(path))
    refused = world.run("event_cleanup", expected_plan_id=preview["plan_id"])
    assert refused["failed"] and f"shared_folders {event}" in refused["msg"], refused["msg"]
    assert "(shared_folders 1 instead of 0)" in refused["msg"] and world.ids("events") == {event}
    fresh = world.run("event_cleanup", check_mode=True)
    assert path not in fresh["plan_id"]
    world.query("UPDATE event_shared_folders SET path = path || '/deeper'")
    assert world.run("event_cleanup", expected_plan_id=fresh["plan_id"])["failed"]
    world.query("UPDATE event_shared_folders SET path = %s", (path,))
    assert world.run("event_cleanup", expected_plan_id=fresh["plan_id"])["done"]["shared_folders"]["count"] == 1


@pytest.mark.parametrize("version", [52, 67])
def test_what_comes_after_the_approval_stays_with_all_that_it_belongs_to(
    open_world: Open, open_cloud: Callable[..., CloudServer], version: int
) -> None:
    world, cloud = open_world(version), open_cloud("nextcloud")
    build = Builder(world.connection)
    owner = build.user()
    events = sorted(build.event(owner, starts_at=LONG_AGO, ends_at=LONG_AGO) for _unused in range(8))
    for event in events:
        build.assets(build.room_of(event), 1)
    world.share_folders_on(cloud)
    world.upload()
    preview = world.run("event_cleanup", check_mode=True)
    came: dict[str, str] = {}

    def act(request: Request) -> None:
        # The plan is made and approved, and the bucket is looked at before the first batch.
        if request.operation != "HeadBucket" or came:
            return
        came["assets"] = build.assets(build.room_of(events[2]), 1)[0]
        came["invites"] = build.invite(build.room_of(events[3]))
        path = f"{cloud.directory}/{events[6]}"
        record = cloud.shared_folder(path)
        build.shared_folder(events[6], path=path, record=record if version >= 65 else None)
        came["event_shared_folders"] = path
        world.upload()

    world.proxy.on_request(act)
    run = world.run("event_cleanup", expected_plan_id=preview["plan_id"], batch_size=3)
    stay = {events[2], events[3], events[6]}
    assert run["failed"] and {failure["id"] for failure in run["failures"]} == stay
    assert all("after the approval" in failure["reason"] for failure in run["failures"])
    assert world.ids("events") == stay and set(run["done"]["events"]["ids"]) == set(events) - stay
    assert came["assets"] in world.ids("assets") and world.ids("invites") == {came["invites"]}
    assert world.objects().keys() == {f"assets/{asset_id}" for asset_id in world.ids("assets")}
    assert came["event_shared_folders"] in cloud.folders
    assert run["plan"]["rows_deleted"]["events"] == 8 and run["done"]["rows_deleted"]["events"] == 5
