# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every job that deletes, with random parameters and the result that an independent oracle expects.

Add a job here: an entry of `CASES` that makes a :class:`Case` from a tangled database.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from support import selection
from support.oracle import survivors, without_permissions
from support.snapshot import Snapshot, parsed

# With these parameters, a job decides at moments close to the dates in a tangled database.
DAYS = (1, 2, 30, 365)
SECONDS = (0, 1, 3600, 86_400, 30 * 86_400)
BATCH_SIZES = (1, 7, 1000)


@dataclass
class Case:
    """One run of a job.

    :ivar expected: the database after the run
    :ivar facts: further arguments of :func:`support.effect.check_effect`
    """

    module: str
    options: dict[str, Any]
    expected: Snapshot
    facts: dict[str, Any] = field(default_factory=dict)


def event_cleanup(choose: random.Random, before: Snapshot, now: datetime) -> Case:
    days, series = choose.choice(DAYS), choose.random() < 0.7
    chosen = selection.ended_events(before, now, days, include_finished_series=series)
    options = {"days_since_last_occurrence": days, "include_finished_series": series}
    return Case("event_cleanup", options, survivors(before, "events", chosen))


def adhoc_event_cleanup(choose: random.Random, before: Snapshot, now: datetime) -> Case:
    seconds = choose.choice(SECONDS)
    chosen = selection.old_adhoc_events(before, now, seconds)
    return Case("adhoc_event_cleanup", {"seconds_since_creation": seconds}, survivors(before, "events", chosen))


def room_cleanup(choose: random.Random, before: Snapshot, now: datetime) -> Case:
    return Case("room_cleanup", {}, survivors(before, "rooms", selection.lone_rooms(before)))


def user_cleanup(choose: random.Random, before: Snapshot, now: datetime) -> Case:
    days = choose.choice((0, *DAYS))
    users = selection.disabled_users(before, now, days)
    options = {"days_since_user_has_been_disabled": days}
    return Case("user_cleanup", options, survivors(before, "users", users), {"users": frozenset(users)})


def invite_cleanup(choose: random.Random, before: Snapshot, now: datetime) -> Case:
    options, expired_before = _expired_before(choose, now)
    chosen = selection.ended_invites(before, expired_before)
    permitted = {row["v0"] for row in parsed(before).get("casbin_rule", []) if row["ptype"] == "p"}
    with_permissions = {invite for invite in chosen if f"invite::{invite}" in permitted}
    return Case("invite_cleanup", options, without_permissions(before, chosen), {"invites": with_permissions})


def invite_cleanup_of_invites(choose: random.Random, before: Snapshot, now: datetime) -> Case:
    options, expired_before = _expired_before(choose, now)
    chosen = selection.ended_invites(before, expired_before)
    return Case("invite_cleanup", {**options, "delete_invites": True}, survivors(before, "invites", chosen))


CASES: dict[str, Callable[[random.Random, Snapshot, datetime], Case]] = {
    "event_cleanup": event_cleanup,
    "adhoc_event_cleanup": adhoc_event_cleanup,
    "room_cleanup": room_cleanup,
    "user_cleanup": user_cleanup,
    "invite_cleanup": invite_cleanup,
    "invite_cleanup delete_invites": invite_cleanup_of_invites,
}


def case(name: str, choose: random.Random, before: Snapshot, now: datetime) -> Case:
    """A case with random parameters and a random batch size."""
    made = CASES[name](choose, before, now)
    made.options["batch_size"] = choose.choice(BATCH_SIZES)
    return made


def _expired_before(choose: random.Random, now: datetime) -> tuple[dict[str, Any], datetime]:
    if choose.random() < 0.4:
        return {}, now
    moment = now - timedelta(seconds=choose.choice(SECONDS))
    style = choose.randrange(3)
    if style == 0:  # without an offset it is UTC
        return {"expired_before": moment.replace(tzinfo=None).isoformat()}, moment
    if style == 1:
        return {"expired_before": moment.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()}, moment
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return {"expired_before": day.date().isoformat()}, day
