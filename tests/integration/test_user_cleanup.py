# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""user_cleanup with rows that several people share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from support.builders import Builder
from support.oracle import survivors
from support.schemas import SCHEMAS
from support.world import World


@pytest.mark.parametrize("version", SCHEMAS)
def test_refused_object_keeps_everybody_whose_deletion_needs_it(open_world: Callable[..., World], version: int) -> None:
    world = open_world(version)
    build = Builder(world.connection)
    disabled = datetime.now(timezone.utc) - timedelta(days=31)
    host, guest, other = (build.user(disabled_since=disabled) for _unused in range(3))
    active = build.user()
    # The guest's event is in a room of the host: the recording goes with either of them.
    room = build.room(host)
    build.event(guest, room=room)
    recording = build.asset(room)
    build.asset(build.room_of(build.event(other)))
    build.event(active, updated_by=other)
    world.upload()
    before = world.rows()
    world.proxy.refuse_keys({f"assets/{recording}": "AccessDenied"})

    run = world.run("user_cleanup")
    assert run["failed"]
    kept = {failure["id"] for failure in run["failures"] if failure["kind"] == "users"}
    assert kept == {host, guest}
    assert world.rows() == survivors(before, "users", {other})
    assert world.objects().keys() == {f"assets/{recording}"}

    world.proxy.clear_faults()
    rest = world.run("user_cleanup")
    assert set(rest["done"]["users"]["ids"]) == {host, guest}
    assert world.rows() == survivors(before, "users", {host, guest, other})
    assert world.ids("users") == {active}
    assert world.objects() == {}


@pytest.mark.parametrize("version", SCHEMAS)
def test_who_is_disabled_for_long_enough(open_world: Callable[..., World], version: int) -> None:
    world = open_world(version)
    build = Builder(world.connection)
    now = datetime(2026, 5, 1, 12, 0, 0, 5, tzinfo=timezone.utc)
    world.freeze(now)
    goes = build.user(disabled_since=now - timedelta(days=30))
    stays = {
        build.user(disabled_since=now - timedelta(days=30) + timedelta(microseconds=1)),
        build.user(disabled_since=now),
        build.user(),
    }
    assert world.run("user_cleanup")["done"]["users"]["ids"] == [goes]
    assert world.ids("users") == stays
    at_once = world.run("user_cleanup", days_since_user_has_been_disabled=0)
    assert at_once["done"]["users"]["count"] == 2
