# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Works out which rows each job must choose, row by row from a snapshot, without code of the collection."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

from support.snapshot import Snapshot, parsed

Row = dict[str, Any]


def ended_events(before: Snapshot, now: datetime, days: int, *, include_finished_series: bool = False) -> set[str]:
    """Ids of the events that event_cleanup deletes."""
    content, cutoff = parsed(before), now - timedelta(days=days)
    found = set()
    for event in content["events"]:
        when = _when(content, event)
        if when is None or when["ends_at"] is None:
            continue
        if when["starts_at"] is not None and moment(when["ends_at"]) < moment(when["starts_at"]):
            continue
        if not (event.get("is_recurring") or when["recurrence_pattern"] is not None):
            if moment(when["ends_at"]) <= cutoff:
                found.add(event["id"])
        elif include_finished_series and _is_finished(when, cutoff):
            moved = [row for row in content["event_exceptions"] if row["event_id"] == event["id"]]
            if all(moment <= cutoff for row in moved for moment in _moved_to(row, when["duration_secs"])):
                found.add(event["id"])
    return found


def old_adhoc_events(before: Snapshot, now: datetime, seconds: int) -> set[str]:
    """Ids of the events that adhoc_event_cleanup deletes."""
    cutoff = now - timedelta(seconds=seconds)
    rows = parsed(before)["events"]
    return {row["id"] for row in rows if row["is_adhoc"] and moment(row["created_at"]) <= cutoff}


def lone_rooms(before: Snapshot) -> set[str]:
    """Ids of the rooms that room_cleanup deletes."""
    content = parsed(before)
    used = {row["room"] for row in content["events"]}
    return {row["id"] for row in content["rooms"]} - used


def disabled_users(before: Snapshot, now: datetime, days: int) -> set[str]:
    """Ids of the users that user_cleanup deletes."""
    cutoff = now - timedelta(days=days)
    rows = parsed(before)["users"]
    return {row["id"] for row in rows if row["disabled_since"] and moment(row["disabled_since"]) <= cutoff}


def ended_invites(before: Snapshot, expired_before: datetime) -> set[str]:
    """Ids of the invites that invite_cleanup handles, with or without permissions."""
    rows = parsed(before)["invites"]
    return {
        row["id"]
        for row in rows
        if not row["active"] or (row["expiration"] is not None and moment(row["expiration"]) < expired_before)
    }


# The same rows are read many times.
@functools.lru_cache(maxsize=20_000)
def moment(text: str) -> datetime:
    """A timestamp of PostgreSQL in JSON, as UTC."""
    # Fractions of a second can have any length. fromisoformat takes these only since Python 3.11.
    whole, _unused, rest = text.partition(".")
    if not rest:
        return datetime.fromisoformat(text).astimezone(timezone.utc)
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    second = datetime.fromisoformat(whole + rest[len(digits) :])
    return (second + timedelta(microseconds=int(digits.ljust(6, "0")))).astimezone(timezone.utc)


def _when(content: dict[str, list[Row]], event: Row) -> Row | None:
    """An event's date and recurrence, from the tables that have them in this schema."""
    if "event_dates" not in content:
        return None if event.get("is_time_independent") else event
    for row in content["event_dates"]:
        if row["event_id"] == event["id"]:
            patterns = [
                r["recurrence_pattern"] for r in content.get("event_recurrences", []) if r["event_id"] == event["id"]
            ]
            return {"recurrence_pattern": patterns[0] if patterns else None, **row}
    return None


def _is_finished(when: Row, cutoff: datetime) -> bool:
    """Whether a series has an end and its last occurrence ended by the cutoff. It knows the patterns of the tests."""
    pattern, duration, zone = (when[name] for name in ("recurrence_pattern", "duration_secs", "starts_at_tz"))
    if when["starts_at"] is None or duration is None:
        return False
    parts = _parts(pattern)
    understood = parts.get("FREQ") in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY") and zone in (
        "UTC", "Europe/Berlin", "Asia/Tokyo", "America/Bogota",
    )  # fmt: skip
    if not understood or not ("UNTIL" in parts or int(parts.get("COUNT", 0)) > 0):
        return False
    return _last(moment(when["starts_at"]), pattern, zone) + timedelta(seconds=duration) <= cutoff


@functools.lru_cache(maxsize=20_000)
def _last(start: datetime, pattern: str, zone: str) -> datetime:
    """The start of the last occurrence of a series that has an end."""
    return max([start, *_occurrences(start, _parts(pattern), ZoneInfo(zone))])


def _parts(pattern: str | None) -> dict[str, str]:
    return dict(part.split("=", 1) for part in (pattern or "").removeprefix("RRULE:").split(";") if "=" in part)


def _occurrences(start: datetime, parts: dict[str, str], zone: ZoneInfo) -> Iterator[datetime]:
    until = parts.pop("UNTIL", None)
    end = until and datetime.strptime(until, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    local = start.astimezone(zone).replace(tzinfo=None)
    fraction = timedelta(microseconds=local.microsecond)
    for wall in rrulestr(";".join(f"{name}={value}" for name, value in parts.items()), dtstart=local - fraction):
        # When clocks are set back, an hour exists twice. The later one counts.
        moment = max(wall.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc) for fold in (0, 1))
        if end and moment > end:
            return
        yield moment + fraction


def _moved_to(exception: Row, duration: int) -> Iterator[datetime]:
    """The start and the end of a moved occurrence. Without an end of its own it keeps its length."""
    if exception["kind"] != "modified":
        return
    if exception["starts_at"] is not None:
        yield moment(exception["starts_at"])
    if exception["ends_at"] is not None:
        yield moment(exception["ends_at"])
    elif exception["starts_at"] is not None:
        yield moment(exception["starts_at"]) + timedelta(seconds=duration)
