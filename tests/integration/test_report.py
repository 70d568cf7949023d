# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees of a job: how far it is, and the diff."""

from __future__ import annotations

import syslog
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from ansible_collections.opentalk.maintenance.plugins.module_utils.engine import progress, report
from ansible_collections.opentalk.maintenance.plugins.module_utils.engine.plan import (
    ChangeListing,
    Effects,
    Listing,
    ResizeListing,
)

from support.world import World


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


def test_diff_shows_changes_as_changes() -> None:
    effects = Effects({"users_disabled": ChangeListing(9, "enabled", "disabled"), "assets_resized": ResizeListing(9)})
    effects["users_disabled"].add(["u"])
    effects["assets_resized"].add([{"id": "a", "from": 1, "to": 2}])
    _summary, users, assets = report.diff(effects)
    assert (users["before"], users["after"]) == (
        'users_disabled:\n  ids:\n    - {"u": "enabled"}\n',
        'users_disabled:\n  ids:\n    - {"u": "disabled"}\n',
    )
    assert '{"a": "1 bytes"}' in assets["before"] and '{"a": "2 bytes"}' in assets["after"]


def test_progress_is_told_to_the_journal_and_changes_nothing_else(
    open_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = open_world()
    world.fill()
    lines: list[str] = []
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    monkeypatch.setattr(syslog, "syslog", lambda priority, text: lines.append(text))
    preview = world.run("event_cleanup", check_mode=True)
    run: dict[str, Any] = world.run("event_cleanup", batch_size=3)
    total = preview["plan"]["events"]["count"]
    assert lines[-1] == f"event_cleanup: {total} of {total} events done"
    assert len(lines) > 1 and len(lines) <= total
    assert run["plan"] == preview["plan"]
    assert not any(line in " ".join(run["log"]) for line in lines)
