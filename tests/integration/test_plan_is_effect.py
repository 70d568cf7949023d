# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every job that deletes, on every schema: a preview writes nothing, and the run has exactly the effects of its plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from support.cloud_server import CloudServer
from support.oracle import survivors
from support.schemas import SCHEMAS
from support.snapshot import Snapshot, added, counts, deleted
from support.world import World

DISABLED = "SELECT id::text FROM users WHERE disabled_since < now() - interval '30 days'"

# What must go, from how the installation was made: module, options, table, and a query for the ids.
CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("event_cleanup", {}, "events", "SELECT id::text FROM plan WHERE kind IN ('ended', 'all_day')"),
    (
        "event_cleanup",
        {"include_finished_series": True},
        "events",
        "SELECT id::text FROM plan WHERE kind IN ('ended', 'all_day', 'finished')",
    ),
    # Created every six hours: the fifth and all before it are a day old.
    ("adhoc_event_cleanup", {}, "events", "SELECT id::text FROM plan WHERE kind = 'adhoc' AND age % 20 >= 4"),
    ("user_cleanup", {}, "users", DISABLED),
    ("user_cleanup", {"batch_size": 1}, "users", DISABLED),
    ("room_cleanup", {}, "rooms", "SELECT id::text FROM rooms EXCEPT SELECT room::text FROM plan"),
]


# Up to migration 64 all folders are on Nextcloud.
INSTALLATIONS = [*((version, "nextcloud") for version in SCHEMAS), (67, "opencloud")]


@pytest.mark.parametrize(("version", "provider"), INSTALLATIONS)
@pytest.mark.parametrize(("module", "options", "table", "oracle"), CASES)
def test_plan_is_effect(
    open_world: Callable[..., World],
    open_cloud: Callable[..., CloudServer],
    version: int,
    provider: str,
    module: str,
    options: dict[str, Any],
    table: str,
    oracle: str,
) -> None:
    world, cloud = open_world(version), open_cloud(provider)
    world.fill(in_place=True, events=220, users=60)
    world.share_folders_on(cloud)
    rows, objects, folders = world.rows(), world.objects(), set(cloud.folders)
    expected = {row[0] for row in world.query(oracle)}

    preview = world.run(module, check_mode=True, diff=True, **options)
    assert preview["changed"]
    assert world.rows() == rows
    assert world.objects() == objects
    assert world.proxy.writes == cloud.writes == []
    assert preview["done"]["rows_deleted"] == {}

    run = world.run(module, **options)
    assert run["changed"]
    assert run["plan"] == preview["plan"]
    after = world.rows()
    assert after == survivors(rows, table, expected)
    updated = counts(added(rows, after))
    assert updated == preview["plan"]["rows_updated"]
    assert deleted(rows, after) == preview["plan"]["rows_deleted"]
    assert run["done"]["rows_deleted"] == preview["plan"]["rows_deleted"]
    if "batch_size" not in options:  # else a row can be updated in one batch and deleted in a later one
        assert run["done"]["rows_updated"] == preview["plan"]["rows_updated"]
    others = _of_others(rows, after, expected) if table == "users" else set()
    assert set(preview["plan"]["events_of_other_users"]["ids"]) == others
    assert table != "users" or others
    for kind in ("events", "events_of_other_users", "rooms", "users", "invites", "assets"):
        # Sorted within each batch.
        done, planned = run["done"][kind], preview["plan"][kind]
        assert not planned["truncated"]
        assert {**done, "ids": sorted(done["ids"])} == {**planned, "ids": sorted(planned["ids"])}
    _check_folders(cloud, folders, rows, after, run)

    assert set(run["done"][table]["ids"]) == expected != set()
    assert world.ids(table) == _ids_before(rows, table) - expected
    _check_objects(world, objects, preview["plan"])
    _check_nothing_dangles(world, run["done"], version)

    world.proxy.clear()
    cloud.clear()
    again = world.run(module, **options)
    assert not again["changed"]
    assert world.rows() == after
    assert world.proxy.writes == cloud.writes == []


def _check_folders(cloud: CloudServer, before: set[str], rows: Snapshot, after: Snapshot, run: dict[str, Any]) -> None:
    recorded = {row["event_id"]: row["path"] for row in map(json.loads, rows["event_shared_folders"])}
    left = {row["event_id"]: row["path"] for row in map(json.loads, after["event_shared_folders"])}
    gone = recorded.keys() - left.keys()
    assert run["shared_folders_left_behind"] == []
    for effects in (run["plan"], run["done"]):
        items = {item["event_id"]: (item["provider"], item["path"]) for item in effects["shared_folders"]["items"]}
        assert items == {event: (cloud.provider, recorded[event]) for event in gone}
        assert effects["shared_folders"]["count"] == len(items)
    assert before - cloud.folders == {recorded[event] for event in gone}
    assert sorted(cloud.shares.values()) == sorted([*left.values(), *left.values()])


def _ids_before(rows: Snapshot, table: str) -> set[str]:
    return {json.loads(row)["id"] for row in rows[table]}


def _of_others(rows: Snapshot, after: Snapshot, users: set[str]) -> set[str]:
    gone = _ids_before(rows, "events") - _ids_before(after, "events")
    events = map(json.loads, rows["events"])
    return {event["id"] for event in events if event["id"] in gone and event["created_by"] not in users}


def _check_objects(world: World, before: dict[str, int], plan: dict[str, Any]) -> None:
    planned = {f"assets/{asset_id}" for asset_id in plan["assets"]["ids"]}
    left = world.objects()
    assert before.keys() - left.keys() == planned
    assert plan["assets"]["bytes"] == sum(before[key] for key in planned)
    assert {f"assets/{asset_id}" for asset_id in world.ids("assets")} == left.keys()


def _check_nothing_dangles(world: World, done: dict[str, Any], version: int) -> None:
    asset_without_room = "SELECT 1 FROM assets a WHERE NOT EXISTS (SELECT FROM room_assets r WHERE r.asset_id = a.id)"
    assert world.query(asset_without_room) == []
    if version < 66:
        gone = [thing for kind in ("events", "rooms", "invites") for thing in done[kind]["ids"]]
        assert not any(done[kind]["truncated"] for kind in ("events", "rooms", "invites"))
        patterns = [f"%{thing}%" for thing in gone]
        assert (
            world.query("SELECT 1 FROM casbin_rule WHERE v0 LIKE ANY(%s) OR v1 LIKE ANY(%s)", (patterns, patterns))
            == []
        )
