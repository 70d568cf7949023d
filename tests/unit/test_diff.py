# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Effects of a job, as a result for programs and as a diff for people."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import yaml
from ansible_collections.opentalk.maintenance.plugins.module_utils.engine import report
from ansible_collections.opentalk.maintenance.plugins.module_utils.record.effects import (
    ChangeListing,
    Effects,
    Listing,
    ResizeListing,
    SizedListing,
    Tally,
)


def filled(listing: Any, number: int, make: Any = str) -> Any:
    listing.add(map(make, range(number)))
    return listing


def sized(listing: Any, sizes: list[int]) -> Any:
    listing.add_sized((str(place), size) for place, size in enumerate(sizes))
    return listing


def folder(number: int) -> dict[str, str]:
    return {"event_id": f"e{number}", "path": f"/Ü {number}"}


def resized(number: int) -> dict[str, Any]:
    return {"id": f"a{number}", "from": number, "to": number + 1}


@pytest.mark.parametrize(
    ("listing", "result"),
    [
        (filled(Listing(3), 0), {"count": 0, "ids": [], "truncated": False}),
        (filled(Listing(3), 3), {"count": 3, "ids": ["0", "1", "2"], "truncated": False}),
        (filled(Listing(2), 3), {"count": 3, "ids": ["0", "1"], "truncated": True}),
        (filled(Listing(0), 3), {"count": 3, "ids": [], "truncated": True}),
        (filled(Listing(1, "items"), 2, folder), {"count": 2, "items": [folder(0)], "truncated": True}),
        (filled(ChangeListing(1, "on", "off"), 2), {"count": 2, "ids": ["0"], "truncated": True}),
        (filled(ResizeListing(9), 1, resized), {"count": 1, "items": [resized(0)], "truncated": False}),
        (sized(SizedListing(1), [5, 7]), {"count": 2, "ids": ["0"], "truncated": True, "bytes": 12}),
        (sized(Tally(), [5, 7]), {"count": 2, "bytes": 12}),
    ],
)
def test_everything_is_counted_and_the_first_ones_are_listed(listing: Listing, result: dict[str, Any]) -> None:
    assert listing.as_result() == result


def test_more_may_be_counted_than_is_at_hand() -> None:
    listing = Listing(3)
    listing.add(["a", "b"], count=10)
    listing.add(["c", "d"], count=2)
    assert listing.as_result() == {"count": 12, "ids": ["a", "b", "c"], "truncated": True}


def test_effects_of_batches_add_up() -> None:
    def one(*ids: str, size: int, rows: int) -> Effects:
        effects = Effects({"events": Listing(3), "assets": SizedListing(1)})
        effects["events"].add(ids)
        effects["assets"].add_sized((identifier, size) for identifier in ids)
        effects.rows_deleted.update({"events": rows, "rooms": 0})
        effects.rows_updated["notes"] += rows
        return effects

    whole = one("a", "b", size=5, rows=2)
    whole.add(one("c", "d", size=7, rows=1))
    assert whole.as_result() == {
        "events": {"count": 4, "ids": ["a", "b", "c"], "truncated": True},
        "assets": {"count": 4, "ids": ["a"], "truncated": True, "bytes": 24},
        "rows_deleted": {"events": 3},
        "rows_updated": {"notes": 3},
    }
    assert whole.counts() == {"events": 4, "assets": 4}


def test_what_only_is_there_is_no_effect() -> None:
    effects = Effects(
        {"indexes": Listing(3, informative=True), "orphans": Tally(informative=True), "events": Listing(3)}
    )
    effects["indexes"].add(["x"])
    effects["orphans"].add_sized([("y", 1)])
    effects.rows_deleted["events"] += 0
    assert not effects and effects.counts() == {} and report.diff(effects) == []
    effects.rows_updated["notes"] += 1
    assert effects
    assert [entry["before_header"] for entry in report.diff(effects)] == ["rows_updated"]


@pytest.mark.parametrize(
    ("listing", "summary", "before", "after"),
    [
        (filled(Listing(99), 2), ({"things": 2}, None), {"ids": [0, 1]}, None),
        (filled(Listing(99, "items"), 2, folder), ({"things": 2}, None), {"items": [folder(0), folder(1)]}, None),
        (
            filled(ChangeListing(99, "on", "off"), 2),
            (None, {"things": 2}),
            {"ids": [{"0": "on"}, {"1": "on"}]},
            {"ids": [{"0": "off"}, {"1": "off"}]},
        ),
        (
            filled(ResizeListing(99), 1, resized),
            (None, {"things": 1}),
            {"items": [{"a0": "0 bytes"}]},
            {"items": [{"a0": "1 bytes"}]},
        ),
        (sized(SizedListing(99), [5, 7]), ({"things": 2}, None), {"ids": [0, 1]}, None),
        (sized(Tally(), [5, 7]), ({"things": 2}, None), {"ids": None}, None),
    ],
)
def test_diff_is_yaml_whatever_it_lists(listing: Listing, summary: Any, before: Any, after: Any) -> None:
    """What goes is before and not after; what changes is in both, as it was and as it is then."""
    total, things = report.diff(Effects({"things": listing}))
    assert (yaml.safe_load(total["before"]), yaml.safe_load(total["after"])) == summary
    assert yaml.safe_load(things["before"]) == {"things": before}
    assert "\\u" not in things["before"]
    assert yaml.safe_load(things["after"]) == (after and {"things": after})
    assert ("# 12 bytes" in total["before"]) == isinstance(listing, SizedListing)


@pytest.mark.parametrize("number", [3, 30_000])
def test_diff_can_be_read(number: int) -> None:
    kinds = {kind: Listing(1000) for kind in ("events", "rooms", "invites", "assets", "users")}
    effects = Effects(kinds)
    ids = [str(uuid.uuid4()) for _unused in range(number)]
    for listing in kinds.values():
        listing.add(ids)
    effects.rows_deleted.update({"events": number, "rooms": number})
    entries = report.diff(effects)
    assert [entry["before_header"] for entry in entries] == ["summary", "rows_deleted", *kinds]
    assert yaml.safe_load(entries[0]["before"]) == dict.fromkeys(kinds, number)
    for entry in entries[2:]:
        shown = yaml.safe_load(entry["before"])[entry["before_header"]]["ids"]
        assert shown == ids[:20] and entry["after"] == ""
        assert (f"# and {number - 20} more\n" in entry["before"]) == (number > 20)
    assert sum(entry["before"].count("\n") for entry in entries) < 150


@pytest.mark.parametrize(("limit", "number"), [(99, 20), (99, 21), (3, 5), (0, 5)])
def test_diff_says_how_many_it_leaves_out(limit: int, number: int) -> None:
    for listing in (filled(Listing(limit), number), filled(ChangeListing(limit, "on", "off"), number)):
        (*_summary, entry) = report.diff(Effects({"things": listing}))
        shown = min(limit, number, report.SHOWN)
        for side in filter(None, (entry["before"], entry["after"])):
            assert side.count("    - ") == shown
            assert (f"# and {number - shown} more\n" in side) == (number > shown)


def test_diff_of_rows_is_by_table_in_order() -> None:
    effects = Effects({})
    effects.rows_deleted.update({"rooms": 2, "events": 1, "users": 0})
    effects.rows_updated.update({"notes": 3})
    deleted, updated = report.diff(effects)
    assert (deleted["before"], deleted["after"]) == ("rows_deleted:\n  events: 1\n  rooms: 2\n", "")
    assert (updated["before"], updated["after"]) == ("", "rows_updated:\n  notes: 3\n")
