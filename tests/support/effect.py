# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that a preview writes nothing, and that the run deletes exactly the rows and objects that the preview showed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion import batches

from support.folder_effect import folder_effect
from support.snapshot import Snapshot, counts, parsed, removed
from support.world import World

KINDS = ("events", "rooms", "users", "invites", "assets")


def check_effect(
    world: World,
    module: str,
    options: dict[str, Any],
    before: Snapshot,
    expected: Snapshot,
    *,
    users: frozenset[str] = frozenset(),
    invites: set[str] | None = None,
    objects: dict[str, int] | None = None,
    again: bool = True,
) -> dict[str, int]:
    """Preview and run a job that deletes. The plan, the report and the effects must be the same.

    :param before: the database before the run
    :param expected: the database that the run must leave
    :param users: ids of the users that are roots
    :param invites: ids of the invites that must be listed, if these are not the deleted ones
    :param objects: the objects in the bucket, if they are known
    :param again: whether there is a second run, which must find nothing to do
    :returns: the objects in the bucket after the run
    """
    cloud = world.cloud
    objects = world.objects() if objects is None else objects
    folders = folder_effect(cloud, before, expected)
    world.proxy.clear()
    if cloud:
        cloud.clear()
    preview = world.run(module, check_mode=True, **options)
    assert not preview.get("failed"), preview.get("msg")
    assert world.rows() == before, "the preview changed the database"
    assert world.proxy.writes == [] and not (cloud and cloud.writes)
    plan = preview["plan"]

    run = world.run(module, **options)
    assert not run.get("failed"), run.get("msg")
    after = world.rows()
    assert after == expected, _difference(expected, after)
    assert run["plan"] == plan

    deleted, updated = _changes(before, expected)
    assert plan["rows_deleted"] == deleted
    assert plan["rows_updated"] == updated
    assert run["done"]["rows_deleted"] == deleted
    if len(users) <= min(batches.FIRST, options.get("batch_size", batches.FIRST)):
        # With more batches, one batch may update a row and a later one may delete it.
        assert run["done"]["rows_updated"] == updated
    assert run["changed"] == preview["changed"] == (before != expected)

    listed = _listed(before, expected, users)
    if invites is not None:
        listed["invites"] = invites
    for kind, ids in listed.items():
        for report in (plan, run["done"]):
            if kind in report:
                assert (report[kind]["count"], set(report[kind]["ids"])) == (len(ids), ids), kind
            else:
                assert not ids, kind
    if "assets" in plan:
        sizes = {asset["id"]: asset["size"] for asset in parsed(before)["assets"]}
        assert plan["assets"]["bytes"] == run["done"]["assets"]["bytes"] == sum(sizes[id] for id in listed["assets"])
    gone = {f"assets/{asset}" for asset in listed["assets"]}
    left = world.objects()
    assert left == {key: size for key, size in objects.items() if key not in gone}

    if "shared_folders" in plan:
        for report in (plan, run["done"]):
            assert all(item.pop("in_trash") for item in report["shared_folders"]["items"])
            items = [tuple(item.values()) for item in report["shared_folders"]["items"]]
            assert set(items) == folders.deleted
            assert report["shared_folders"]["count"] == len(items) == len(set(items))
        for result in (preview, run):
            assert {left["event_id"] for left in result["shared_folders_left_behind"]} == folders.left_behind
    else:
        assert not folders.deleted and not folders.left_behind
    if cloud:
        assert (cloud.folders, cloud.links) == (folders.folders, folders.links)

    if again:
        world.proxy.clear()
        second = world.run(module, **options)
        assert not second.get("failed"), second.get("msg")
        assert not second["changed"]
        assert world.proxy.writes == []
        assert world.rows() == after
    return left


def _changes(before: Snapshot, expected: Snapshot) -> tuple[dict[str, int], dict[str, int]]:
    """The number of deleted and the number of changed rows by table, without tables that have none."""
    deleted = {table: len(rows) - len(expected[table]) for table, rows in before.items()}
    touched = counts(removed(before, expected))
    updated = {table: number - deleted[table] for table, number in touched.items()}
    return +Counter(deleted), +Counter(updated)


def _listed(before: Snapshot, expected: Snapshot, users: frozenset[str]) -> dict[str, set[str]]:
    old, new = parsed(before), parsed(expected)
    gone = {kind: {row["id"] for row in old[kind]} - {row["id"] for row in new[kind]} for kind in KINDS}
    others = {row["id"] for row in old["events"] if row["id"] in gone["events"] and row["created_by"] not in users}
    gone["events_of_other_users"] = others if users else set()
    return gone


def _difference(expected: Snapshot, after: Snapshot) -> str:
    return f"missing: {removed(expected, after)}; too much: {removed(after, expected)}"
