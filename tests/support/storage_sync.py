# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets that differ from their database, and the expected effects of sync_storage_files.

The expectation uses no code of the collection.
"""

from __future__ import annotations

import json
import random
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from support.selection import moment
from support.snapshot import Snapshot, parsed
from support.world import World

JOB = "sync_storage_files"
HANDLINGS = ("set_file_size_to_zero", "delete_asset_entry")
# Keys that are almost the key of an asset.
_ALMOST = ("assets/{0}x", "x/{0}", "{0}", "assets/{1}", "assets/{2}", "Assets/{0}", "assets/{0}/part")
DAY = 86_400


@dataclass
class Disagreement:
    """A bucket, and the expected effects of a run with these options.

    :ivar objects: sizes by key
    :ivar old: keys of objects that must seem older than a day
    :ivar now: the time of the database
    :ivar effects: the effects in `plan` and `done`, without rows
    :ivar kept: things that only `plan` has, because they stay
    :ivar changed: the numbers of rows in `plan` and `done`
    :ivar rows: the database after the run
    :ivar left: the bucket after the run
    """

    options: dict[str, Any]
    objects: dict[str, int]
    old: set[str]
    now: datetime
    rows: Snapshot = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    effects: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    changed: dict[str, dict[str, int]] = field(default_factory=dict)

    def has_effect(self, before: Snapshot) -> bool:
        return self.rows != before or self.left != self.objects


def disagree(choose: random.Random, before: Snapshot, now: datetime) -> Disagreement:
    """Random objects for a database, random options, and the expected effects."""
    assets = {row["id"]: row["size"] for row in parsed(before)["assets"]}
    objects = {}
    for asset, size in assets.items():
        kind = choose.random()
        if kind < 0.7:
            objects[f"assets/{asset}"] = size if kind < 0.4 else choose.choice((0, 1, size + 1, 2 * size))
    orphans = [str(uuid.UUID(int=choose.getrandbits(128))) for _unused in range(choose.randint(0, 6))]
    objects |= {f"assets/{orphan}": choose.randint(0, 99) for orphan in orphans}
    for pattern in choose.sample(_ALMOST, choose.randint(0, 3)):
        identifier = choose.choice([*assets, *orphans])
        key = pattern.format(identifier, identifier.upper(), identifier.replace("-", ""))
        # A server that keeps objects as files cannot store both "a" and "a/b".
        if not any(f"{other}/".startswith(f"{key}/") or f"{key}/".startswith(f"{other}/") for other in objects):
            objects[key] = choose.randint(0, 99)
    options = {
        "missing_storage_file_handling": choose.choice(HANDLINGS),
        "orphaned_objects": choose.choice(("report", "delete", "delete")),
        "orphan_min_age": choose.choice((0, DAY)),
        "unlinked_assets": choose.choice(("report", "delete")),
        # It can happen that no asset has an object. This must be allowed explicitly.
        "max_affected": len(assets) + len(objects),
    }
    old = {key for key in objects if choose.random() < 0.5}
    made = Disagreement(options, objects, old, now)
    expect(made, before)
    return made


def check(world: World, made: Disagreement, before: Snapshot, *, batch_size: int) -> None:
    """Preview and run the job. The plan, the report and the effects must be as expected."""
    options = {**made.options, "batch_size": batch_size}
    world.proxy.clear()
    world.proxy.make_older(made.old, timedelta(seconds=2 * DAY))
    preview = world.run(JOB, check_mode=True, **options)
    assert not preview.get("failed"), preview.get("msg")
    assert world.proxy.writes == []
    run = world.run(JOB, **options)
    world.proxy.clear_faults()
    assert not run.get("failed"), run.get("msg")
    assert preview["plan"] == run["plan"] == {**made.effects, **made.kept, **made.changed}
    assert {kind: run["done"][kind] for kind in made.effects | made.changed} == made.effects | made.changed
    assert run["changed"] == preview["changed"] == made.has_effect(before)
    assert world.rows() == made.rows
    assert world.objects() == made.left


def expect(made: Disagreement, before: Snapshot) -> None:
    """Work out the expected effects from the bucket and the options."""
    assets = {row["id"]: row["size"] for row in parsed(before)["assets"]}
    deletes_rows = made.options["missing_storage_file_handling"] == "delete_asset_entry"
    deletes_objects = made.options["orphaned_objects"] == "delete"
    deletes_unlinked = made.options.get("unlinked_assets") == "delete"
    stray = _unlinked(made, before)
    sizes = dict(assets)
    gone: set[str] = set()
    resized, settled = [], []
    for asset, size in sorted(assets.items()):
        found = made.objects.get(f"assets/{asset}")
        if asset in stray and deletes_unlinked:
            gone.add(asset)
        elif found is None and deletes_rows:
            gone.add(asset)
            settled.append(asset)
        elif found is None and size:
            sizes[asset] = 0
            settled.append(asset)
        elif found is not None and found != size:
            sizes[asset] = found
            resized.append({"id": asset, "from": size, "to": found})

    orphans, young, unknown = [], [], []
    made.left = dict(made.objects)
    for key, size in sorted(made.objects.items()):
        name = key.removeprefix("assets/")
        if key != f"assets/{name}" or not _is_id(name):
            unknown.append(size)
        elif name in assets:
            continue
        elif deletes_objects and made.options["orphan_min_age"] and key not in made.old:
            young.append((name, size))
        else:
            orphans.append((name, size))
            if deletes_objects:
                del made.left[key]

    if deletes_unlinked:
        for asset in stray:
            made.left.pop(f"assets/{asset}", None)
    made.rows = {table: _rows(table, rows, gone, assets, sizes) for table, rows in before.items()}
    deleted = {table: len(rows) - len(made.rows[table]) for table, rows in before.items()}
    updated = len(resized) + (0 if deletes_rows else len(settled))
    made.changed = {
        "rows_deleted": {table: number for table, number in deleted.items() if number},
        "rows_updated": {"assets": updated} if updated else {},
    }
    made.effects = {
        "assets_resized": {"count": len(resized), "items": resized, "truncated": False},
        "assets_missing": {"count": len(settled), "ids": settled, "truncated": False},
    }
    (made.effects if deletes_objects else made.kept)["orphaned_objects"] = _listed(orphans)
    found = _listed([(asset, made.objects.get(f"assets/{asset}", 0)) for asset in stray])
    (made.effects if deletes_unlinked else made.kept)["unlinked_assets"] = {**found, "complete": True}
    for kind in ("unfinished_uploads", "hidden_versions"):
        made.kept[kind] = {**_listed([]), "complete": True}
    made.kept["young_orphaned_objects"] = _listed(young)
    made.kept["unknown_objects"] = {"count": len(unknown), "bytes": sum(unknown)}


def _unlinked(made: Disagreement, before: Snapshot) -> list[str]:
    """The ids of assets that no room has and that are old enough."""
    content = parsed(before)
    linked = {row["asset_id"] for row in content["room_assets"]}
    limit = made.now - timedelta(seconds=made.options["orphan_min_age"])
    return sorted(
        row["id"] for row in content["assets"] if row["id"] not in linked and moment(row["created_at"]) <= limit
    )


def _rows(table: str, rows: list[str], gone: set[str], old: dict[str, int], new: dict[str, int]) -> list[str]:
    if table == "room_assets":
        return [text for text in rows if json.loads(text)["asset_id"] not in gone]
    if table != "assets":
        return rows
    kept = []
    for text in rows:
        asset = json.loads(text)["id"]
        if asset not in gone:
            changed = text.replace(f'"size": {old[asset]},', f'"size": {new[asset]},')
            assert json.loads(changed)["size"] == new[asset], text
            kept.append(changed)
    return sorted(kept)


def _is_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


def _listed(things: list[tuple[str, int]]) -> dict[str, Any]:
    return {
        "count": len(things), "ids": [name for name, _unused in things], "truncated": False,
        "bytes": sum(size for _unused, size in things),
    }  # fmt: skip
