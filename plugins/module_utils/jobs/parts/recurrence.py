# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds out whether the series of a recurring event is over. RFC 5545 lines are expanded in the event's own time zone.

The answer decides about a deletion, so every doubt counts as "later" or as UnsupportedRecurrence:

- A wall time that exists twice, or not at all, counts as the later instant; in a comparison with UNTIL, as the earlier.
- A wall time that does not exist is an occurrence, but is not counted for COUNT (RFC 5545, 3.3.5 and 3.3.10).
- COUNT counts the occurrences of the rule. A DTSTART that the rule does not generate is one more occurrence.
- A rule is refused if RFC 5545 forbids a part with its frequency, or if python-dateutil expands a part differently
  (BYWEEKNO at the turn of the year, BYSETPOS in the first week, BYDAY that mixes MO and 1MO).

The limits below bound the expansion of every pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import MAXYEAR, date, datetime, time, timedelta, timezone
from itertools import chain
from zoneinfo import ZoneInfo

UTC = timezone.utc  # noqa: UP017 - datetime.UTC is new in Python 3.11

MAX_LENGTH = 8192  # characters; the controller's column holds 4094
MAX_RULES = 3
MAX_OCCURRENCES = 50_000
MAX_TIMES_A_DAY = 96
MAX_AGE = timedelta(days=36_525)

# The calendar repeats after a cycle, weekdays included. python-dateutil searches for the next occurrence until the year
# 9999. Whole cycles move the expansion close to that year, so a rule that never matches ends within 400 years.
CYCLE_YEARS = 400
CYCLE = timedelta(days=146_097)

# No clock was ever set forward or back by more than a day.
CLOCK_SLACK = timedelta(days=2)

WITHOUT: dict[str, frozenset[str]] = {
    "YEARLY": frozenset(),
    "MONTHLY": frozenset({"BYYEARDAY"}),
    "WEEKLY": frozenset({"BYYEARDAY", "BYMONTHDAY", "BYSETPOS"}),
    "DAILY": frozenset({"BYYEARDAY", "BYSETPOS"}),
    "HOURLY": frozenset({"BYSETPOS"}),
}
# By name: the lowest and the highest number, and whether negative numbers are allowed, which count from the end.
NUMBERS: dict[str, tuple[int, int, bool]] = {
    "BYMONTH": (1, 12, False),
    "BYMONTHDAY": (1, 31, True),
    "BYYEARDAY": (1, 366, True),
    "BYSETPOS": (1, 366, True),
    "BYHOUR": (0, 23, False),
    "BYMINUTE": (0, 59, False),
    "BYSECOND": (0, 59, False),
}
MAX_SET_POSITIONS = 31

_PROPERTY = re.compile(r"(?:RRULE|EXRULE|RDATE|EXDATE|DTSTART)[:;]", re.IGNORECASE)
_POSITIVE = re.compile(r"[0-9]{1,9}")
_SIGNED = re.compile(r"([+-]?)([0-9]{1,3})")
_WEEKDAY = re.compile(r"([+-]?[0-9]{1,2})?(?:MO|TU|WE|TH|FR|SA|SU)")
_DATE = re.compile(r"[0-9]{8}")
_DATE_TIME = re.compile(r"([0-9]{8}T[0-9]{6})(Z?)")

Readings = tuple[datetime, datetime]
"""The earliest and the latest instant, in UTC, that a time can mean."""


class UnsupportedRecurrence(ValueError):
    """The pattern cannot be parsed or trusted. The message is a short clause with the reason, without the pattern."""


@dataclass(frozen=True)
class _Rule:
    parts: str
    """The rule without COUNT and UNTIL, which python-dateutil expands."""
    count: int | None
    until: datetime | None
    """In UTC."""

    @property
    def is_finite(self) -> bool:
        return self.count is not None or self.until is not None


@dataclass
class _Series:
    rules: list[_Rule] = field(default_factory=list)
    added: list[datetime] = field(default_factory=list)
    """Instants in UTC."""
    excluded: set[datetime] = field(default_factory=set)
    """Wall times."""
    excluded_days: set[date] = field(default_factory=set)


def finished(pattern: str, *, starts_at: datetime, timezone: str, duration: timedelta, cutoff: datetime) -> bool:
    """Whether a series is finite and its last occurrence ended at or before the cutoff.

    If every occurrence is excluded, the end of the first one decides.

    :param pattern: RFC 5545 lines: RRULE, RDATE, EXDATE
    :param starts_at: start of the first occurrence, with a time zone
    :param timezone: IANA name of the event's own time zone, in which the series is expanded
    :param duration: length of one occurrence
    :param cutoff: with a time zone
    :returns: False also for an endless series
    :raises UnsupportedRecurrence: the answer cannot be trusted
    :raises ImportError: python-dateutil is not installed
    """
    from dateutil.rrule import rrulestr

    if starts_at.utcoffset() is None or cutoff.utcoffset() is None:
        raise UnsupportedRecurrence("the start or the cutoff has no time zone")
    if duration < timedelta(0):
        raise UnsupportedRecurrence("the duration is negative")
    try:
        return _finished(
            pattern, starts_at.astimezone(UTC), _zone(timezone), duration, cutoff.astimezone(UTC), rrulestr
        )
    except UnsupportedRecurrence:
        raise
    except (ArithmeticError, LookupError, ValueError):
        raise UnsupportedRecurrence("a value is invalid or out of range") from None


def _finished(
    pattern: str,
    start: datetime,
    zone: ZoneInfo,
    duration: timedelta,
    cutoff: datetime,
    rrulestr: Callable[..., Iterable[datetime]],
) -> bool:
    # RFC 5545 has no fractions of a second. The series is expanded without the fraction, which is added to each end.
    fraction = timedelta(microseconds=start.microsecond)
    first = start - fraction
    series = _parse(pattern, first, zone)
    if not all(rule.is_finite for rule in series.rules) or start + duration > cutoff:
        return False
    if cutoff - start > MAX_AGE:
        raise UnsupportedRecurrence("it starts too long ago to expand")

    # The first occurrence has ended, so the occurrences of the lines decide.
    latest_start = cutoff - duration - fraction
    expanded = (_expand(rule, first, zone, cutoff, rrulestr) for rule in series.rules)
    for number, occurrence in enumerate(chain(series.added, chain.from_iterable(expanded)), 1):
        if number > MAX_OCCURRENCES:
            raise UnsupportedRecurrence("it recurs too often to expand")
        wall = _wall(occurrence, zone)
        if wall in series.excluded or wall.date() in series.excluded_days:
            continue
        if occurrence > latest_start:
            return False
    return True


def _expand(
    rule: _Rule, first: datetime, zone: ZoneInfo, cutoff: datetime, rrulestr: Callable[..., Iterable[datetime]]
) -> Iterator[datetime]:
    """The instants that a finite rule generates, in the order of their wall times."""
    shift = CYCLE * ((MAXYEAR - cutoff.year) // CYCLE_YEARS)
    left = rule.count
    for shifted in rrulestr(rule.parts, dtstart=_wall(first, zone) + shift):
        wall = shifted - shift
        earliest, latest = _readings(wall, zone)
        if rule.until is not None and earliest > rule.until:
            if earliest - CLOCK_SLACK > rule.until:
                return
            continue
        yield latest
        if left is not None and _wall(latest, zone) == wall:
            left -= 1
            if left == 0:
                return
    reached = (datetime.max - shift - CLOCK_SLACK).replace(tzinfo=UTC)
    if rule.until is None or rule.until > reached:
        raise UnsupportedRecurrence("its COUNT or UNTIL is never reached")


def _zone(name: str) -> ZoneInfo:
    if not name:
        raise UnsupportedRecurrence("the time zone is missing")
    try:
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError):
        raise UnsupportedRecurrence("the time zone is unknown") from None


def _readings(wall: datetime, zone: ZoneInfo) -> Readings:
    instants = [wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    return min(instants), max(instants)


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def _parse(pattern: str, first: datetime, zone: ZoneInfo) -> _Series:
    if len(pattern) > MAX_LENGTH:
        raise UnsupportedRecurrence("it is too long")
    if not pattern.isascii():
        raise UnsupportedRecurrence("it has characters outside ASCII")
    series = _Series()
    bare_rules = 0
    for line in _unfold(pattern):
        head, colon, value = line.partition(":")
        if not colon:
            bare_rules += 1
            series.rules.append(_parse_rule(line, zone))
            continue
        name, *parameters = head.split(";")
        name = name.upper()
        if name == "RRULE" and not parameters:
            series.rules.append(_parse_rule(value, zone))
        elif name in ("RDATE", "EXDATE", "DTSTART"):
            _add_dates(series, name, list(_parse_dates(value, parameters, zone)), first, zone)
        elif name == "EXRULE":
            raise UnsupportedRecurrence("EXRULE is not supported")
        else:
            raise UnsupportedRecurrence("it has a line that is not supported")
    if not series.rules:
        raise UnsupportedRecurrence("it has no rule")
    if len(series.rules) > MAX_RULES or (bare_rules and len(series.rules) > 1):
        raise UnsupportedRecurrence("it has too many rules")
    return series


def _unfold(pattern: str) -> list[str]:
    lines: list[str] = []
    for line in re.split(r"\r\n|\r|\n", pattern):
        if lines and line.startswith((" ", "\t")) and not _PROPERTY.match(line.strip()):
            lines[-1] += line[1:]
        else:
            lines.append(line)
    return [line.strip() for line in lines if line.strip()]


def _add_dates(series: _Series, name: str, values: list[date | Readings], first: datetime, zone: ZoneInfo) -> None:
    for value in values:
        if name == "EXDATE":
            if isinstance(value, date):
                series.excluded_days.add(value)
            else:
                series.excluded.add(_wall(value[1], zone))
        elif name == "RDATE":
            if isinstance(value, date):
                value = _readings(datetime.combine(value, _wall(first, zone).time()), zone)
            series.added.append(value[1])
        else:
            if isinstance(value, date):
                value = _readings(datetime.combine(value, time.min), zone)
            if len(values) != 1 or first not in value:
                raise UnsupportedRecurrence("its DTSTART is not the start of the event")


def _parse_dates(text: str, parameters: list[str], zone: ZoneInfo) -> Iterator[date | Readings]:
    """The values of RDATE, EXDATE or DTSTART: days, or readings of times."""
    given: dict[str, str] = {}
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        name = name.upper()
        if not equals or name not in ("TZID", "VALUE") or name in given:
            raise UnsupportedRecurrence("a date has a parameter that is not supported")
        given[name] = value
    value_type = given.get("VALUE", "DATE-TIME").upper()
    tzid = given.get("TZID")
    if value_type == "PERIOD":
        raise UnsupportedRecurrence("periods are not supported")
    if value_type not in ("DATE", "DATE-TIME") or (value_type == "DATE" and tzid is not None):
        raise UnsupportedRecurrence("a date has a parameter that is not supported")
    if tzid is not None:
        zone = _zone(tzid[1:-1] if re.fullmatch(r'"[^"]*"', tzid) else tzid)
    for item in text.upper().split(","):
        if value_type == "DATE":
            yield _parse_day(item)
        elif tzid is not None and item.endswith("Z"):
            raise UnsupportedRecurrence("a date has two time zones")
        else:
            yield _parse_time(item, zone)


def _parse_day(text: str) -> date:
    if not _DATE.fullmatch(text):
        raise UnsupportedRecurrence("a date is invalid")
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))


def _parse_time(text: str, zone: ZoneInfo) -> Readings:
    match = _DATE_TIME.fullmatch(text)
    if not match:
        raise UnsupportedRecurrence("a date is invalid")
    wall = datetime.strptime(match[1], "%Y%m%dT%H%M%S")
    if match[2]:
        return wall.replace(tzinfo=UTC), wall.replace(tzinfo=UTC)
    return _readings(wall, zone)


def _parse_rule(text: str, zone: ZoneInfo) -> _Rule:
    parts: dict[str, str] = {}
    for part in text.upper().split(";"):
        name, equals, value = part.partition("=")
        if not equals or name in parts:
            raise UnsupportedRecurrence("the rule is malformed")
        parts[name] = value

    count = parts.pop("COUNT", None)
    until = parts.pop("UNTIL", None)
    if count is not None and until is not None:
        raise UnsupportedRecurrence("COUNT and UNTIL exclude each other")
    _check_parts(parts)
    # Without WKST, python-dateutil takes the first day of the week from a setting of the whole process.
    parts.setdefault("WKST", "MO")
    return _Rule(
        parts=";".join(f"{name}={value}" for name, value in parts.items()),
        count=None if count is None else _positive("COUNT", count),
        until=None if until is None else _parse_until(until, zone),
    )


def _parse_until(text: str, zone: ZoneInfo) -> datetime:
    if not _DATE.fullmatch(text):
        return _parse_time(text, zone)[1]
    day = _parse_day(text)
    try:
        return _readings(datetime.combine(day, time.max), zone)[1]
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _check_parts(parts: dict[str, str]) -> None:
    """Refuse parts that RFC 5545 forbids, that python-dateutil expands wrongly, or that take too long."""
    frequency = parts.get("FREQ")
    if frequency in ("MINUTELY", "SECONDLY"):
        raise UnsupportedRecurrence("it recurs too often to expand")
    if frequency not in WITHOUT:
        raise UnsupportedRecurrence("FREQ is missing or invalid")
    for name, value in parts.items():
        if name in WITHOUT[frequency]:
            raise UnsupportedRecurrence(f"{name} is not supported with FREQ={frequency}")
        if name == "INTERVAL":
            _positive(name, value)
        elif name == "WKST":
            if not _WEEKDAY.fullmatch(value) or len(value) != 2:
                raise UnsupportedRecurrence("WKST is invalid")
        elif name == "BYDAY":
            _check_weekdays(value, frequency)
        elif name in NUMBERS:
            _check_numbers(name, value)
        elif name == "BYWEEKNO":
            raise UnsupportedRecurrence("BYWEEKNO is not supported")
        elif name != "FREQ":
            raise UnsupportedRecurrence("the rule has a part that is not supported")

    if "BYSETPOS" in parts:
        if not any(name.startswith("BY") and name != "BYSETPOS" for name in parts):
            raise UnsupportedRecurrence("BYSETPOS needs another part to choose from")
        if _items(parts, "BYSETPOS") > MAX_SET_POSITIONS:
            raise UnsupportedRecurrence("BYSETPOS has too many values")
    hours = 24 if frequency == "HOURLY" else _items(parts, "BYHOUR")
    if hours * _items(parts, "BYMINUTE") * _items(parts, "BYSECOND") > MAX_TIMES_A_DAY:
        raise UnsupportedRecurrence("it recurs too often to expand")


def _items(parts: dict[str, str], name: str) -> int:
    return parts.get(name, "").count(",") + 1


def _check_weekdays(value: str, frequency: str) -> None:
    matches = [_WEEKDAY.fullmatch(item) for item in value.split(",")]
    ordinals = {match[1] and int(match[1]) for match in matches if match}
    if not all(matches) or 0 in ordinals:
        raise UnsupportedRecurrence("BYDAY is invalid")
    if ordinals != {None} and (None in ordinals or frequency not in ("MONTHLY", "YEARLY")):
        raise UnsupportedRecurrence("the ordinals in BYDAY are not supported here")


def _check_numbers(name: str, value: str) -> None:
    lowest, highest, signed = NUMBERS[name]
    for item in value.split(","):
        match = _SIGNED.fullmatch(item)
        if not match or not lowest <= int(match[2]) <= highest or (match[1] and not signed):
            raise UnsupportedRecurrence(f"{name} is invalid")


def _positive(name: str, value: str) -> int:
    if not _POSITIVE.fullmatch(value) or int(value) == 0:
        raise UnsupportedRecurrence(f"{name} is not a positive number")
    return int(value)
