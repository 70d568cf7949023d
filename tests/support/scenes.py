# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roots of one job with all that goes with them, and the comparison of the world after a run with what must be there."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from support.builders import Builder
from support.cloud_server import CloudServer
from support.messages import is_sentence
from support.oracle import survivors
from support.snapshot import Snapshot, deleted, parsed
from support.world import World

LONG_AGO = datetime.now(timezone.utc) - timedelta(days=90)
IN_A_YEAR = datetime.now(timezone.utc) + timedelta(days=365)
# The table of a job's roots, and the options with which it deletes them.
JOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "event_cleanup": ("events", {}),
    "adhoc_event_cleanup": ("events", {}),
    "room_cleanup": ("rooms", {}),
    "user_cleanup": ("users", {}),
    "invite_cleanup": ("invites", {"delete_invites": True}),
    "sync_storage_files": (
        "assets",
        {"missing_storage_file_handling": "delete_asset_entry", "max_affected": 10**6},
    ),
}
KINDS = ("events", "rooms", "users", "invites", "assets")


@dataclass
class Root:
    """A root, and the rows of other tables that go with it.

    :ivar rows: for some tables the column and the value that find a row which goes with this root only
    """

    id: str
    rows: dict[str, tuple[str, str]]
    assets: list[str]
    path: str = ""


class Scene:
    """Roots of one job in an installation, and the job's runs.

    :param cloud: has a folder for each event of event_cleanup
    :param assets: the number of assets of each root
    """

    def __init__(
        self, world: World, job: str, number: int = 6, *, cloud: CloudServer | None = None, assets: int = 1
    ) -> None:
        self.world, self.job, self.cloud = world, job, cloud
        self.table, self.options = JOBS[job]
        self.build = Builder(world.connection)
        self.owner, self.guest = self.build.user(), self.build.user()
        self._assets = assets
        make = getattr(self, f"_{job}")
        if cloud:
            cloud.make_folder(cloud.directory)
        self.roots: list[Root] = sorted((make(place) for place in range(number)), key=lambda root: root.id)
        # Something of each kind that nobody may touch.
        stays = self.build.event(self.owner, starts_at=IN_A_YEAR, ends_at=IN_A_YEAR)
        self._belongings(self.build.room_of(stays))
        if job != "sync_storage_files":
            world.upload()
        else:
            world.storage.upload(world.bucket, [(f"assets/{self.build.asset(self.build.room_of(stays))}", 10)])
        if cloud:
            world.share_folders_on(cloud)
        self.begin()

    def begin(self) -> None:
        """Look at the world before the next run."""
        self.rows, self.objects = self.world.rows(), self.world.objects()
        self.folders = set(self.cloud.folders) if self.cloud else set()
        self.world.proxy.clear()
        if self.cloud:
            self.cloud.clear()

    def run(self, **options: Any) -> dict[str, Any]:
        standard = {"shared_folder_requests": 2} if self.cloud else {}
        return self.world.run(self.job, **{**standard, **self.options, **options})

    @property
    def ids(self) -> set[str]:
        return {root.id for root in self.roots}

    def postpone(self, root: Root) -> None:
        """Change the root so that the job does not choose it any more."""
        events = "events" if self.world.version < 60 else "event_dates"
        statement = {
            "event_cleanup": f"UPDATE {events} SET ends_at = now() + interval '9 days'"
            f" WHERE {'id' if events == 'events' else 'event_id'} = %s",
            "adhoc_event_cleanup": "UPDATE events SET is_adhoc = false WHERE id = %s",
            "user_cleanup": "UPDATE users SET disabled_since = NULL WHERE id = %s",
            "invite_cleanup": "UPDATE invites SET active = true WHERE id = %s",
        }.get(self.job)
        if statement:
            self.world.query(statement, (root.id,))
        elif self.job == "room_cleanup":
            self.build.event(self.owner, room=root.id)
        else:
            self.world.storage.upload(self.world.bucket, [(f"assets/{root.id}", 10)])

    @contextlib.contextmanager
    def held(self, root: Root, table: str) -> Iterator[None]:
        """Hold a lock on the row of the table that goes with this root, as a guest's open transaction does."""
        column, value = root.rows[table]
        session = self.world.server.connect(self.world.database)
        try:
            with session.cursor() as cursor:
                cursor.execute(f"SELECT FROM {table} WHERE {column} = %s FOR UPDATE", (value,))
                assert cursor.rowcount == 1, (table, root)
            yield
        finally:
            session.close()

    def survivors(self, gone: Collection[str]) -> Snapshot:
        """The database without these roots."""
        if self.job != "sync_storage_files":
            return survivors(self.rows, self.table, set(gone))
        return {
            table: [
                row
                for row in rows
                if json.loads(row).get({"assets": "id", "room_assets": "asset_id"}.get(table, "")) not in gone
            ]
            for table, rows in self.rows.items()
        }

    def check(self, run: dict[str, Any], *, stay: Collection[str] = (), audit: Path | None = None) -> None:
        """All roots went except these, with all that goes with them, and nothing else; the report says so.

        :param stay: ids of roots
        """
        gone, after = self.ids.difference(stay), self.world.rows()
        assert after == self.survivors(gone)
        kept = {f"assets/{asset['id']}" for asset in parsed(after)["assets"]}
        assert self.world.objects().keys() == self.objects.keys() & kept
        assert self._done(run) == gone & {row["id"] for row in parsed(self.rows)[self.table]}
        assert run["done"]["rows_deleted"] == deleted(self.rows, after)
        if self.cloud:
            events = {row["event_id"] for row in parsed(after)["event_shared_folders"]}
            paths = {root.path for root in self.roots if root.id not in events and root.path}
            assert self.cloud.folders == self.folders - paths
        if audit:
            self.check_audit(audit, after)

    def check_failures(self, run: dict[str, Any], stay: Collection[str], *words: str) -> None:
        """The run failed because of these roots, and says so."""
        assert run.get("failed") and is_sentence(run["msg"]), run
        assert {failure["id"] for failure in run["failures"]} == set(stay)
        assert len(run["failures"]) == len(stay)
        for failure in run["failures"]:
            assert failure["kind"] == self.table and all(word in failure["reason"] for word in words), failure
        assert next(iter(run["failures"]))["id"] in run["msg"]

    def check_audit(self, path: Path, after: Snapshot) -> None:
        """The audit log names what went and nothing else; all counts are right."""
        found = [json.loads(line) for line in path.read_text().splitlines()]
        old, new = parsed(self.rows), parsed(after)
        gone = Counter(
            (kind, identifier)
            for kind in KINDS
            for identifier in {row["id"] for row in old[kind]} - {row["id"] for row in new[kind]}
        )
        gone.update(
            ("objects", key.removeprefix("assets/")) for key in self.objects.keys() - self.world.objects().keys()
        )
        if self.cloud:
            left = self.cloud.folders
            gone.update(("shared_folders", root.id) for root in self.roots if root.path in self.folders - left)
        confirmed: Counter[tuple[str, str]] = Counter()
        rows: Counter[str] = Counter()
        for batch in {line["batch"] for line in found if "batch" in line}:
            lines = [line for line in found if line.get("batch") == batch]
            announced, kept = (
                Counter((line["kind"], line["id"]) for line in lines if line["event"] == event)
                for event in ("deleting", "kept")
            )
            (outcome,) = (line for line in lines if line["event"] in ("deleted", "rolled_back", "unknown"))
            assert outcome is lines[-1] and kept <= announced
            if outcome["event"] == "deleted":
                assert Counter(kind for kind, _unused in announced - kept) == +Counter(outcome["counts"])
                confirmed += announced - kept
                rows.update(outcome["rows"])
        assert confirmed == gone
        assert +rows == deleted(self.rows, after)

    def _done(self, run: dict[str, Any]) -> set[str]:
        kind = "assets_missing" if self.job == "sync_storage_files" else self.table
        assert run["done"][kind]["count"] == len(run["done"][kind]["ids"])
        return set(run["done"][kind]["ids"])

    # Roots

    def _belongings(self, room: str) -> tuple[dict[str, tuple[str, str]], list[str]]:
        """Rows that go with a room."""
        rows = {"rooms": ("id", room), "invites": ("id", self.build.invite(room))}
        if ("casbin_rule", "v0") in self.build.columns:
            rows["casbin_rule"] = ("v1", f"/rooms/{room}")
        assets = [] if self.job == "sync_storage_files" else self.build.assets(room, self._assets)
        if assets:
            rows |= {"assets": ("id", assets[0]), "room_assets": ("asset_id", assets[0])}
        self.world.query(
            "INSERT INTO sip_configs (room, sip_id, password, enable_lobby)"
            " SELECT %s, lpad((count(*) + 1)::text, 10, '0'), '0', false FROM sip_configs",
            (room,),
        )
        return {**rows, "sip_configs": ("room", room)}, assets

    def _event(self, place: int, **columns: Any) -> Root:
        creator = columns.pop("created_by", self.owner)
        event = self.build.event(creator, **columns)
        rows, assets = self._belongings(self.build.room_of(event))
        for statement in (
            "INSERT INTO event_invites (event_id, invitee, created_by) VALUES (%s, %s, %s)",
            "INSERT INTO event_favorites (event_id, user_id) VALUES (%s, %s)",
        ):
            self.world.query(statement, (event, self.guest, creator)[: statement.count("%s")])
        path = ""
        if self.cloud:
            path = f"{self.cloud.directory}/folder {place}"
            self.build.shared_folder(event, path=path)
            rows["event_shared_folders"] = ("event_id", event)
        rows |= {"events": ("id", event), "event_invites": ("event_id", event), "event_favorites": ("event_id", event)}
        if self.build.columns & {("event_dates", "event_id")} and columns.get("ends_at"):
            rows["event_dates"] = ("event_id", event)
        return Root(event, rows, assets, path)

    def _event_cleanup(self, place: int) -> Root:
        return self._event(place, starts_at=LONG_AGO, ends_at=LONG_AGO)

    def _adhoc_event_cleanup(self, place: int) -> Root:
        return self._event(place, is_adhoc=True, created_at=LONG_AGO)

    def _room_cleanup(self, place: int) -> Root:
        room = self.build.room(self.owner)
        return Root(room, *self._belongings(room))

    def _user_cleanup(self, place: int) -> Root:
        user = self.build.user(disabled_since=LONG_AGO)
        event = self._event(place, starts_at=IN_A_YEAR, ends_at=IN_A_YEAR, created_by=user)
        # An event of somebody else that the user changed last.
        other = self.build.event(self.owner, updated_by=user)
        return Root(user, {**event.rows, "users": ("id", user), "updated": ("id", other)}, event.assets, event.path)

    def _invite_cleanup(self, place: int) -> Root:
        invite = self.build.invite(self.build.room(self.owner), active=False)
        rows = {"invites": ("id", invite)}
        if ("casbin_rule", "v0") in self.build.columns:
            ((rule,),) = self.world.query("SELECT min(id)::text FROM casbin_rule WHERE v0 = %s", (f"invite::{invite}",))
            rows["casbin_rule"] = ("id", rule)
        return Root(invite, rows, [])

    def _sync_storage_files(self, place: int) -> Root:
        asset = self.build.asset(self.build.room(self.owner))
        return Root(asset, {"assets": ("id", asset), "room_assets": ("asset_id", asset)}, [])
