# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""sync_storage_files on a real bucket: sizes, missing objects, orphans, and changes during the run."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion import batches
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.parts import asset_effects
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import database

from support.builders import Builder
from support.messages import is_sentence
from support.recording_server import Request
from support.schemas import SCHEMAS
from support.world import World

Open = Callable[..., World]
MODULE = "sync_storage_files"
DELETE = {"missing_storage_file_handling": "delete_asset_entry"}
# Keys that are almost that of an asset.
FOREIGN = [
    "assets/", "assets/0", "backup.tar", "assets/{upper}", "assets/{id}/part", "assets/{id}.tmp", "assets/{bare}",
    "avatars/{id}", "{id}", "assets/{{{id}}}", "Assets/{id}", "assets/{id} ", "assets/Grüße & 100%.txt",
]  # fmt: skip


class Storage:
    """An installation whose assets and objects differ."""

    def __init__(self, world: World, assets: int) -> None:
        self.world = world
        self.build = Builder(world.connection)
        self.room = self.build.room(self.build.user())
        self.ids = sorted(self.build.assets(self.room, assets, size=3))

    def upload(self, ids: Iterable[str], size: int = 3) -> None:
        self.world.storage.upload(self.world.bucket, [(f"assets/{identifier}", size) for identifier in ids])

    def sizes(self) -> dict[str, int]:
        """The sizes in bytes of all assets in the database, by id."""
        return dict(self.world.query("SELECT id::text, size FROM assets"))

    def run(self, **options: Any) -> dict[str, Any]:
        return self.world.run(MODULE, **options)

    def orphans(self, number: int, size: int = 5, *, old: bool) -> set[str]:
        ids = {str(uuid.uuid4()) for _unused in range(number)}
        self.upload(ids, size)
        if old:
            self.world.proxy.make_older({f"assets/{identifier}" for identifier in ids}, timedelta(days=1, seconds=1))
        return ids

    def foreign(self) -> dict[str, int]:
        identifier = str(uuid.uuid4())
        names = {"id": identifier, "upper": identifier.upper(), "bare": identifier.replace("-", "")}
        objects = {key.format(**names): 7 for key in FOREIGN}
        self.world.storage.upload(self.world.bucket, objects.items())
        return objects


@pytest.mark.parametrize("handling", ["set_file_size_to_zero", "delete_asset_entry"])
@pytest.mark.parametrize(
    ("version", "number", "orphaned_objects"),
    [*((version, 400, "report") for version in SCHEMAS), (67, 400, "delete"), (67, 2500, "delete")],
)
def test_plan_is_effect(
    open_world: Open,
    monkeypatch: pytest.MonkeyPatch,
    version: int,
    number: int,
    orphaned_objects: str,
    handling: str,
) -> None:
    # So that all of them take more than one fetch, and what is missing is counted in parts.
    monkeypatch.setattr(database, "STREAM_ROWS", 150)
    monkeypatch.setattr(asset_effects, "PART", 20)
    storage = Storage(open_world(version), number)
    world, ids = storage.world, storage.ids
    # Every tenth object has another size, every twelfth is missing; of these, some have size zero already.
    wrong, missing = set(ids[::10]), set(ids[5::12]) - set(ids[::10])
    zero = set(sorted(missing)[::4])
    world.query("UPDATE assets SET size = 0 WHERE id = ANY (%s::uuid[])", (sorted(zero),))
    storage.upload(wrong, size=4)
    storage.upload(set(ids) - wrong - missing)
    old, young = storage.orphans(number // 20, old=True), storage.orphans(number // 40, old=False)
    foreign = storage.foreign()
    before, rows, objects = storage.sizes(), world.rows(), world.objects()
    options: dict[str, Any] = {
        "missing_storage_file_handling": handling, "orphaned_objects": orphaned_objects, "report_limit": number,
    }  # fmt: skip

    world.proxy.clear()
    preview = storage.run(check_mode=True, diff=True, **options)
    assert world.rows() == rows and world.objects() == objects and world.proxy.writes == []
    listings = -(-len(objects) // 1000)
    operations = Counter(request.operation for request in world.proxy.requests)
    assert operations["ListObjectsV2"] == listings
    # Two more ask whether the bucket keeps versions, and which uploads were not completed.
    assert operations.total() <= listings + 2

    world.proxy.clear()
    run = storage.run(**options)
    assert run["changed"] and run["plan"] == preview["plan"]
    operations = Counter(request.operation for request in world.proxy.requests)
    assert operations["ListObjectsV2"] == listings

    settled = missing if handling == "delete_asset_entry" else missing - zero
    assert operations["HeadObject"] == len(settled)
    expected = {asset: 4 if asset in wrong else 3 for asset in ids if asset not in missing}
    if handling == "set_file_size_to_zero":
        expected |= dict.fromkeys(missing, 0)
    assert storage.sizes() == expected
    gone = missing if handling == "delete_asset_entry" else set()
    changed = (wrong | settled) - gone
    after = world.rows()
    for table, content in rows.items():
        column = {"assets": "id", "room_assets": "asset_id"}.get(table)
        untouched = [row for row in content if not column or json.loads(row)[column] not in gone | changed]
        assert [row for row in after[table] if not column or json.loads(row)[column] not in changed] == untouched
    removed = old if orphaned_objects == "delete" else set()
    assert world.objects() == {key: size for key, size in objects.items() if key.removeprefix("assets/") not in removed}

    for effects in (preview["plan"], run["done"]):
        resized = {item["id"]: (item["from"], item["to"]) for item in effects["assets_resized"]["items"]}
        assert resized == {asset: (before[asset], 4) for asset in wrong}
        assert set(effects["assets_missing"]["ids"]) == settled
        assert effects["rows_updated"] == {"assets": len(changed)}
        assert effects["rows_deleted"] == ({"assets": len(gone), "room_assets": len(gone)} if gone else {})
    orphans = old if orphaned_objects == "delete" else old | young
    found = preview["plan"]["orphaned_objects"]
    assert (set(found["ids"]), found["count"], found["bytes"]) == (orphans, len(orphans), 5 * len(orphans))
    assert run["done"]["orphaned_objects"]["count"] == len(removed)
    assert run["done"]["orphaned_objects"]["bytes"] == 5 * len(removed)
    kept = preview["plan"]["young_orphaned_objects"]
    assert set(kept["ids"]) == (young if orphaned_objects == "delete" else set())
    assert preview["plan"]["unknown_objects"] == {"count": len(foreign), "bytes": 7 * len(foreign)}

    world.proxy.clear()
    again = storage.run(**options)
    assert not again["changed"] and world.rows() == after and world.proxy.writes == []


@pytest.mark.parametrize("handling", ["set_file_size_to_zero", "delete_asset_entry"])
def test_what_is_uploaded_or_recorded_meanwhile_is_left_alone(open_world: Open, handling: str) -> None:
    storage = Storage(open_world(), 2000)
    world, ids = storage.world, storage.ids
    late, missing, resized, deleted, recorded = ids[10], ids[20], ids[30], ids[40], ids[50]
    storage.upload(set(ids) - {late, missing, resized, deleted, recorded})
    storage.upload([resized], size=9)
    orphans = sorted(storage.orphans(3, old=True))
    added: list[str] = []

    def meanwhile(request: Request) -> None:
        if request.operation == "ListObjectsV2" and "continuation-token" in request.query and not added:
            # After the snapshot of the rows: a whole new asset, a row for an orphan, another size, a row that goes.
            added.extend(storage.build.assets(storage.room, 1))
            storage.upload(added, size=10)
            world.query("UPDATE assets SET id = %s WHERE id = %s", (orphans[0], added[0]))
            added.append(storage.build.asset(storage.room))
            storage.upload(added[1:], size=10)
            world.query("UPDATE assets SET size = 5 WHERE id = ANY (%s::uuid[])", ([resized, recorded],))
            world.query("DELETE FROM room_assets WHERE asset_id = %s", (deleted,))
            world.query("DELETE FROM assets WHERE id = %s", (deleted,))
        if request.operation == "HeadObject" and request.path.endswith(late):
            storage.upload([late])

    world.query("ALTER TABLE room_assets DROP CONSTRAINT room_assets_asset_id_fkey")  # lets the row change its id
    world.query(
        "ALTER TABLE room_assets ADD CONSTRAINT room_assets_asset_id_fkey FOREIGN KEY (asset_id)"
        " REFERENCES assets ON UPDATE CASCADE ON DELETE CASCADE"
    )
    world.proxy.on_request(meanwhile)
    run = storage.run(missing_storage_file_handling=handling, orphaned_objects="delete")
    world.proxy.on_request(None)
    assert len(added) == 2 and not run.get("failed")
    # A size that is not the recorded one is left alone, but a row without an object may go whatever its size.
    zeroes = handling == "set_file_size_to_zero"
    assert run["done"]["assets_missing"]["ids"] == [missing] if zeroes else [missing, recorded]
    assert run["done"]["assets_resized"]["count"] == 0
    sizes = storage.sizes()
    assert sizes[late] == 3 and sizes[resized] == 5 and sizes[orphans[0]] == 10 and sizes[added[1]] == 10
    assert (sizes.get(missing), sizes.get(recorded)) == ((0, 5) if zeroes else (None, None))
    assert {f"assets/{orphans[0]}", f"assets/{added[1]}", f"assets/{late}"} <= world.objects().keys()
    assert not {f"assets/{orphan}" for orphan in orphans[1:]} & world.objects().keys()
    log = "\n".join(run["log"])
    assert all(asset in log for asset in (late, resized, deleted, orphans[0]))


def shuffled(request: Request) -> tuple[int, dict[str, str], bytes]:
    keys = "".join(
        f"<Contents><Key>assets/{uuid.UUID(int=number)}</Key><Size>1</Size>"
        "<LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
        for number in (2**128 - 1, 2**128 - 2)
    )
    body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{keys}</ListBucketResult>"
    return 200, {"Content-Type": "application/xml"}, body.encode()


FAULTS: dict[str, Callable[[World, Callable[[Request], bool]], None]] = {
    "500": lambda world, when: world.proxy.fail(500, when),
    "reset": lambda world, when: world.proxy.reset(when),
    "access denied": lambda world, when: world.proxy.fail(403, when),
    "login page": lambda world, when: world.proxy.fail(200, when, body=b"<html>please log in</html>"),
    "cut off": lambda world, when: world.proxy.fail(200, when, body=b"<ListBucketResult><Contents><Key>assets/"),
    "disorder": lambda world, when: world.proxy.fault(shuffled, when),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_listing_that_fails_half_way_changes_nothing(open_world: Open, fault: str) -> None:
    storage = Storage(open_world(), 1500)
    storage.upload(storage.ids[:1400], size=4)
    storage.orphans(5, old=False)
    rows, objects = storage.world.rows(), storage.world.objects()
    FAULTS[fault](storage.world, lambda request: "continuation-token" in request.query)
    for mode in (True, False):
        run = storage.run(check_mode=mode, orphaned_objects="delete", orphan_min_age=0, **DELETE)
        assert run["failed"] and "object storage" in run["msg"], run
        assert ("order of their keys" in run["msg"]) == (fault == "disorder")
        assert not run["changed"]
        # What was found until then is no plan.
        for effects in (run["plan"], run["done"]):
            assert effects["rows_deleted"] == effects["rows_updated"] == {}
            assert not any(effects[kind]["count"] for kind in ("assets_resized", "assets_missing", "orphaned_objects"))
    assert storage.world.rows() == rows and storage.world.objects() == objects
    storage.world.proxy.clear_faults()
    assert storage.run(orphaned_objects="delete", orphan_min_age=0, **DELETE)["changed"]


@pytest.mark.parametrize("options", [{}, DELETE])
def test_bucket_that_vanishes_before_the_second_look(open_world: Open, options: dict[str, Any]) -> None:
    storage = Storage(open_world(), 30)
    storage.upload(storage.ids[:20])
    rows = storage.world.rows()
    storage.world.proxy.fail(404, lambda request: request.method == "HEAD")
    run = storage.run(**options)
    assert run["failed"] and storage.world.bucket in run["msg"]
    assert storage.world.rows() == rows


def test_second_look_that_is_not_answered(open_world: Open) -> None:
    storage = Storage(open_world(), 30)
    storage.upload(storage.ids[:20])
    rows = storage.world.rows()
    storage.world.proxy.fail(403, lambda request: request.operation == "HeadObject")
    run = storage.run(**DELETE)
    assert run["failed"] and "denies access" in run["msg"]
    assert storage.world.rows() == rows


def test_orphan_that_the_storage_refuses_to_delete(open_world: Open) -> None:
    storage = Storage(open_world(), 10)
    storage.upload(storage.ids)
    orphans = sorted(storage.orphans(3, old=False))
    storage.world.proxy.refuse_keys({f"assets/{orphans[1]}": "AccessDenied"})
    run = storage.run(orphaned_objects="delete", orphan_min_age=0)
    assert run["failed"] and orphans[1] in run["msg"]
    assert [(failure["kind"], failure["id"]) for failure in run["failures"]] == [("objects", orphans[1])]
    assert set(run["done"]["orphaned_objects"]["ids"]) == {orphans[0], orphans[2]}
    assert storage.world.objects().keys() == {f"assets/{identifier}" for identifier in [*storage.ids, orphans[1]]}


def test_orphans_in_a_bucket_with_versions_leave_nothing(open_world: Open) -> None:
    storage = Storage(open_world(versioned=True), 10)
    storage.upload(storage.ids)
    for _unused in range(3):
        storage.upload(["00000000-0000-0000-0000-00000000000a"])
    storage.run(orphaned_objects="delete", orphan_min_age=0)
    kept = storage.world.storage.versions(storage.world.bucket)
    assert {key for key, _version in kept} == {f"assets/{identifier}" for identifier in storage.ids}


@pytest.mark.parametrize("code", ["AccessDenied", "NotImplemented", "SlowDown"])
def test_server_that_does_not_tell_of_versions(open_world: Open, code: str) -> None:
    storage = Storage(open_world(versioned=True), 10)
    storage.upload(storage.ids)
    storage.orphans(1, old=False)
    before = storage.world.objects()
    status = {"AccessDenied": 403, "NotImplemented": 501, "SlowDown": 503}[code]
    body = f"<Error><Code>{code}</Code><Message>x</Message></Error>".encode()
    storage.world.proxy.fail(status, lambda request: request.operation == "GetBucketVersioning", body=body)
    for mode in (True, False):
        run = storage.run(check_mode=mode, orphaned_objects="delete", orphan_min_age=0)
        if code == "SlowDown":
            assert run["failed"] and "overloaded" in run["msg"] and storage.world.objects() == before
        else:
            assert "refuses to tell" in str(run["warnings"]) and run["changed"]


def test_what_was_deleted_before_a_request_failed_is_told(open_world: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "FIRST", 2000)
    storage = Storage(open_world(), 10)
    storage.upload(storage.ids)
    storage.orphans(1500, size=2, old=False)
    requests: list[Request] = []

    def second(request: Request) -> bool:
        if request.operation == "DeleteObjects":
            requests.append(request)
        return len(requests) == 2

    storage.world.proxy.fail(403, second)
    run = storage.run(orphaned_objects="delete", orphan_min_age=0, batch_size=5000, max_affected=1500)
    assert run["failed"] and "denies access" in run["msg"] and run["changed"]
    assert (run["done"]["orphaned_objects"]["count"], run["done"]["orphaned_objects"]["bytes"]) == (1000, 2000)
    assert len(storage.world.objects()) == 510


@pytest.mark.parametrize("operation", ["ListObjectsV2", "GetBucketVersioning", "HeadObject", "DeleteObjects"])
def test_answer_that_trickles_does_not_outlast_the_timeout(open_world: Open, operation: str) -> None:
    storage = Storage(open_world(), 10)
    storage.upload(storage.ids[:9])
    storage.orphans(2, old=False)
    # With the headers of an answer to HEAD it is complete.
    hang = storage.world.proxy.hang if operation == "HeadObject" else storage.world.proxy.drip
    hang(0.1 if hang == storage.world.proxy.drip else 20, lambda request: request.operation == operation)
    started = time.monotonic()
    run = storage.run(timeout=4, orphaned_objects="delete", orphan_min_age=0, **DELETE)
    assert run["failed"] and "timeout of 4 seconds" in run["msg"]
    assert time.monotonic() - started < 20
    storage.world.proxy.clear_faults()
    assert storage.run(orphaned_objects="delete", orphan_min_age=0, **DELETE)["changed"]


def test_wrong_bucket(open_world: Open) -> None:
    """The bucket has no object of an asset. The run warns, and the operator's limits apply."""
    storage = Storage(open_world(), 50)
    rows = storage.world.rows()
    preview = storage.run(check_mode=True)
    assert "right bucket" in str(preview["warnings"]) and preview["plan"]["assets_missing"]["count"] == 50
    for mode in (True, False):
        assert "50 of 50" in storage.run(check_mode=mode, max_affected_percent=20)["msg"]
        assert "max_affected allows 10" in storage.run(check_mode=mode, max_affected=10)["msg"]
    assert storage.world.rows() == rows


@pytest.mark.parametrize(
    ("rows", "objects", "options"),
    [
        (50, 60, {"orphaned_objects": "delete", **DELETE}),
        (50, 60, {"orphaned_objects": "delete"}),
        (50, 60, DELETE),
        (50, 0, DELETE),
        (0, 60, {"orphaned_objects": "delete"}),
    ],
)
def test_nothing_is_deleted_where_bucket_and_database_have_nothing_in_common(
    open_world: Open, rows: int, objects: int, options: dict[str, Any]
) -> None:
    """The bucket or the database is from another controller. Only a limit of the operator allows a deletion."""
    storage = Storage(open_world(), rows)
    storage.orphans(objects, old=True)
    storage.orphans(5, old=False)
    before = storage.world.rows(), storage.world.objects()
    for mode in (True, False):
        run = storage.run(check_mode=mode, **options)
        assert run["failed"] and "max_affected" in run["msg"] and f"assets: {rows}, objects" in run["msg"]
        assert "right bucket and the right database" in "".join(run["log"])
        assert run["plan"]["orphaned_objects"]["count"] == objects + ("orphaned_objects" not in options) * 5
    assert (storage.world.rows(), storage.world.objects()) == before
    assert storage.world.proxy.writes == []
    run = storage.run(max_affected=rows + objects, **options)
    assert run["changed"] and not run.get("failed")
    assert len(storage.sizes()) == (0 if "missing_storage_file_handling" in options else rows)
    assert len(storage.world.objects()) == 5 + (0 if "orphaned_objects" in options else objects)


def check_refused(storage: Storage, *words: str, **options: Any) -> None:
    before = storage.world.rows(), storage.world.objects()
    storage.world.proxy.clear()
    for mode in (True, False):
        run = storage.run(check_mode=mode, **options)
        assert run["failed"] and is_sentence(run["msg"]) and "max_affected_percent" in run["msg"]
        assert all(word in run["msg"] for word in words), run["msg"]
        assert not any(listing["count"] for name, listing in run["done"].items() if "count" in listing), run["done"]
    assert (storage.world.rows(), storage.world.objects()) == before and storage.world.proxy.writes == []


def test_copy_of_the_database_in_front_of_the_bucket(open_world: Open) -> None:
    """The copy knows 62 of the bucket's 562 objects. One match is not enough to believe in the bucket."""
    storage = Storage(open_world(), 62)
    storage.upload(storage.ids)
    storage.orphans(500, size=1, old=True)
    storage.orphans(300, size=1, old=False)
    check_refused(storage, "500 of 562 objects (89.0 percent)", orphaned_objects="delete")
    check_refused(storage, "500 of 562 objects", orphaned_objects="delete", **DELETE)
    # What reports only, or deletes nothing, goes on.
    assert not storage.run().get("failed") and not storage.run(**DELETE).get("failed")
    run = storage.run(orphaned_objects="delete", max_affected=500)
    assert run["done"]["orphaned_objects"]["count"] == 500 and len(storage.world.objects()) == 362


@pytest.mark.parametrize("version", [52, 67])
def test_bucket_of_a_copy(open_world: Open, version: int) -> None:
    """The bucket has the object of one asset of 62. Its young objects make no difference."""
    storage = Storage(open_world(version), 62)
    storage.upload(storage.ids[:1])
    storage.orphans(500, size=1, old=False)
    for options in (DELETE, {"orphaned_objects": "delete", **DELETE}):
        check_refused(storage, "61 of 62 assets (98.4 percent)", **options)
    # Sizes come back with the next run that finds the objects. So there is only a warning.
    preview = storage.run(check_mode=True)
    assert "missing: 61 of 62; make sure" in str(preview["warnings"]) and not preview.get("failed")
    run = storage.run(max_affected_percent=100, **DELETE)
    assert run["done"]["assets_missing"]["count"] == 61 and storage.sizes().keys() == {storage.ids[0]}


@pytest.mark.parametrize(
    ("assets", "missing", "orphans", "refused"),
    [
        # Ten may always go, of each kind.
        (11, 10, 0, ""),
        (1, 0, 10, ""),
        (11, 10, 10, ""),
        # Eleven may go if they are a fifth.
        (55, 11, 0, ""),
        (54, 11, 0, "11 of 54 assets"),
        (44, 0, 11, ""),
        (43, 0, 11, "11 of 54 objects"),
        # Many assets make no room for objects: 20 of 120 assets are without an object, and 26 of 126 objects without an asset.
        (120, 20, 26, "26 of 126 objects"),
        (120, 20, 25, ""),
    ],
)
def test_borders_of_what_may_be_deleted(
    open_world: Open, assets: int, missing: int, orphans: int, refused: str
) -> None:
    storage = Storage(open_world(), assets)
    storage.upload(storage.ids[missing:])
    storage.orphans(orphans, old=True)
    storage.orphans(60, old=False)
    options: dict[str, Any] = {"orphaned_objects": "delete", **DELETE}
    if refused:
        check_refused(storage, refused, **options)
        options["max_affected"] = missing + orphans
        assert "max_affected allows" in storage.run(**{**options, "max_affected": missing + orphans - 1})["msg"]
    preview, run = storage.run(check_mode=True, **options), storage.run(**options)
    assert not run.get("failed"), run["msg"]
    assert preview["plan"] == run["plan"]
    assert storage.sizes().keys() == set(storage.ids[missing:])
    assert len(storage.world.objects()) == assets - missing + 60


def test_one_asset_without_its_object_is_no_more_than_a_warning(open_world: Open) -> None:
    storage = Storage(open_world(), 1)
    storage.orphans(1, old=False)
    run = storage.run(orphaned_objects="delete")
    assert run["changed"] and "right bucket" in str(run["warnings"]) and set(storage.sizes().values()) == {0}
    storage.upload(storage.ids)
    assert "right bucket" not in "".join(storage.run()["log"])


@pytest.mark.parametrize(
    ("orphaned_objects", "percent", "passes"), [("delete", 26, True), ("delete", 24, False), ("report", 11, True)]
)
def test_limit_in_percent_is_of_assets_and_orphans(
    open_world: Open, orphaned_objects: str, percent: int, passes: bool
) -> None:
    """One of 10 assets has no object. 6 objects have no asset, and 3 of these are old enough to go."""
    storage = Storage(open_world(), 10)
    storage.upload(storage.ids[1:])
    storage.orphans(3, old=True)
    storage.orphans(3, old=False)
    for mode in (True, False):
        run = storage.run(check_mode=mode, orphaned_objects=orphaned_objects, max_affected_percent=percent)
        assert run["changed"] if passes else "4 of 16 (25.0 percent)" in run["msg"]
