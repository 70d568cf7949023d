# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Odd values for the columns of a tangled database: by type, and by meaning for columns that the jobs understand."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from support.tables import Column

DAY = timedelta(days=1)
# The ages of things. The parameters of the jobs have the same values.
AGES = (timedelta(0), timedelta(seconds=1), timedelta(hours=1), DAY, 2 * DAY, 30 * DAY, 365 * DAY)
SHIFTS = (timedelta(0), timedelta(0), timedelta(microseconds=1), timedelta(seconds=1), timedelta(hours=2))
# Numbers of occurrences of a series.
COUNTS = (1, 2, 31)
DURATIONS = (0, 1, 3600, 86_400)
ZONES = ("UTC", "Europe/Berlin", "Asia/Tokyo", "America/Bogota")
_CHARACTERS = "abcxyz019 _-%'\"\\/,;:{}()$?*\n\täß日🎈"


@dataclass
class Context:
    """The data from which values are made.

    :ivar rows: the rows so far, by table
    """

    random: random.Random
    now: datetime
    rows: dict[str, list[dict[str, Any]]]

    def pick(self, table: str) -> dict[str, Any]:
        """A row of a table; some rows come far more often than others. Empty if the table has no rows."""
        rows = self.rows[table]
        if not rows:
            return {}
        skew = self.random.choice((1, 3))
        return rows[int(len(rows) * self.random.random() ** skew)]

    def identifier(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def moment(self) -> datetime:
        """A moment. It is often one at which a job decides, or very close to one."""
        if self.random.random() < 0.3:
            return self.now + timedelta(seconds=self.random.uniform(-1000, 300) * 86_400)
        shift = self.random.choice(SHIFTS) * self.random.choice((-1, 1))
        return self.now - self.random.choice(AGES) + shift

    def text(self, length: int | None) -> str:
        wanted = self.random.randint(1, min(length or 20, 20))
        text = "".join(self.random.choices(_CHARACTERS, k=wanted))
        return text.title()[:wanted] if self.random.random() < 0.2 else text


def value(column: Column, context: Context) -> Any:
    """A value of the column's type, in the form of JSON."""
    if column.labels:
        return context.random.choice(column.labels)
    return _BY_TYPE[column.type](column, context)


_BY_TYPE: dict[str, Callable[[Column, Context], Any]] = {
    "uuid": lambda column, context: context.identifier(),
    "bool": lambda column, context: context.random.random() < 0.5,
    "int4": lambda column, context: context.random.randint(0, 1000),
    "int8": lambda column, context: context.random.randint(0, 1000),
    "text": lambda column, context: context.text(column.length),
    "varchar": lambda column, context: context.text(column.length),
    "_text": lambda column, context: [context.text(None) for _unused in range(context.random.randint(0, 2))],
    "jsonb": lambda column, context: context.random.choice(({}, [], {"id": context.identifier(), "n": None})),
    "timestamptz": lambda column, context: context.moment().isoformat(),
}


def _pattern(context: Context) -> str | None:
    """A recurrence rule, or None. Some rules are not usable."""
    choose = context.random.choice
    if context.random.random() < 0.4:
        return None
    frequency = choose(("DAILY", "WEEKLY", "MONTHLY", "DAILY;INTERVAL=2"))
    until = context.moment().strftime("%Y%m%dT%H%M%SZ")
    return choose(
        (
            f"RRULE:FREQ=DAILY;COUNT={choose(COUNTS)}",
            f"RRULE:FREQ=DAILY;COUNT={choose(COUNTS)}",
            f"RRULE:FREQ={frequency};COUNT={choose(COUNTS)}",
            f"RRULE:FREQ={frequency};UNTIL={until}",
            f"RRULE:FREQ={frequency}",
            choose(("RRULE:FREQ=SOMETIMES;COUNT=1", "", "weekly", "RRULE:FREQ=DAILY;COUNT=0")),
        )
    )


def _dates(context: Context) -> dict[str, Any]:
    choose = context.random.choice
    duration = choose(DURATIONS)
    ends_at = context.moment()
    # With this start, a daily series can end at such a moment, too.
    starts_at = ends_at - (choose(COUNTS) - 1) * DAY - timedelta(seconds=duration)
    zone = choose(ZONES) if context.random.random() < 0.95 else context.text(10)
    return {
        "starts_at": starts_at.isoformat(),
        "starts_at_tz": zone,
        "ends_at": ends_at.isoformat(),
        "ends_at_tz": zone,
        "duration_secs": duration,
        "recurrence_pattern": _pattern(context),
    }


def _dates_in_events(context: Context) -> dict[str, Any]:
    """Up to migration 60 any part of an event's date may be missing or contradict the others."""
    maybe = {name: given for name, given in _dates(context).items() if context.random.random() < 0.95}
    kind = context.random.random()
    if kind < 0.7:
        return {**maybe, "is_time_independent": False, "is_recurring": maybe.get("recurrence_pattern") is not None}
    if kind < 0.8:
        return {**dict.fromkeys(maybe), "is_time_independent": True, "is_recurring": None}
    return maybe


def _user(context: Context) -> dict[str, Any]:
    """Some users of a tenant have the same mail address."""
    if context.random.random() < 0.6:
        return {}
    return {
        "email": f"person{context.random.randrange(4)}@example.org",
        "tenant_id": context.rows["tenants"][int(context.random.random() < 0.2)]["id"],
    }


def _event(context: Context) -> dict[str, Any]:
    dates = _dates_in_events(context)
    return {**dates, "tenant_id": context.pick("users")["tenant_id"]} if context.random.random() < 0.6 else dates


def _invitation_by_mail(context: Context) -> dict[str, Any]:
    """Most of them are to a user, and most of these in an event of the user's tenant."""
    user, events = context.pick("users"), context.rows["events"]
    if context.random.random() < 0.2:
        return {}
    near = [event for event in events if event["tenant_id"] == user["tenant_id"]]
    return {
        "email": user["email"],
        "event_id": context.random.choice(near if near and context.random.random() < 0.8 else events)["id"],
    }


def _recurrence(context: Context) -> dict[str, Any]:
    return {"recurrence_pattern": _pattern(context) or "RRULE:FREQ=YEARLY"}


def _shared_folder(context: Context) -> dict[str, Any]:
    directory = "opentalk/meetings"
    path = context.random.choice(
        (
            f"{directory}/{context.identifier()}",
            f"{directory}/{context.text(None)}",
            "",
            "/",
            f"{directory}/../x",
            directory,
        )
    )
    shares = [str(context.random.randint(1, 999)) for _unused in range(2)]
    links = [dict.fromkeys(("drive_id", "item_id", "permission_id"), f"{share}$x!y") for share in shares]
    return {
        "path": path,
        "write_share_id": shares[0],
        "read_share_id": shares[1],
        "provider_data": context.random.choice(
            (
                {"type": "nextcloud", "write_share_id": shares[0], "read_share_id": shares[1]},
                {"type": "opencloud_basic", "write": links[0], "read": links[1]},
            )
        ),
    }


def _permission(context: Context) -> dict[str, Any]:
    """A permission, or a row that looks like one."""
    choose = context.random.choice
    user, group, invite = (context.pick(table)["id"] for table in ("users", "groups", "invites"))
    subject = choose(
        (
            f"user::{user}", f"user::{user}", f"user::{user}", f"invite::{invite}", f"invite::{invite}", f"group::{group}",
            "role::user", f"user::{user}0", f"user::{user}::x", f"users::{user}", f"xuser::{user}", user, f"group::{user}",
            f"user::{invite}", f"invite::{user}", f"invite::{invite}0", f"user::{user[:-1]}", f"USER::{user}", "user::",
        )
    )  # fmt: skip
    kind = choose(("rooms", "rooms", "events", "events", "module_resources", "invites", "users", "assets"))
    thing = context.pick(kind)["id"]
    path = choose(
        (
            f"/{kind}/{thing}", f"/{kind}/{thing}", f"/{kind}/{thing}/", f"/{kind}/{thing}/invites/*", f"/{kind}/{thing}/a/b",
            f"/users/me/event_favorites/{thing}", f"/users/me/event_favorites/{thing}", f"/{kind}", f"/{kind}/", "/", "", "*",
            f"/{kind}/{thing}x", f"/{kind}/{thing[:-1]}", f"/{kind}x/{thing}", f"{kind}/{thing}", f"//{kind}/{thing}",
            f"x/{kind}/{thing}", f"/x/{kind}/{thing}", f"/users/me/event_favorites/{thing}/x", f"/{kind}/*/{thing}",
            f"/users/me/event_favorites/{thing}0", f"/users/me/{thing}", f"/users/you/event_favorites/{thing}",
            f"/rooms/{context.pick('events')['id']}", f"/events/{context.pick('rooms')['id']}", f"/{kind}/{thing} ",
            f"/{kind}/{thing}?x=/", f"/{kind}_/{thing}", f"/{kind.upper()}/{thing}", f"user::{user}", f"group::{group}",
        )
    )  # fmt: skip
    return {
        "ptype": choose(("p", "p", "p", "p", "p", "g", "g", "p2", "g2", "P")),
        "v0": subject,
        "v1": path,
        "v2": choose(("get", "get|put|delete", "")),
        "v3": "",
        "v4": "",
        "v5": choose(("", "", f"/rooms/{thing}")),
    }


def _tariff(context: Context) -> dict[str, Any]:
    # The controller's trigger accepts nothing else.
    choose = context.random.choice
    return {
        "quotas": choose(({}, {"max_storage": 5}, {"room_time_limit_secs": 1, "room_participant_limit": 0})),
        "disabled_modules": choose(([], ["chat"], ["legal_vote", "polls"])),
        "disabled_features": choose(([], ["core::call_in"])),
    }


# Values of columns by table that are not random. A column that the table lacks is ignored.
RULES: dict[str, Callable[[Context], dict[str, Any]]] = {
    "users": _user,
    "events": _event,
    "event_email_invites": _invitation_by_mail,
    "event_dates": _dates,
    "event_recurrences": _recurrence,
    "event_shared_folders": _shared_folder,
    "casbin_rule": _permission,
    "tariffs": _tariff,
}
