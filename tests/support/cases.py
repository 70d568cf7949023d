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


# The database after the deletion of these roots.
Effect = Callable[[Snapshot, set[str]], Snapshot]


@dataclass
class Case:
    """One run of a job.

    :ivar table: the table of the roots
    :ivar roots: ids of the roots that the job chooses
    :ivar effect: the deletion
    :ivar expected: the database after the run
    :ivar facts: further arguments of :func:`support.effect.check_effect`
    """

    module: str
    options: dict[str, Any]
    table: str
    roots: set[str]
    effect: Effect
    expected: Snapshot
    facts: dict[str, Any] = field(default_factory=dict)


def event_cleanup(choose: random.Random, before: Snapshot, now: datetime) -> Case:
    days, series = choose.choice(DAYS), choose.random() < 0.7
    chosen = selection.ended_events(before, now, days, include_finished_series=series)
    return _case(
        "event_cleanup", before, "events", chosen, days_since_last_occurrence=days, include_finished_series=series
    )


def adhoc_event_cleanup(choose: random.Random, before: Snapshot, now: datetime) -> Case:
    seconds = choose.choice(SECONDS)
    chosen = selection.old_adhoc_events(before, now, seconds)
    return _case("adhoc_event_cleanup", before, "events", chosen, seconds_since_creation=seconds)


def room_cleanup(choose: random.Random, before: Snapshot, now: datetime) -> Case:
    return _case("room_cleanup", before, "rooms", selection.lone_rooms(before))


def user_cleanup(choose: random.Random, before: Snapshot, now: datetime) -> Case:
    days = choose.choice((0, *DAYS))
    users = selection.disabled_users(before, now, days)
    made = _case("user_cleanup", before, "users", users, days_since_user_has_been_disabled=days)
    made.facts["users"] = frozenset(users)
    return made


def user_erasure(choose: random.Random, before: Snapshot, now: datetime) -> Case:
    """Not in `CASES`, because it does what user_cleanup does."""
    ids = sorted(row["id"] for row in parsed(before)["users"])
    users = choose.sample(ids, choose.randint(1, len(ids)))
    made = _case(
        "user_erasure", before, "users", set(users), user_ids=users, require_disabled=False, fail_on_unmatched=False
    )
    made.facts["users"] = frozenset(users)
    return made


def invite_cleanup(choose: random.Random, before: Snapshot, now: datetime) -> Case:
    options, expired_before = _expired_before(choose, now)
    chosen = selection.ended_invites(before, expired_before)
    permitted = {row["v0"] for row in parsed(before).get("casbin_rule", []) if row["ptype"] == "p"}
    roots = {invite for invite in chosen if f"invite::{invite}" in permitted}
    expected = without_permissions(before, roots)
    return Case("invite_cleanup", options, "invites", roots, without_permissions, expected, {"invites": roots})


def invite_cleanup_of_invites(choose: random.Random, before: Snapshot, now: datetime) -> Case:
    options, expired_before = _expired_before(choose, now)
    return _case(
        "invite_cleanup",
        before,
        "invites",
        selection.ended_invites(before, expired_before),
        **options,
        delete_invites=True,
    )


def _case(module: str, before: Snapshot, table: str, roots: set[str], **options: Any) -> Case:
    def effect(rows: Snapshot, ids: set[str]) -> Snapshot:
        return survivors(rows, table, ids)

    return Case(module, options, table, roots, effect, effect(before, roots))


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
