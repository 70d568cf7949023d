# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows that somebody else holds a lock on: their root stays with all its objects and folders, and the others go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion import batches
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import database

from support.cloud_server import CloudServer
from support.scenes import Scene
from support.world import World

Open = Callable[..., World]
HELD = {
    "event_cleanup": [
        "events", "rooms", "event_invites", "event_favorites", "event_shared_folders", "event_dates", "invites", "sip_configs",
        "assets", "room_assets", "casbin_rule",
    ],
    "adhoc_event_cleanup": ["event_invites", "event_favorites", "room_assets"],
    "room_cleanup": ["invites", "sip_configs", "assets", "casbin_rule"],
    "user_cleanup": ["users", "event_invites", "assets", "updated", "casbin_rule"],
    "invite_cleanup": ["invites", "casbin_rule"],
    "sync_storage_files": ["assets", "room_assets"],
}  # fmt: skip
# Tables that one of the schemas does not have.
ONLY = {"event_dates": 67, "casbin_rule": 52}
CASES = [
    (job, table, version)
    for job, tables in HELD.items()
    for table in tables
    for version in (52, 67)
    if ONLY.get(table, version) == version
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 100)
    monkeypatch.setattr(batches, "LOCK_ATTEMPTS", 2)


@pytest.fixture
def open_scene(open_world: Open, open_cloud: Callable[..., CloudServer]) -> Callable[..., Scene]:
    def make(job: str, version: int, number: int = 6) -> Scene:
        return Scene(open_world(version), job, number, cloud=open_cloud() if job == "event_cleanup" else None)

    return make


@pytest.mark.parametrize(("job", "table", "version"), CASES)
def test_root_of_a_held_row_stays(
    open_scene: Callable[..., Scene], tmp_path: Path, job: str, table: str, version: int
) -> None:
    scene, log = open_scene(job, version), tmp_path / "audit.jsonl"
    later, never = scene.roots[1], scene.roots[4]
    stay = {later.id, never.id}
    name = "events" if table == "updated" else table
    for root in (later, never):
        root.rows[name] = root.rows[table]
    with scene.held(later, name), scene.held(never, name):
        run = scene.run(audit_log=str(log))
    scene.check_failures(run, stay, "another session holds a lock on it")
    scene.check(run, stay=stay, audit=log)
    # One of the two lives on, with all that belongs to it.
    scene.postpone(never)
    scene.begin()
    run = scene.run()
    assert not run.get("failed"), run["msg"]
    scene.check(run, stay={never.id})
