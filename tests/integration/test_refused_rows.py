# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows that the database refuses to delete, or keeps: their root stays with all its objects and folders, the others go."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.batches import MOST_LOCKED

from support.builders import Builder
from support.cloud_server import CloudServer
from support.keycloak import KeycloakProxy, KeycloakServer, Realm
from support.keycloak_stand_in import KeycloakStandIn
from support.keycloak_world import KeycloakWorld
from support.oracle import without_permissions
from support.poison import ERRORS, NULL, PLANTED, SAME, cure, poison
from support.scenes import Scene
from support.world import World

Open = Callable[..., World]
NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)


@pytest.fixture
def open_scene(open_world: Open, open_cloud: Callable[..., CloudServer]) -> Callable[..., Scene]:
    def make(job: str, version: int, number: int = 6) -> Scene:
        return Scene(open_world(version), job, number, cloud=open_cloud() if job == "event_cleanup" else None)

    return make


def check_kept(scene: Scene, log: Path, *words: str, table: str, places: tuple[int, ...] = (1, 4)) -> None:
    """The roots at these places stay, and say why. When the cause is gone, the next run completes the work."""
    stay = {scene.roots[place].id for place in places}
    run = scene.run(audit_log=str(log))
    assert PLANTED not in str(run) and PLANTED not in log.read_text()
    scene.check_failures(run, stay, f"table {table}", *words)
    scene.check(run, stay=stay, audit=log)
    cure(scene.world)
    scene.begin()
    run = scene.run()
    assert not run.get("failed"), run["msg"]
    scene.check(run)


def plant(scene: Scene, table: str, action: str, kind: str, places: tuple[int, ...] = (1, 4)) -> str:
    """Poison the rows of the table that go with the roots at these places, and return the table's real name."""
    rows = [scene.roots[place].rows[table] for place in places]
    name = "events" if table == "updated" else table
    poison(scene.world, name, rows[0][0], {value for _column, value in rows}, action, kind)
    return name


RAISED = [
    ("event_cleanup", 52, "events", "before row", "exception"),
    ("event_cleanup", 67, "events", "deferred", "own state"),
    ("event_cleanup", 67, "event_invites", "after row", "constraint of its own"),
    ("event_cleanup", 52, "event_favorites", "after statement", "division by zero"),
    ("event_cleanup", 67, "event_shared_folders", "before row", "missing privilege"),
    ("event_cleanup", 52, "casbin_rule", "deferred", "dropped table"),
    ("event_cleanup", 52, "assets", "after row", "privilege of its own"),
    ("event_cleanup", 67, "event_dates", "deferred", "dropped column"),
    ("adhoc_event_cleanup", 52, "event_invites", "deferred", "exception"),
    ("adhoc_event_cleanup", 67, "rooms", "after statement", "missing privilege"),
    ("room_cleanup", 52, "casbin_rule", "after row", "own state"),
    ("room_cleanup", 67, "invites", "before row", "dropped table"),
    ("room_cleanup", 67, "room_assets", "after statement", "exception"),
    ("user_cleanup", 52, "users", "after row", "division by zero"),
    ("user_cleanup", 67, "event_invites", "before row", "own state"),
    ("user_cleanup", 52, "updated", "before update", "exception"),
    ("invite_cleanup", 52, "casbin_rule", "before row", "dropped column"),
    ("invite_cleanup", 67, "invites", "deferred", "constraint of its own"),
    ("sync_storage_files", 52, "assets", "after row", "missing privilege"),
    ("sync_storage_files", 67, "room_assets", "deferred", "division by zero"),
]


@pytest.mark.parametrize(("job", "version", "table", "kind", "error"), RAISED)
def test_trigger_that_raises(
    open_scene: Callable[..., Scene], tmp_path: Path, job: str, version: int, table: str, kind: str, error: str
) -> None:
    scene = open_scene(job, version)
    state, action = ERRORS[error]
    check_kept(scene, tmp_path / "audit.jsonl", state, table=plant(scene, table, action, kind))


def test_trigger_that_raises_before_every_statement(open_scene: Callable[..., Scene], tmp_path: Path) -> None:
    scene = open_scene("event_cleanup", 67)
    scene.world.query(
        f"CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{PLANTED}'; END $$;"
        "CREATE TRIGGER poison BEFORE DELETE ON event_invites FOR EACH STATEMENT EXECUTE FUNCTION poison()"
    )
    places = tuple(range(len(scene.roots)))
    check_kept(scene, tmp_path / "audit.jsonl", "P0001", table="event_invites", places=places)


@pytest.mark.parametrize("version", [52, 67])
@pytest.mark.parametrize("job", ["event_cleanup", "room_cleanup"])
def test_constraint_that_a_change_breaks(
    open_scene: Callable[..., Scene], tmp_path: Path, job: str, version: int
) -> None:
    """The catalogue does not tell this: the reference may be empty, but not for every row."""
    scene, log = open_scene(job, version), tmp_path / "audit.jsonl"
    root = scene.roots[2]
    scene.world.query(
        f"CREATE TABLE notes (thing uuid REFERENCES {scene.table} ON DELETE SET NULL, text text,"
        f" CONSTRAINT has_thing CHECK (thing IS NOT NULL OR text <> '{PLANTED}'))"
    )
    scene.world.query("INSERT INTO notes VALUES (%s, %s)", (root.id, PLANTED))
    scene.begin()
    run = scene.run(audit_log=str(log))
    assert PLANTED not in str(run) and PLANTED not in log.read_text()
    scene.check_failures(run, {root.id}, "constraint has_thing of table notes")
    scene.check(run, stay={root.id}, audit=log)
    scene.world.query("DELETE FROM notes")
    scene.begin()
    run = scene.run()
    assert not run.get("failed"), run["msg"]
    scene.check(run)


def test_many_refused_rows(open_scene: Callable[..., Scene], tmp_path: Path) -> None:
    scene, log = open_scene("room_cleanup", 67, 200), tmp_path / "audit.jsonl"
    places = tuple(range(3, 200, 7))
    assert len(places) > 2 * MOST_LOCKED
    state, action = ERRORS["exception"]
    check_kept(scene, log, state, table=plant(scene, "invites", action, "before row", places), places=places)


KEPT = [
    ("event_cleanup", 52, "assets"),
    ("event_cleanup", 67, "event_invites"),
    ("event_cleanup", 52, "casbin_rule"),
    ("event_cleanup", 67, "events"),
    ("event_cleanup", 52, "event_shared_folders"),
    ("adhoc_event_cleanup", 67, "event_favorites"),
    ("room_cleanup", 52, "casbin_rule"),
    ("room_cleanup", 67, "sip_configs"),
    ("user_cleanup", 67, "assets"),
    ("user_cleanup", 52, "event_invites"),
    ("invite_cleanup", 52, "casbin_rule"),
    ("invite_cleanup", 67, "invites"),
    ("sync_storage_files", 52, "assets"),
    ("sync_storage_files", 67, "room_assets"),
]


@pytest.mark.parametrize(("job", "version", "table"), KEPT)
def test_trigger_that_keeps_rows(
    open_scene: Callable[..., Scene], tmp_path: Path, job: str, version: int, table: str
) -> None:
    scene = open_scene(job, version)
    name = plant(scene, table, NULL, "before row")
    check_kept(scene, tmp_path / "audit.jsonl", "a trigger of", "keeps", table=name)


@pytest.mark.parametrize("version", [52, 67])
@pytest.mark.parametrize("action", [NULL, SAME])
def test_trigger_that_keeps_references(
    open_scene: Callable[..., Scene], tmp_path: Path, version: int, action: str
) -> None:
    """The user changed an event of somebody else last. If that cannot be changed, the user stays."""
    scene = open_scene("user_cleanup", version)
    check_kept(scene, tmp_path / "audit.jsonl", table=plant(scene, "updated", action, "before update"))


@pytest.mark.parametrize(("action", "word"), [(NULL, "keeps"), (ERRORS["exception"][1], "P0001")])
def test_permissions_without_their_invites(
    open_scene: Callable[..., Scene], tmp_path: Path, action: str, word: str
) -> None:
    scene, log = open_scene("invite_cleanup", 52), tmp_path / "audit.jsonl"
    scene.options = {}
    scene.world.query(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
        "CREATE TRIGGER no AFTER DELETE ON invites FOR EACH ROW EXECUTE FUNCTION no()"
    )
    plant(scene, "casbin_rule", action, "before row")
    stay = {scene.roots[1].id, scene.roots[4].id}
    run = scene.run(audit_log=str(log))
    scene.check_failures(run, stay, "table casbin_rule", word)
    assert scene.world.rows() == without_permissions(scene.rows, scene.ids - stay)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["id"] for line in lines if line["event"] == "deleting"} == scene.ids - stay
    cure(scene.world)
    assert not scene.run().get("failed")
    assert scene.world.rows() == without_permissions(scene.rows, scene.ids)


# Changes instead of deletions


@pytest.mark.parametrize("action", [NULL, SAME])
@pytest.mark.parametrize("version", [52, 67])
def test_sizes_that_a_trigger_keeps(open_world: Open, version: int, action: str) -> None:
    world = open_world(version)
    build = Builder(world.connection)
    assets = build.assets(build.room(build.user()), 8, size=10)
    wrong, missing = assets[:4], assets[4:]
    world.storage.upload(world.bucket, [(f"assets/{asset}", 7) for asset in wrong])
    kept = {wrong[1], missing[2]}
    poison(world, "assets", "id", kept, action, "before update")
    run = world.run("sync_storage_files", max_affected=99)
    assert {failure["id"] for failure in run["failures"]} == kept and run["failed"]
    assert all("trigger of table assets keeps" in failure["reason"] for failure in run["failures"])
    sizes = {asset: 10 if asset in kept else 7 if asset in wrong else 0 for asset in assets}
    assert dict(world.query("SELECT id::text, size FROM assets")) == sizes
    assert {item["id"] for item in run["done"]["assets_resized"]["items"]} == set(wrong) - kept
    assert set(run["done"]["assets_missing"]["ids"]) == set(missing) - kept
    assert run["done"]["rows_updated"] == {"assets": 6}
    cure(world)
    assert world.run("sync_storage_files", max_affected=99)["done"]["rows_updated"] == {"assets": 2}


@pytest.mark.parametrize("action", [NULL, SAME])
@pytest.mark.parametrize("version", [52, 67])
def test_users_that_a_trigger_keeps(open_world: Open, version: int, action: str) -> None:
    with KeycloakStandIn() as stand_in, KeycloakProxy(stand_in.url) as proxy:
        realm = Realm(KeycloakServer(stand_in))
        subjects = list(realm.add({"username": f"user{number}"} for number in range(4)).values())
        synced = KeycloakWorld(open_world(version), realm, proxy)
        enable = [synced.build.user(oidc_sub=subject, disabled_since=NOW) for subject in subjects]
        disable = [synced.build.user() for _unused in range(4)]
        kept, before = {enable[1], disable[2]}, synced.disabled()
        poison(synced.world, "users", "id", kept, action, "before update")
        run = synced.run()
        assert {failure["id"] for failure in run["failures"]} == kept and run["failed"]
        assert all("trigger of table users keeps" in failure["reason"] for failure in run["failures"])
        after = synced.disabled()
        assert {user for user in before if after[user] == before[user]} == kept
        assert set(run["done"]["users_enabled"]["ids"]) == set(enable) - kept
        assert set(run["done"]["users_disabled"]["ids"]) == set(disable) - kept
        cure(synced.world)
        assert synced.run()["done"]["rows_updated"] == {"users": 2}
