# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sync_storage_files does with assets that no room has, unfinished uploads, and versions that nobody sees."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import object_storage_leftovers

from support.builders import Builder
from support.children import Child
from support.postgresql import PostgreSQLServer
from support.recording_server import Request
from support.talks import Talks
from support.world import World

Open = Callable[..., World]
MODULE = "sync_storage_files"
DELETE = {"unlinked_assets": "delete", "unfinished_uploads": "abort", "hidden_versions": "delete"}
KINDS = tuple(DELETE)
OLD = timedelta(days=1, seconds=5)


class Leftovers:
    """An installation with ten assets in order, and leftovers of each kind.

    :ivar old: the keys that seem older than a day
    """

    def __init__(self, world: World, assets: int = 10) -> None:
        self.world = world
        self.client = world.storage.client()
        self.build = Builder(world.connection)
        self.room = self.build.room(self.build.user())
        self.linked = self.build.assets(self.room, assets, size=3)
        for asset in self.linked:
            self.put(asset, 3)
        self.old: set[str] = set()

    def put(self, name: str, size: int) -> str:
        """Write an object, and return the id of its version."""
        answer = self.client.put_object(Bucket=self.world.bucket, Key=_key(name), Body=bytes(size))
        return str(answer.get("VersionId", ""))

    def hide(self, name: str, *sizes: int, old: bool = True) -> str:
        """Write versions, and delete the object without them. Without sizes, only the delete marker stays."""
        names = {"Bucket": self.world.bucket, "Key": _key(name)}
        versions = [self.put(name, size) for size in sizes or (1,)]
        self.client.delete_object(**names)
        if not sizes:
            self.client.delete_object(**names, VersionId=versions[0])
        self.old |= {_key(name)} if old else set()
        return name

    def begin(self, name: str, *sizes: int, old: bool = True) -> str:
        """Begin an upload, and write parts of these sizes."""
        names = {"Bucket": self.world.bucket, "Key": _key(name)}
        upload = self.client.create_multipart_upload(**names)["UploadId"]
        for number, size in enumerate(sizes, 1):
            self.client.upload_part(**names, UploadId=upload, PartNumber=number, Body=bytes(size))
        self.old |= {_key(name)} if old else set()
        return name

    def write(self, name: str, number: int, size: int) -> None:
        """Write a part of the only upload of a key."""
        (upload,) = (upload for key, upload in self.uploads() if key == _key(name))
        self.client.upload_part(
            Bucket=self.world.bucket, Key=_key(name), UploadId=upload, PartNumber=number, Body=bytes(size)
        )

    def unlink(self, number: int, *, size: int | None = 7, old: bool = True) -> list[str]:
        """Assets that no room has, with objects of that size, or without."""
        assets = self.build.assets(self.room, number, size=size or 0)
        self.world.query("DELETE FROM room_assets WHERE asset_id = ANY (%s::uuid[])", (assets,))
        if old:
            self.world.query(
                "UPDATE assets SET created_at = now() - interval '2 days' WHERE id = ANY (%s::uuid[])", (assets,)
            )
        for asset in assets if size is not None else []:
            self.put(asset, size or 0)
        return assets

    def make_older(self) -> None:
        self.world.proxy.make_older(self.old, OLD)

    def run(self, **options: Any) -> dict[str, Any]:
        return self.world.run(MODULE, **options)

    def uploads(self) -> set[tuple[str, str]]:
        found = self.client.list_multipart_uploads(Bucket=self.world.bucket).get("Uploads", [])
        return {(entry["Key"], entry["UploadId"]) for entry in found}

    def state(self) -> tuple[Any, ...]:
        world = self.world
        return world.rows(), world.storage.versions(world.bucket), self.uploads()

    def keys(self) -> set[str]:
        """The keys of everything in the bucket: objects, versions, delete markers."""
        return {key for key, _version in self.world.storage.versions(self.world.bucket)}


def _key(name: str) -> str:
    return name if "/" in name else f"assets/{name}"


def _new() -> str:
    return str(uuid.uuid4())


def _found(effects: dict[str, Any]) -> dict[str, tuple[int, set[str], int, bool]]:
    return {
        kind: (found["count"], set(found["ids"]), found["bytes"], found["complete"])
        for kind, found in ((kind, effects[kind]) for kind in KINDS)
    }


@pytest.mark.parametrize("version", [52, 67])
def test_each_leftover_goes_and_everything_else_stays(open_world: Open, tmp_path: Path, version: int) -> None:
    made = Leftovers(open_world(version, versioned=True))
    world = made.world
    stray = made.unlink(3) + made.unlink(1, size=None)
    young_row = made.unlink(1, old=False)
    # Another table of a later schema may refer to assets, too.
    (elsewhere,) = made.unlink(1)
    world.query("CREATE TABLE later (asset uuid REFERENCES assets ON DELETE SET NULL)")
    world.query("INSERT INTO later VALUES (%s)", (elsewhere,))
    hidden = [made.hide(_new(), 100, 20), made.hide(_new(), 5), made.hide(_new())]
    replaced = _new()
    made.put(replaced, 5)
    current = made.put(replaced, 6)
    made.old.add(_key(replaced))
    made.hide(_new(), 9, old=False)
    made.hide("backups/a", 9)
    made.hide("assets/almost", 9)
    made.put(made.linked[0], 3)
    made.hide(made.linked[1], 4)
    world.query("UPDATE assets SET size = 0 WHERE id = %s", (made.linked[1],))
    uploads = [made.begin(_new(), 1000, 10), made.begin(_new())]
    uploads.append(made.begin(uploads[0], 50))
    made.begin(_new(), 9, old=False)
    made.begin("backups/b", 9)
    busy = made.begin(_new(), 9)
    world.proxy.fault(world.proxy.answer, lambda request: request.operation == "ListParts" and busy in request.path)
    made.make_older()
    before = made.state()

    expected = {
        "unlinked_assets": (4, set(stray), 21, True),
        "unfinished_uploads": (3, set(uploads), 1060, True),
        "hidden_versions": (4, {*hidden, replaced}, 130, True),
    }
    world.proxy.clear()
    for mode in (True, False):
        report = made.run(check_mode=mode)
        assert _found(report["plan"]) == expected and not report["changed"], report["plan"]
        assert f"those of {len(expected['hidden_versions'][1])} keys (130 bytes)" in str(report["warnings"])
    preview = made.run(check_mode=True, diff=True, **DELETE)
    assert made.state() == before and world.proxy.writes == []

    log = tmp_path / "audit.jsonl"
    run = made.run(audit_log=str(log), **DELETE)
    assert not run.get("failed"), run["msg"]
    assert run["plan"] == preview["plan"] and _found(preview["plan"]) == _found(run["done"]) == expected
    assert run["plan"]["rows_deleted"] == run["done"]["rows_deleted"] == {"assets": 4}
    gone = {f"assets/{asset}" for asset in [*stray, *hidden]}
    rows, versions, parts = before
    left = {(key, version) for key, version in versions if key not in gone and key != _key(replaced)}
    after = made.state()
    assert after[1] == left | {(_key(replaced), current)}
    assert after[2] == {(key, upload) for key, upload in parts if key.rpartition("/")[2] not in uploads}
    kept = [text for text in rows["assets"] if json.loads(text)["id"] not in stray]
    assert after[0] == {**rows, "assets": kept} and {*young_row, elsewhere} <= {json.loads(row)["id"] for row in kept}
    lines = [json.loads(text) for text in log.read_text().splitlines()]
    announced = {kind: sorted(line["id"] for line in lines if line.get("kind") == kind) for kind in
                 ("assets", "objects", "versions", "uploads")}  # fmt: skip
    assert announced == {"assets": sorted(stray), "objects": sorted(stray), "versions": sorted([*hidden, replaced]),
                         "uploads": sorted(uploads)}  # fmt: skip

    world.proxy.clear()
    again = made.run(**DELETE)
    assert not again["changed"] and made.state() == after and world.proxy.writes == []
    # If orphans are deleted, an object goes with what is behind it.
    made.put(replaced, 8)
    run = made.run(orphaned_objects="delete", **DELETE)
    assert run["plan"]["hidden_versions"]["count"] == 0 and run["done"]["orphaned_objects"]["ids"] == [replaced]
    assert _key(replaced) not in made.keys()


def test_run_does_no_more_than_its_preview_showed(open_world: Open) -> None:
    made = Leftovers(open_world(versioned=True))
    shown = {"unlinked_assets": set(made.unlink(2)), "unfinished_uploads": {made.begin(_new(), 1)},
             "hidden_versions": {made.hide(_new(), 1), made.hide(_new(), 1)}}  # fmt: skip
    options = {**DELETE, "orphan_min_age": 0}
    approval = made.run(check_mode=True, report_limit=0, **options)["approval"]
    assert {kind: {name[:36] for name in names} for kind, names in approval["roots"].items()} == {
        "unlinked": shown["unlinked_assets"], "uploads": shown["unfinished_uploads"], "versions": shown["hidden_versions"],
    }  # fmt: skip
    (upload,) = shown["unfinished_uploads"]
    made.begin(upload, 2)
    made.begin(_new(), 1)
    made.hide(_new(), 1)
    made.unlink(1)
    changed_key, changed_row = sorted(shown["hidden_versions"])[0], sorted(shown["unlinked_assets"])[0]
    made.hide(changed_key, 1)
    made.world.query("UPDATE assets SET filename = filename WHERE id = %s", (changed_row,))
    before = made.state()
    run = made.run(approved_plan=approval, **options)
    assert {(failure["kind"], failure["id"]) for failure in run["failures"]} == {
        ("versions", changed_key), ("assets", changed_row),
    }  # fmt: skip
    gone = {"unlinked_assets": shown["unlinked_assets"] - {changed_row}, "unfinished_uploads": {upload},
            "hidden_versions": shown["hidden_versions"] - {changed_key}}  # fmt: skip
    assert {kind: set(run["done"][kind]["ids"]) for kind in KINDS} == gone
    rows, versions, uploads = made.state()
    assert len(before[0]["assets"]) - len(rows["assets"]) == 1 and len(before[2] - uploads) == 1
    keys = {_key(name) for kind in ("unlinked_assets", "hidden_versions") for name in gone[kind]}
    assert {key for key, _version in before[1] - versions} == keys


def test_what_changes_meanwhile_stays(open_world: Open) -> None:
    """A link, an asset, a version and a part come between the plan and the deletion."""
    made = Leftovers(open_world(versioned=True))
    world = made.world
    linked, stray = made.unlink(2)
    restored, recorded, hidden = made.hide(_new(), 1), made.hide(_new(), 1), made.hide(_new(), 1)
    busy, aborted = made.begin(_new(), 5), made.begin(_new(), 5)
    made.make_older()
    looks: list[Request] = []

    def meanwhile(request: Request) -> None:
        if request.operation == "ListMultipartUploads":
            # It is the last listing of the plan.
            world.query("INSERT INTO room_assets (room_id, asset_id) VALUES (%s, %s)", (made.room, linked))
            made.put(restored, 2)
            asset = made.build.assets(made.room, 1)
            world.query("DELETE FROM room_assets WHERE asset_id = ANY (%s::uuid[])", (asset,))
            world.query("UPDATE assets SET id = %s WHERE id = %s", (recorded, asset[0]))
        if request.operation == "ListParts" and busy in request.path:
            looks.append(request)
            if len(looks) == 2:
                made.write(busy, 2, 3)

    world.proxy.on_request(meanwhile)
    run = made.run(**DELETE)
    world.proxy.on_request(None)
    assert not run.get("failed"), run["msg"]
    assert [run["done"][kind]["ids"] for kind in KINDS] == [[stray], [aborted], [hidden]]
    assert {linked, recorded} <= world.ids("assets") and stray not in world.ids("assets")
    assert {_key(linked), _key(restored), _key(recorded)} <= made.keys()
    assert {key for key, _upload in made.uploads()} == {_key(busy)}
    log = "\n".join(run["log"])
    assert all(name in log for name in (linked, restored, recorded, busy))


def _role(world: World, postgresql: PostgreSQLServer, name: str) -> str:
    """The URL of a role that may change assets, but not read which rooms have them."""
    world.query(
        f"CREATE ROLE {name} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA public TO {name};"
        f" GRANT SELECT, UPDATE, DELETE ON assets TO {name}; GRANT SELECT ON refinery_schema_history TO {name}"
    )
    scheme, _slashes, rest = postgresql.url(world.database).partition("://")
    return f"{scheme}://{name}:x@{rest.rpartition('@')[2]}"


@pytest.mark.parametrize(
    ("operation", "kind", "right"),
    [
        ("ListMultipartUploads", "unfinished_uploads", "s3:ListBucketMultipartUploads"),
        ("ListParts", "unfinished_uploads", "s3:ListMultipartUploadParts"),
        ("ListObjectVersions", "hidden_versions", "s3:ListBucketVersions"),
        ("", "unlinked_assets", "room_assets.asset_id"),
    ],
)
def test_missing_right_is_told_and_fails_only_who_needs_it(
    open_world: Open, postgresql: PostgreSQLServer, operation: str, kind: str, right: str
) -> None:
    made = Leftovers(open_world(versioned=True))
    made.begin(_new(), 5)
    made.hide(_new(), 5)
    stray = made.unlink(1)
    options: dict[str, Any] = {"orphan_min_age": 0}
    if not operation:
        role = f"limited_{uuid.uuid4().hex[:8]}"
        options["database_url"] = _role(made.world, postgresql, role)
    # The deletion of an asset in a bucket with versions needs the same right for its key.
    made.world.proxy.fail(403, lambda request: request.operation == operation and stray[0] not in request.path
                          and stray[0] not in str(request.query))  # fmt: skip
    before = made.state()
    report = made.run(**options)
    assert not report.get("failed") and not report["changed"], report["msg"]
    assert right in str(report["warnings"]) and not report["plan"][kind]["complete"]
    assert {other for other in KINDS if report["plan"][other]["complete"]} == set(KINDS) - {kind}
    for mode in (True, False):
        run = made.run(check_mode=mode, **options, **{kind: DELETE[kind]})
        assert run["failed"] and right in run["failures"][0]["reason"] and made.state() == before
    if operation:
        run = made.run(**options, **DELETE)
        assert run["failed"] and right in run["msg"]
        assert {other for other in KINDS if run["done"][other]["count"]} == set(KINDS) - {kind}
    else:
        made.world.query(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_what_the_storage_refuses_stays_and_is_named(open_world: Open) -> None:
    """A version under a legal hold keeps the delete marker that hides it. An object keeps its row."""
    made = Leftovers(open_world(object_lock=True))
    world = made.world
    held, free = made.hide(_new(), 4, 5), made.hide(_new(), 6)
    markers = made.client.list_object_versions(Bucket=world.bucket, Prefix=_key(held))["DeleteMarkers"]
    version = next(
        version for key, version in world.storage.versions(world.bucket)
        if key == _key(held) and version != markers[0]["VersionId"]
    )  # fmt: skip
    made.client.put_object_legal_hold(
        Bucket=world.bucket, Key=_key(held), VersionId=version, LegalHold={"Status": "ON"}
    )
    kept, stray = made.unlink(2)
    answered = world.storage.versions(world.bucket)
    versions = [version for key, version in answered if key == _key(kept)]
    made.client.put_object_legal_hold(
        Bucket=world.bucket, Key=_key(kept), VersionId=versions[0], LegalHold={"Status": "ON"}
    )
    upload = made.begin(_new(), 5)
    world.proxy.fail(403, lambda request: request.operation == "AbortMultipartUpload")
    run = made.run(orphan_min_age=0, **DELETE)
    assert run["failed"] and {(failure["kind"], failure["id"]) for failure in run["failures"]} == {
        ("versions", held), ("assets", kept), ("uploads", upload),
    }  # fmt: skip
    assert run["done"]["hidden_versions"]["ids"] == [free] and run["done"]["unlinked_assets"]["ids"] == [stray]
    assert run["done"]["rows_deleted"] == {"assets": 1}
    assert kept in world.ids("assets") and stray not in world.ids("assets")
    left = {found for found in world.storage.versions(world.bucket) if found[0] in (_key(held), _key(free))}
    assert left == {(_key(held), version), (_key(held), markers[0]["VersionId"])}
    assert _key(held) not in world.objects() and _key(stray) not in made.keys()


def test_limits_hold_for_each_kind(open_world: Open) -> None:
    """Eleven of each, and ten assets in order."""
    made = Leftovers(open_world(versioned=True))
    made.unlink(11, size=None)
    for _unused in range(11):
        made.hide(_new())
        made.begin(_new())
    made.make_older()
    before = made.state()
    for kind, words in {"unlinked_assets": "11 of 21 assets", "unfinished_uploads": "11 of 21 uploads",
                        "hidden_versions": "11 of 21 keys with hidden versions"}.items():  # fmt: skip
        for mode in (True, False):
            run = made.run(check_mode=mode, **{kind: DELETE[kind]})
            assert run["failed"] and words in run["msg"], run.get("msg")
    assert "max_affected allows 32" in made.run(max_affected=32, **DELETE)["msg"]
    assert "33 of 43 (76.7 percent)" in made.run(max_affected_percent=76, **DELETE)["msg"]
    assert made.state() == before
    run = made.run(max_affected=33, **DELETE)
    assert not run.get("failed") and [run["done"][kind]["count"] for kind in KINDS] == [11, 11, 11]


def test_bucket_of_another_installation(open_world: Open) -> None:
    """No asset has an object in it, so nothing is deleted without a limit of the operator."""
    made = Leftovers(open_world(versioned=True), assets=0)
    made.put(_new(), 1)
    made.hide(_new(), 1)
    made.begin(_new(), 1)
    made.unlink(1, size=None)
    before = made.state()
    for kind in KINDS:
        run = made.run(orphan_min_age=0, **{kind: DELETE[kind]})
        assert run["failed"] and "No asset in the database has an object" in run["msg"]
    assert made.state() == before


@pytest.mark.parametrize("version", [52, 67])
def test_killed_at_any_point(open_world: Open, tmp_path: Path, version: int) -> None:
    """No row goes before its object, what is hidden does not come back, and the next run completes the work."""
    made = Leftovers(open_world(version, versioned=True), assets=3)
    options = {**DELETE, "orphan_min_age": 0, "batch_size": 2, "audit_log": str(tmp_path / "audit.jsonl")}
    port = int(made.world.proxy.url.rsplit(":", 1)[1])
    current = made.world.objects()

    def scatter() -> set[str]:
        for _unused in range(2):
            made.begin(_new(), 3)
            made.hide(_new(), 1, 2)
        return {_key(asset) for asset in made.unlink(3)}

    def run(die_at: int | None = None) -> list[str]:
        talks = Talks({port: "storage"}, die_at)
        talks.listen()
        made.run(**options)
        return talks.points

    def check_done() -> None:
        assert made.uploads() == set() and made.world.objects() == current
        assert made.keys() == current.keys() == {_key(asset) for asset in made.world.ids("assets")}

    scatter()
    points = Child(run).result()
    check_done()
    # What comes before the first deletion changes nothing.
    first = next(number for number, point in enumerate(points) if point.startswith("deletion"))
    killed = 0
    for point in range(first, len(points) + 1, max(1, (len(points) - first) // 10)):
        stray = scatter()
        killed += Child(lambda point=point: run(point)).was_killed()
        made.world.settle()
        rows = {_key(asset) for asset in made.world.ids("assets")}
        objects = made.world.objects().keys()
        assert not (stray - rows) & objects
        assert objects <= current.keys() | stray
        result = made.run(**options)
        assert not result.get("failed") and not result["skipped"], result.get("msg")
        check_done()
    assert killed >= 7


def test_listings_of_several_pages(open_world: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page can end between the versions of a key, and between the parts of an upload."""
    made = Leftovers(open_world(versioned=True), assets=2)
    hidden = {made.hide(_new(), 1, 2, 3), made.hide(_new(), 4, 5)}
    upload = made.begin(_new(), 6, 7, 8)
    monkeypatch.setattr(object_storage_leftovers, "_PARTS_PER_REQUEST", 2)
    listed = object_storage_leftovers._list_versions

    def two(client: Any, **names: Any) -> Any:
        return listed(client, **{**names, "position": {**names["position"], "MaxKeys": 2}})

    monkeypatch.setattr(object_storage_leftovers, "_list_versions", two)
    run = made.run(orphan_min_age=0, **DELETE)
    assert not run.get("failed"), run["msg"]
    assert (set(run["done"]["hidden_versions"]["ids"]), run["done"]["hidden_versions"]["bytes"]) == (hidden, 15)
    assert (run["done"]["unfinished_uploads"]["ids"], run["done"]["unfinished_uploads"]["bytes"]) == ([upload], 21)
    assert made.keys() == {_key(asset) for asset in made.linked} and made.uploads() == set()
