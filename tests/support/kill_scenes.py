# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes for tests that kill a job: an installation, the work of the job on it, and checks between and after the runs."""

from __future__ import annotations

import itertools
import json
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion import deletion_run, index_advice

from support import cases, storage_sync
from support.cloud_server import CloudServer
from support.folder_effect import folder_effect
from support.recording_server import Request
from support.shared_folders import segments, stock
from support.snapshot import Snapshot, parsed
from support.tangle import Tangle, first_seed
from support.world import World

FOLDERS = "sync_shared_folders"
# Newer schemas have no permissions of invites that could be cleared.
JOBS = [
    (job, version)
    for job in (*cases.CASES, "user_erasure", storage_sync.JOB, FOLDERS)
    for version in (52, 67)
    if (job, version) != ("invite_cleanup", 67)
]
BATCHES = 3
INDEXES = 2
PARAMETERS = 4
WITHOUT_FOLDERS = ("room_cleanup", "invite_cleanup", "invite_cleanup delete_invites", storage_sync.JOB, FOLDERS)
ORPHANS = 7
KINDS = ("events", "rooms", "users", "invites", "assets")


@dataclass
class Scene:
    """An installation, the expected effects of a job on it, and a way to restore it.

    :ivar expected: the database after the job
    :ivar left: the bucket after the job
    :ivar orphans: paths of folders without an event that the job deletes, although they are not recorded
    :ivar refused: paths of folders that the cloud refuses to delete
    """

    world: World
    cloud: CloudServer
    tangle: Tangle
    module: str
    options: dict[str, Any]
    objects: dict[str, int]
    expected: Snapshot
    left: dict[str, int]
    orphans: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.before = self.world.rows()
        stock(self.cloud, self.before)
        kept = set(self.cloud.folders), self.cloud.links
        for path in self.orphans:
            self.cloud.make_folder(f"{path}/inner")
            self.cloud.share(path)
        self.cloud.make_older(self.orphans, timedelta(days=2))
        self._folders = set(self.cloud.folders), dict(self.cloud.shares)
        self.refused = self._some_folders()
        self._effect = folder_effect(self.cloud, self.before, self.expected, self.refused)
        if self.orphans:
            self._effect.folders, self._effect.links = kept

    def set(self) -> None:
        """Restore everything."""
        self.tangle.write()
        present = self.world.objects()
        self.world.storage.upload(self.world.bucket, self.objects.items() - present.items())
        self.cloud.restore(*self._folders)
        self.cloud.clear_faults()
        self.cloud.fail(403, self._refuses)
        self.world.cloud = self.cloud
        audit_log = Path(self.options["audit_log"])
        audit_log.unlink(missing_ok=True)

    def run(self) -> dict[str, Any]:
        return self.world.run(self.module, **self.options)

    def audit_log_text(self) -> str:
        log = Path(self.options["audit_log"])
        return log.read_text() if log.exists() else ""

    def audit_lines(self) -> list[dict[str, Any]]:
        """The lines of the audit log. The last line of a run that was killed may be cut off; then it is left out."""
        lines = [json.loads(text) if text.endswith("}") else {} for text in self.audit_log_text().splitlines()]
        assert all(line["event"] == "run_started" for last, line in itertools.pairwise(lines) if not last)
        return [line for line in lines if line]

    def settle(self) -> None:
        self.world.settle(self.cloud)

    def check_nothing_orphaned(self) -> None:
        """If rows are gone, their objects and folders are gone, too, also from the trash bin.

        The audit log announced all of them. If a folder is still there although its event is gone, it is left behind there.
        """
        now = self.world.rows()
        gone = {kind: _ids(self.before, kind) - _ids(now, kind) for kind in KINDS}
        assert not {f"assets/{asset}" for asset in gone["assets"]} & self.world.objects().keys()
        effect = folder_effect(self.cloud, self.before, now, self.refused)
        if self.orphans:
            self._check_orphans()
        else:
            assert (self.cloud.folders, self.cloud.links) == (effect.folders, effect.links)
        in_trash = {entry.path for entry in self.cloud.trash}
        assert not self.options.get("empty_trash") or not in_trash & {
            self._paths.get(event) for event in gone["events"]
        }
        announced = self._recorded("deleting") if any(gone.values()) else {}
        written_down = self._recorded("left_behind")["shared_folders"] if any(gone.values()) else set()
        assert {event for event in gone["events"] if self._paths.get(event) in self.cloud.folders} <= written_down
        assert {kind: ids - announced[kind] for kind, ids in gone.items() if ids - announced.get(kind, set())} == {}

    def _check_orphans(self) -> None:
        """Nothing but orphans is gone, no share link lost its folder, and the audit log announced what is gone."""
        gone = self._folders[0] - self.cloud.folders
        assert self.cloud.folders <= self._folders[0] and gone <= self._folders[0] - self._effect.folders
        lost = {path for path in self.cloud.shares.values() if path in gone}
        assert not lost, lost
        if gone:
            announced = self._recorded("deleting")["shared_folders"]
            assert {path[-36:] for path in gone & set(self.orphans)} <= announced

    def check_done(self) -> None:
        """Check that everything is as after an undisturbed run."""
        assert self.world.rows() == self.expected
        assert self.world.objects() == self.left
        if self.module != storage_sync.JOB:
            assert (self.cloud.folders, self.cloud.links) == (self._effect.folders, self._effect.links)
        assert not self.options.get("empty_trash") or not self.cloud.trash
        indexes = "SELECT relname FROM pg_class WHERE starts_with(relname, %s)"
        assert self.world.query(indexes, (index_advice.PREFIX,)) == []

    def _some_folders(self) -> set[str]:
        """Folders that the job must delete but the cloud refuses to delete. No folder of another event overlaps them."""
        rows = parsed(self.before)["event_shared_folders"]
        self._paths = {row["event_id"]: "/".join(segments(row["path"])) for row in rows}
        alone = {path for path in self._paths.values() if sum(map(_is_part(path), self._paths.values())) == 1}
        deleted = folder_effect(self.cloud, self.before, self.expected).deleted
        there = sorted({"/".join(segments(path)) for _event, _provider, path in deleted} & alone & self.cloud.folders)
        return set(there[::2])

    def _refuses(self, request: Request) -> bool:
        path = unquote(request.path)
        return request.operation == "DeleteFolder" and any(path.endswith(f"/{refused}") for refused in self.refused)

    def _recorded(self, event: str) -> dict[str, set[str]]:
        found = defaultdict(set)
        for line in self.audit_lines():
            if line["event"] == event:
                found[line["kind"]].add(line["id"])
        return found


def make(world: World, cloud: CloudServer, job: str, audit_log: Path) -> Scene:
    """A scene with enough work for several batches.

    :param world: without rows
    :param job: a job of JOBS
    """
    seed = first_seed()
    for number in range(100):
        tangle = Tangle(world.connection, seed + number, users=12, rooms=16)
        _share_folders(tangle)
        world.freeze(tangle.now)
        build = {storage_sync.JOB: _sync, FOLDERS: _sync_folders}.get(job, _deletion)
        # Other parameters of the job may do where the first ones do not, and take less time than another database.
        scene = next(filter(None, (build(world, cloud, tangle, job) for _unused in range(PARAMETERS))), None)
        if scene and (scene.refused or job in WITHOUT_FOLDERS):
            scene.options["audit_log"] = str(audit_log)
            return scene
    raise AssertionError("no database has enough for the job to do")


def build_indexes(patch: pytest.MonkeyPatch) -> None:
    """Let jobs build temporary indexes, although the tables are small, but only a few, because that takes long."""
    worthwhile, for_batches = deletion_run.worthwhile, deletion_run.for_batches
    patch.setattr(index_advice, "_BUILD", 0)
    patch.setattr(index_advice, "_BUILD_ANY", 0)
    patch.setattr(deletion_run, "worthwhile", lambda *facts: worthwhile(*facts)[:INDEXES])
    patch.setattr(deletion_run, "for_batches", lambda *facts: for_batches(*facts)[:1])


def _share_folders(tangle: Tangle) -> None:
    """Change the records of half of the folders, so that the cloud has these folders and can delete them."""
    for row in tangle.rows["event_shared_folders"][::2]:
        row["path"] = f"{CloudServer.directory}/{row['event_id']}"
        if "provider_data" in row:
            links = (f"{access} {row['event_id']}" for access in ("write", "read"))
            row["provider_data"] = dict(
                zip(("type", "write_share_id", "read_share_id"), ("nextcloud", *links), strict=True)
            )
    tangle.write()


def _deletion(world: World, cloud: CloudServer, tangle: Tangle, job: str) -> Scene | None:
    before = world.rows()
    case = {**cases.CASES, "user_erasure": cases.user_erasure}[job](tangle.random, before, tangle.now)
    roots = {
        "room_cleanup": "rooms",
        "user_cleanup": "users",
        "user_erasure": "users",
        "invite_cleanup": "invites",
    }.get(case.module, "events")
    chosen = len(case.facts.get("invites", ())) or len(before[roots]) - len(case.expected[roots])
    if chosen < BATCHES:
        return None
    objects = {f"assets/{asset['id']}": asset["size"] for asset in tangle.rows["assets"]}
    objects |= dict(tangle.other_objects())
    gone = {f"assets/{asset}" for asset in _ids(before, "assets") - _ids(case.expected, "assets")}
    if not gone and roots != "invites":
        return None
    left = {key: size for key, size in objects.items() if key not in gone}
    options = {**case.options, "batch_size": -(-chosen // BATCHES)}
    if roots != "invites":
        options["empty_trash"] = True
    return Scene(world, cloud, tangle, case.module, options, objects, case.expected, left)


def _sync(world: World, cloud: CloudServer, tangle: Tangle, job: str) -> Scene | None:
    made = storage_sync.disagree(tangle.random, world.rows(), tangle.now)
    orphans = made.effects.get("orphaned_objects")
    stray = made.effects.get("unlinked_assets")
    if not (orphans and orphans["count"] and stray and stray["count"] and all(made.changed.values())):
        return None
    if made.options["orphan_min_age"]:
        return None
    return Scene(world, cloud, tangle, job, {**made.options, "batch_size": 2}, made.objects, made.rows, made.left)


def _sync_folders(world: World, cloud: CloudServer, tangle: Tangle, job: str) -> Scene:
    identifiers = (uuid.UUID(int=tangle.random.getrandbits(128)) for _unused in range(ORPHANS))
    orphans = [f"{cloud.directory}/opentalk-event-{identifier}" for identifier in identifiers]
    rows, objects = world.rows(), world.objects()
    # No folder of a tangled database has the name that the controller gives, and most records are of other places.
    options = {"orphaned_shared_folders": "delete", "shared_folder_requests": 3, "max_affected": ORPHANS}
    return Scene(world, cloud, tangle, job, options, objects, rows, objects, orphans)


def _is_part(path: str) -> Callable[[str], bool]:
    """A test whether another path is the same folder, or one of both is inside the other."""
    return lambda other: f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/")


def _ids(rows: Snapshot, table: str) -> set[str]:
    return {row["id"] for row in parsed(rows)[table]}
