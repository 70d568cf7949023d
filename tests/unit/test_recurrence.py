# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of recurrence: when a series is over, and what is refused."""

from __future__ import annotations

import os
import random
import sys
import time
import traceback
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.parts.recurrence import (
    UnsupportedRecurrence,
    finished,
)

pytestmark = pytest.mark.filterwarnings("error")

UTC = timezone.utc  # noqa: UP017 - datetime.UTC is new in Python 3.11
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
SEED = 20240331
# tests/quick tries a part of the random cases only.
PART = 5 if os.environ.get("OPENTALK_TEST_QUICK") else 1


def at(text: str, zone: str = "UTC", fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


def assert_ends_at(pattern: str, start: datetime, zone: str, end: datetime, duration: timedelta = HOUR) -> None:
    """The series is over from ``end`` on, and not a microsecond earlier."""
    end = end.astimezone(UTC)
    answers = [
        finished(pattern, starts_at=start, timezone=zone, duration=duration, cutoff=cutoff)
        for cutoff in (end - MICROSECOND, end, end + MICROSECOND)
    ]
    assert answers == [False, True, True], pattern


# pattern, start and end of the last occurrence as wall times, zone; every occurrence lasts an hour
LAST_OCCURRENCES = {
    "weekly, into summer time": ("RRULE:FREQ=WEEKLY;COUNT=3", "2024-03-18T10:00", "2024-04-01T11:00", BERLIN),
    "weekly, into winter time": ("RRULE:FREQ=WEEKLY;COUNT=3", "2024-10-21T10:00", "2024-11-04T11:00", BERLIN),
    "daily, New York, spring": ("RRULE:FREQ=DAILY;COUNT=4", "2024-03-08T22:30", "2024-03-11T23:30", NEW_YORK),
    "daily, New York, autumn": ("RRULE:FREQ=DAILY;COUNT=4", "2024-11-01T22:30", "2024-11-04T23:30", NEW_YORK),
    "hourly": ("RRULE:FREQ=HOURLY;INTERVAL=5;COUNT=6", "2024-05-01T10:00", "2024-05-02T12:00", BERLIN),
    "no prefix": ("FREQ=DAILY;COUNT=2", "2024-05-01T10:00", "2024-05-02T11:00", BERLIN),
    "no prefix, another part first": ("COUNT=2;FREQ=DAILY", "2024-05-01T10:00", "2024-05-02T11:00", BERLIN),
    "lower case": ("rrule:freq=weekly;count=2;byday=mo,we", "2024-05-01T10:00", "2024-05-06T11:00", BERLIN),
    "white space": (" \r\n RRULE:FREQ=DAILY;COUNT=2 \r\n  ", "2024-05-01T10:00", "2024-05-02T11:00", BERLIN),
    "indented lines": (
        "  RRULE:FREQ=DAILY;COUNT=2\n  RDATE:20240505T100000",
        "2024-05-01T10:00",
        "2024-05-05T11:00",
        BERLIN,
    ),
    "folded line": ("RRULE:FREQ=DAI\r\n LY;COUNT=1\r\n\t2", "2024-05-01T10:00", "2024-05-12T11:00", BERLIN),
    "several rules": (
        "RRULE:FREQ=DAILY;COUNT=2\nRRULE:FREQ=WEEKLY;COUNT=2",
        "2024-05-01T10:00",
        "2024-05-08T11:00",
        BERLIN,
    ),
    "weeks that begin on Sunday": (
        "RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
        "1997-08-05T09:00",
        "1997-08-31T10:00",
        NEW_YORK,
    ),
    "weeks that begin on Monday": (
        "RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU",
        "1997-08-05T09:00",
        "1997-08-24T10:00",
        NEW_YORK,
    ),
    "last Friday of the month": (
        "RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=3",
        "2024-01-26T10:00",
        "2024-03-29T11:00",
        BERLIN,
    ),
    "last working day": (
        "RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=3",
        "2024-01-31T10:00",
        "2024-03-29T11:00",
        BERLIN,
    ),
    "31st, where there is one": ("RRULE:FREQ=MONTHLY;COUNT=3", "2024-01-31T10:00", "2024-05-31T11:00", BERLIN),
    "29 February": ("RRULE:FREQ=YEARLY;COUNT=3", "2016-02-29T10:00", "2024-02-29T11:00", BERLIN),
    "day of the year": (
        "RRULE:FREQ=YEARLY;BYYEARDAY=-1;COUNT=2",
        "2023-12-31T10:00",
        "2024-12-31T11:00",
        BERLIN,
    ),
    "several times a day": (
        "RRULE:FREQ=DAILY;BYHOUR=9,17;BYMINUTE=15;COUNT=4",
        "2024-05-01T09:15",
        "2024-05-02T18:15",
        BERLIN,
    ),
    # UNTIL
    "UNTIL in UTC, at an occurrence": (
        "RRULE:FREQ=DAILY;UNTIL=20240503T080000Z",
        "2024-05-01T10:00",
        "2024-05-03T11:00",
        BERLIN,
    ),
    "UNTIL in UTC, a second before": (
        "RRULE:FREQ=DAILY;UNTIL=20240503T075959Z",
        "2024-05-01T10:00",
        "2024-05-02T11:00",
        BERLIN,
    ),
    "UNTIL in UTC, on another day than there": (
        "RRULE:FREQ=DAILY;UNTIL=20240504T023000Z",
        "2024-05-01T22:30",
        "2024-05-03T23:30",
        NEW_YORK,
    ),
    "UNTIL in local time": (
        "RRULE:FREQ=DAILY;UNTIL=20240503T100000",
        "2024-05-01T10:00",
        "2024-05-03T11:00",
        BERLIN,
    ),
    "UNTIL in local time, a second before": (
        "RRULE:FREQ=DAILY;UNTIL=20240503T095959",
        "2024-05-01T10:00",
        "2024-05-02T11:00",
        BERLIN,
    ),
    "UNTIL a day, inclusive": ("RRULE:FREQ=DAILY;UNTIL=20240503", "2024-05-01T23:30", "2024-05-04T00:30", BERLIN),
    "UNTIL before the start": ("RRULE:FREQ=DAILY;UNTIL=20240401", "2024-05-01T10:00", "2024-05-01T11:00", BERLIN),
    "UNTIL, never matches": (
        "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;UNTIL=20300101",
        "2024-05-01T10:00",
        "2024-05-01T11:00",
        BERLIN,
    ),
    "UNTIL within the repeated hour includes what may come before it": (
        "RRULE:FREQ=DAILY;UNTIL=20241027T011500Z",  # 02:15 for the second time
        "2024-10-25T02:30",
        "2024-10-27T02:30 second",
        BERLIN,
    ),
    # EXDATE and RDATE
    "COUNT comes before EXDATE": (
        "RRULE:FREQ=DAILY;COUNT=3\nEXDATE:20240502T100000",
        "2024-05-01T10:00",
        "2024-05-03T11:00",
        BERLIN,
    ),
    "EXDATE of the last": (
        "RRULE:FREQ=DAILY;COUNT=3\r\nEXDATE:20240503T100000\r\n",
        "2024-05-01T10:00",
        "2024-05-02T11:00",
        BERLIN,
    ),
    "EXDATE of the last in UTC": (
        "RRULE:FREQ=DAILY;COUNT=3\nEXDATE:20240503T080000Z,20240502T080000Z",
        "2024-05-01T10:00",
        "2024-05-01T11:00",
        BERLIN,
    ),
    "EXDATE of the last in another zone": (
        "RRULE:FREQ=DAILY;COUNT=3\nEXDATE;TZID=America/New_York:20240503T040000",
        "2024-05-01T10:00",
        "2024-05-02T11:00",
        BERLIN,
    ),
    "EXDATE of the last in a quoted zone": (
        'RRULE:FREQ=DAILY;COUNT=3\nexdate;tzid="Europe/Berlin":20240503T100000',
        "2024-05-01T10:00",
        "2024-05-02T11:00",
        BERLIN,
    ),
    "EXDATE of the last day": (
        "RRULE:FREQ=DAILY;COUNT=3\nEXDATE;VALUE=DATE:20240503",
        "2024-05-01T22:00",
        "2024-05-02T23:00",
        NEW_YORK,
    ),
    "EXDATE of another time of the day": (
        "RRULE:FREQ=DAILY;COUNT=3\nEXDATE:20240503T090000",
        "2024-05-01T10:00",
        "2024-05-03T11:00",
        BERLIN,
    ),
    "everything excluded": (
        "RRULE:FREQ=DAILY;COUNT=2\nEXDATE:20240501T100000,20240502T100000",
        "2024-05-01T10:00",
        "2024-05-01T11:00",
        BERLIN,
    ),
    "RDATE after the rule's end": (
        "RRULE:FREQ=DAILY;COUNT=3\nRDATE:20240601T120000",
        "2024-05-01T10:00",
        "2024-06-01T13:00",
        BERLIN,
    ),
    "RDATE in UTC": (
        "RRULE:FREQ=DAILY;COUNT=3\nRDATE;VALUE=DATE-TIME:20240601T100000Z",
        "2024-05-01T10:00",
        "2024-06-01T13:00",
        BERLIN,
    ),
    "RDATE in another zone": (
        "RRULE:FREQ=DAILY;COUNT=3\nRDATE;TZID=America/New_York:20240601T060000",
        "2024-05-01T10:00",
        "2024-06-01T13:00",
        BERLIN,
    ),
    "RDATE as a day": (
        "RRULE:FREQ=DAILY;COUNT=3\nRDATE;VALUE=DATE:20240601",
        "2024-05-01T10:00",
        "2024-06-01T11:00",
        BERLIN,
    ),
    "RDATE that is excluded": (
        "RRULE:FREQ=DAILY;COUNT=3\nRDATE:20240601T120000\nEXDATE:20240601T100000Z",
        "2024-05-01T10:00",
        "2024-05-03T11:00",
        BERLIN,
    ),
    # DTSTART
    "a start outside the rule comes on top of COUNT": (
        "RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=2",
        "2024-05-01T10:00",
        "2024-05-13T11:00",
        BERLIN,
    ),
    "DTSTART in UTC": (
        "DTSTART:20240501T080000Z\nRRULE:FREQ=DAILY;COUNT=2",
        "2024-05-01T10:00",
        "2024-05-02T11:00",
        BERLIN,
    ),
    "DTSTART in its zone": (
        "DTSTART;TZID=Europe/Berlin:20240501T100000\nRRULE:FREQ=DAILY;COUNT=2",
        "2024-05-01T10:00",
        "2024-05-02T11:00",
        BERLIN,
    ),
    "DTSTART of a whole day": (
        "DTSTART;VALUE=DATE:20240501\nRRULE:FREQ=DAILY;COUNT=2",
        "2024-05-01T00:00",
        "2024-05-02T01:00",
        BERLIN,
    ),
    # wall times that exist twice or not at all
    "the repeated hour is the later one": (
        "RRULE:FREQ=DAILY;COUNT=3",
        "2024-10-25T02:30",
        "2024-10-27T02:30 second",
        BERLIN,
        timedelta(0),
    ),
    "the hour that is left out comes after it": (
        "RRULE:FREQ=DAILY;UNTIL=20240331",
        "2024-03-29T02:30",
        "2024-03-31T03:30",
        BERLIN,
        timedelta(0),
    ),
    "the hour that is left out uses up no COUNT": (
        "RRULE:FREQ=DAILY;COUNT=3",
        "2024-03-29T02:30",
        "2024-04-01T03:30",
        BERLIN,
    ),
    "the hour that is left out, excluded": (
        "RRULE:FREQ=DAILY;UNTIL=20240331\nEXDATE;TZID=Europe/Berlin:20240331T023000",
        "2024-03-29T02:30",
        "2024-03-30T03:30",
        BERLIN,
    ),
}
SECOND_TIME = " second"
# What the clock shows at the end of an hour that began at 02:30 for the second time is past the repeated hour.
LAST_OCCURRENCES["UNTIL within the repeated hour includes what may come before it"] += (timedelta(0),)


@pytest.mark.parametrize("case", LAST_OCCURRENCES.values(), ids=LAST_OCCURRENCES.keys())
def test_ends_with_its_last_occurrence(case: tuple) -> None:
    pattern, start, end, zone, *duration = case
    fold = int(end.endswith(SECOND_TIME))
    end_instant = at(end.removesuffix(SECOND_TIME), zone, fold)
    assert_ends_at(pattern, at(start, zone), zone, end_instant, *duration)
    assert_ends_at(pattern, at(start, zone).astimezone(UTC), zone, end_instant, *duration)


def test_stays_at_its_wall_time_when_the_clocks_change() -> None:
    """The same series, expanded in UTC, would end an hour later than in Berlin."""
    start = at("2024-03-18T10:00", BERLIN)
    pattern = "RRULE:FREQ=WEEKLY;COUNT=3"
    assert_ends_at(pattern, start, BERLIN, at("2024-04-01T09:00"))
    assert_ends_at(pattern, start, "UTC", at("2024-04-01T10:00"))


def test_fraction_of_a_second_counts() -> None:
    start = at("2024-05-01T10:00:00.250000", BERLIN)
    assert_ends_at("RRULE:FREQ=DAILY;COUNT=3", start, BERLIN, at("2024-05-03T11:00:00.250000", BERLIN))
    excluded = "RRULE:FREQ=DAILY;UNTIL=20240503T100000\nEXDATE:20240502T100000"
    assert_ends_at(excluded, start, BERLIN, at("2024-05-03T11:00:00.250000", BERLIN))


def test_occurrence_that_lasts_beyond_a_clock_change() -> None:
    start = at("2024-03-29T22:00", BERLIN)
    assert_ends_at("FREQ=DAILY;COUNT=2", start, BERLIN, at("2024-03-31T07:00", BERLIN), timedelta(hours=8))


@pytest.mark.parametrize(
    "pattern",
    [
        "RRULE:FREQ=DAILY",
        "FREQ=WEEKLY;BYDAY=MO",
        "RRULE:FREQ=DAILY;COUNT=1\nRRULE:FREQ=YEARLY",
        "RRULE:FREQ=DAILY;COUNT=1\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "RRULE:FREQ=DAILY\nEXDATE;VALUE=DATE:20240502",
        "RRULE:FREQ=DAILY;COUNT=999999999",
        "RRULE:FREQ=DAILY;UNTIL=99991231",
        "RRULE:FREQ=DAILY;UNTIL=99991231T235959Z",
        "RRULE:FREQ=WEEKLY;UNTIL=20260101",
        "RRULE:FREQ=YEARLY;COUNT=3",
        "RRULE:FREQ=DAILY;COUNT=1\nRDATE:20270101T000000Z",
    ],
)
@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK])
def test_not_finished(pattern: str, zone: str) -> None:
    start, cutoff = at("2024-05-01T10:00", zone), at("2025-06-01T00:00")
    assert finished(pattern, starts_at=start, timezone=zone, duration=HOUR, cutoff=cutoff) is False


def test_not_finished_while_it_has_not_begun() -> None:
    start = at("2024-05-01T10:00", BERLIN)
    assert not finished(
        "FREQ=DAILY;UNTIL=20230101", starts_at=start, timezone=BERLIN, duration=HOUR, cutoff=at("2024-04-01T00:00")
    )


def numbers(first: int, last: int) -> str:
    return ",".join(map(str, range(first, last + 1)))


REFUSED = [
    "",
    " \r\n",
    "garbage",
    "RRULE:",
    "RRULE",
    "RRULE:COUNT=3",
    "RRULE:FREQ=;COUNT=3",
    "RRULE:FREQ=FORTNIGHTLY;COUNT=3",
    "RRULE:FREQ=DAILY;COUNT=3;",
    "RRULE:FREQ=DAILY;;COUNT=3",
    "RRULE:FREQ=DAILY;COUNT=3;COUNT=4",
    "RRULE:FREQ=DAILY;COUNT=3 ;INTERVAL=2",
    "RRULE:FREQ=DAILY:COUNT=3",
    "RRULE;X-A=B:FREQ=DAILY;COUNT=3",
    "RRULE:FREQ=DAILY;COUNT=0",
    "RRULE:FREQ=DAILY;COUNT=-1",
    "RRULE:FREQ=DAILY;COUNT=+1",
    "RRULE:FREQ=DAILY;COUNT=1.5",
    "RRULE:FREQ=DAILY;COUNT=",
    "RRULE:FREQ=DAILY;COUNT=" + "9" * 5000,
    "RRULE:FREQ=DAILY;COUNT=\u0663",
    "RRULE:FREQ=DAILY;COUNT=3;INTERVAL=0",
    "RRULE:FREQ=DAILY;COUNT=3;INTERVAL=-1",
    "RRULE:FREQ=DAILY;COUNT=3;UNTIL=20240601",
    "RRULE:FREQ=DAILY;UNTIL=",
    "RRULE:FREQ=DAILY;UNTIL=tomorrow",
    "RRULE:FREQ=DAILY;UNTIL=20240631",
    "RRULE:FREQ=DAILY;UNTIL=00000101",
    "RRULE:FREQ=DAILY;UNTIL=2024-06-01",
    "RRULE:FREQ=DAILY;UNTIL=20240601T",
    "RRULE:FREQ=DAILY;UNTIL=20240601T250000Z",
    "RRULE:FREQ=DAILY;UNTIL=20240601T235960Z",
    "RRULE:FREQ=DAILY;UNTIL=20240601T100000+0200",
    "RRULE:FREQ=DAILY;UNTIL=20240601T100000Z20240601",
    "RRULE:FREQ=SECONDLY;COUNT=3",
    "RRULE:FREQ=MINUTELY;COUNT=3",
    "RRULE:FREQ=MINUTELY",
    "RRULE:FREQ=DAILY;COUNT=3;BYMINUTE=" + numbers(0, 59) + ";BYSECOND=" + numbers(0, 59),
    "RRULE:FREQ=HOURLY;COUNT=3;BYMINUTE=" + numbers(0, 4),
    "RRULE:FREQ=HOURLY;COUNT=999999999;BYMINUTE=0,15,30,45",
    "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=3",
    "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=3",
    "RRULE:FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30;UNTIL=99991231T235959Z",
    "RRULE:FREQ=YEARLY;INTERVAL=999999999;COUNT=2",
    "RRULE:FREQ=MONTHLY;INTERVAL=999999999;COUNT=2",
    "RRULE:FREQ=WEEKLY;INTERVAL=999999999;COUNT=2",
    "RRULE:FREQ=DAILY;INTERVAL=999999999;COUNT=2",
    "RRULE:FREQ=HOURLY;INTERVAL=999999999;COUNT=2",
    "RRULE:FREQ=DAILY;COUNT=3;WKST=1MO",
    "RRULE:FREQ=DAILY;COUNT=3;WKST=XX",
    "RRULE:FREQ=DAILY;COUNT=3;BYDAY=XX",
    "RRULE:FREQ=DAILY;COUNT=3;BYDAY=\u017fU",
    "RRULE:FREQ=DAILY;COUNT=3;BYDAY=",
    "RRULE:FREQ=DAILY;COUNT=3;BYDAY=1MO",
    "RRULE:FREQ=WEEKLY;COUNT=3;BYDAY=1MO",
    "RRULE:FREQ=MONTHLY;COUNT=3;BYDAY=0MO",
    "RRULE:FREQ=MONTHLY;COUNT=3;BYDAY=6MO",
    "RRULE:FREQ=MONTHLY;COUNT=3;BYDAY=99MO",
    "RRULE:FREQ=MONTHLY;UNTIL=20200101;BYDAY=MO,1TU",
    "RRULE:FREQ=MONTHLY;COUNT=3;BYDAY=MO(+1)",
    "RRULE:FREQ=YEARLY;COUNT=3;BYMONTH=13",
    "RRULE:FREQ=YEARLY;UNTIL=20200101;BYMONTH=-1",
    "RRULE:FREQ=YEARLY;COUNT=3;BYMONTH=1,,2",
    "RRULE:FREQ=MONTHLY;COUNT=3;BYMONTHDAY=0",
    "RRULE:FREQ=MONTHLY;COUNT=3;BYMONTHDAY=32",
    "RRULE:FREQ=WEEKLY;COUNT=3;BYMONTHDAY=1",
    "RRULE:FREQ=MONTHLY;COUNT=3;BYYEARDAY=1",
    "RRULE:FREQ=YEARLY;COUNT=3;BYYEARDAY=367",
    "RRULE:FREQ=DAILY;COUNT=3;BYHOUR=24",
    "RRULE:FREQ=DAILY;COUNT=3;BYSECOND=60",
    "RRULE:FREQ=YEARLY;COUNT=3;BYWEEKNO=53;BYDAY=SA",
    "RRULE:FREQ=YEARLY;COUNT=3;BYEASTER=0",
    "RRULE:FREQ=YEARLY;COUNT=3;RSCALE=HEBREW",
    "RRULE:FREQ=MONTHLY;COUNT=3;BYSETPOS=1",
    "RRULE:FREQ=MONTHLY;COUNT=3;BYDAY=MO;BYSETPOS=0",
    "RRULE:FREQ=YEARLY;COUNT=3;BYDAY=MO;BYSETPOS=" + numbers(1, 40),
    "RRULE:FREQ=WEEKLY;COUNT=3;BYDAY=MO,WE,FR;BYSETPOS=1",
    "RRULE:FREQ=HOURLY;COUNT=3;BYMINUTE=1;BYSETPOS=2",
    "RDATE:20240502T100000",
    "EXDATE:20240502T100000",
    "DTSTART:20240501T080000Z",
    "RRULE:FREQ=DAILY;COUNT=3\nEXRULE:FREQ=DAILY;COUNT=1",
    "RRULE:FREQ=DAILY;COUNT=3\nSUMMARY:Visit",
    "RRULE:FREQ=DAILY;COUNT=3\nvisit",
    "BEGIN:VEVENT\nRRULE:FREQ=DAILY;COUNT=3\nEND:VEVENT",
    "FREQ=DAILY;COUNT=3\nFREQ=DAILY;COUNT=3",
    "FREQ=DAILY;COUNT=3\nRRULE:FREQ=DAILY;COUNT=3",
    "\n".join(["RRULE:FREQ=DAILY;COUNT=3"] * 4),
    "RRULE:FREQ=DAILY;COUNT=3\nDTSTART:20240501T100000Z",
    "RRULE:FREQ=DAILY;COUNT=3\nDTSTART:20240501T080000Z,20240501T080000Z",
    "RRULE:FREQ=DAILY;COUNT=3\nDTSTART;VALUE=DATE:20240501",
    "RRULE:FREQ=DAILY;COUNT=3\nRDATE;VALUE=PERIOD:20240601T100000Z/PT1H",
    "RRULE:FREQ=DAILY;COUNT=3\nRDATE:20240601T100000Z/PT1H",
    "RRULE:FREQ=DAILY;COUNT=3\nRDATE:",
    "RRULE:FREQ=DAILY;COUNT=3\nRDATE;TZID=America/New_York:99991231T235959",
    "RRULE:FREQ=DAILY;COUNT=3\nEXDATE:20240502",
    "RRULE:FREQ=DAILY;COUNT=3\nEXDATE;VALUE=DATE:20240502T100000",
    "RRULE:FREQ=DAILY;COUNT=3\nEXDATE;VALUE=TEXT:20240502T100000",
    "RRULE:FREQ=DAILY;COUNT=3\nEXDATE;VALUE=DATE;VALUE=DATE:20240502",
    "RRULE:FREQ=DAILY;COUNT=3\nEXDATE;VALUE=DATE;TZID=Europe/Berlin:20240502",
    "RRULE:FREQ=DAILY;COUNT=3\nEXDATE;TZID=Europe/Berlin:20240502T100000Z",
    "RRULE:FREQ=DAILY;COUNT=3\nEXDATE;TZID=Europe/Atlantis:20240502T100000",
    "RRULE:FREQ=DAILY;COUNT=3\nEXDATE;TZID=../../etc/passwd:20240502T100000",
    "RRULE:FREQ=DAILY;COUNT=3\nEXDATE;TZID=:20240502T100000",
    "RRULE:FREQ=DAILY;COUNT=3\nEXDATE;TZID:20240502T100000",
    "RRULE:FREQ=DAILY;COUNT=3\nEXDATE;X-NOTE=visit:20240502T100000",
    "RRULE:FREQ=DAILY;COUNT=3\nEXDATE:20240502T100000,",
    "RRULE:FREQ=DAILY;COUNT=3" + "\n" * 10_000,
    "RRULE:FREQ=DAILY;COUNT=3\n" + " " * 10_000,
]


@pytest.mark.parametrize("pattern", REFUSED, ids=[pattern[:60] for pattern in REFUSED])
def test_refused(pattern: str) -> None:
    with pytest.raises(UnsupportedRecurrence) as refusal:
        finished(
            pattern,
            starts_at=at("2010-05-01T10:00", BERLIN) if "DTSTART" not in pattern else at("2024-05-01T10:00", BERLIN),
            timezone=BERLIN,
            duration=HOUR,
            cutoff=at("2026-05-01T00:00"),
        )
    assert str(refusal.value)


@pytest.mark.parametrize(
    "name", ["", "Europe/Atlantis", "Europe", "/etc/passwd", "../zoneinfo/UTC", "a\0b", "\u00fc", "x" * 5000]
)
def test_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedRecurrence, match="time zone"):
        finished(
            "FREQ=DAILY;COUNT=1",
            starts_at=at("2024-05-01T10:00"),
            timezone=name,
            duration=HOUR,
            cutoff=at("2025-01-01T00:00"),
        )


@pytest.mark.parametrize(
    ("starts_at", "cutoff", "duration"),
    [
        (datetime(2024, 5, 1), at("2025-01-01T00:00"), HOUR),
        (at("2024-05-01T10:00"), datetime(2025, 1, 1), HOUR),
        (at("2024-05-01T10:00"), at("2025-01-01T00:00"), -MICROSECOND),
        (at("2024-05-01T10:00"), at("2025-01-01T00:00"), timedelta.max),
        (at("1024-05-01T10:00"), at("2025-01-01T00:00"), HOUR),
        (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), HOUR),
    ],
    ids=["naive start", "naive cutoff", "negative duration", "endless duration", "1000 years ago", "all of time"],
)
def test_times_that_cannot_be_trusted_are_refused(starts_at: datetime, cutoff: datetime, duration: timedelta) -> None:
    with pytest.raises(UnsupportedRecurrence):
        finished("FREQ=DAILY;COUNT=2", starts_at=starts_at, timezone=NEW_YORK, duration=duration, cutoff=cutoff)


@pytest.mark.parametrize(
    "pattern",
    [
        "{}",
        "{}:FREQ=DAILY;COUNT=1",
        "RRULE:FREQ={};COUNT=1",
        "RRULE:FREQ=DAILY;COUNT={}",
        "RRULE:FREQ=DAILY;UNTIL={}",
        "RRULE:FREQ=DAILY;COUNT=1;{}=1",
        "RRULE:FREQ=DAILY;COUNT=1;BYDAY={}",
        "RRULE:FREQ=DAILY;COUNT=1;BYMONTH={}",
        "RRULE:FREQ=DAILY;COUNT=1\nSUMMARY:{}",
        "RRULE:FREQ=DAILY;COUNT=1\nEXDATE:{}",
        "RRULE:FREQ=DAILY;COUNT=1\nEXDATE;VALUE={}:20240501",
        "RRULE:FREQ=DAILY;COUNT=1\nEXDATE;{}=1:20240501",
        "RRULE:FREQ=DAILY;COUNT=1\nEXDATE;TZID={}:20240501T100000",
        "RRULE:FREQ=DAILY;COUNT=1\nRDATE;VALUE=PERIOD:{}",
    ],
)
def test_refusal_does_not_repeat_the_pattern(pattern: str) -> None:
    with pytest.raises(UnsupportedRecurrence) as refusal:
        finished(
            pattern.format("ERIKA"),
            starts_at=at("2024-05-01T10:00"),
            timezone=BERLIN,
            duration=HOUR,
            cutoff=at("2025-01-01T00:00"),
        )
    assert "ERIKA" not in "".join(traceback.format_exception_only(type(refusal.value), refusal.value)).upper()
    assert refusal.value.__cause__ is None and (refusal.value.__context__ is None or refusal.value.__suppress_context__)


def test_missing_library_is_left_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dateutil", None)
    monkeypatch.setitem(sys.modules, "dateutil.rrule", None)
    with pytest.raises(ImportError):
        finished(
            "FREQ=DAILY;COUNT=1",
            starts_at=at("2024-05-01T10:00"),
            timezone=BERLIN,
            duration=HOUR,
            cutoff=at("2025-01-01T00:00"),
        )


class Oracle:
    """Daily and weekly rules, by looking at one day after the other."""

    def __init__(self, zone: str, start: datetime) -> None:
        self.zone = ZoneInfo(zone)
        self.start = start

    def instants(self, wall: datetime) -> list[datetime]:
        return sorted((wall - wall.replace(tzinfo=self.zone, fold=fold).utcoffset()) for fold in (0, 1))

    def exists(self, wall: datetime) -> bool:
        return wall.replace(tzinfo=self.zone).astimezone(UTC).astimezone(self.zone).replace(tzinfo=None) == wall

    def last_start(
        self, interval: int, weekdays: set[int] | None, count: int | None, until: datetime | None, excluded: set[date]
    ) -> datetime:
        """In UTC, without a time zone; so is ``until``."""
        monday = self.start - timedelta(days=self.start.weekday())
        starts = {self.start.date(): self.instants(self.start)[-1]}
        wall = self.start
        while count != 0 and (until is None or self.instants(wall)[0] <= until):
            if weekdays is None:
                matches = (wall - self.start).days % interval == 0
            else:
                matches = (wall - monday).days // 7 % interval == 0 and wall.weekday() in weekdays
            if matches:
                starts[wall.date()] = self.instants(wall)[-1]
                if count is not None and self.exists(wall):
                    count -= 1
            wall += timedelta(days=1)
        left = [instant for day, instant in starts.items() if day not in excluded]
        return max(left, default=self.instants(self.start)[-1])


WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


def test_agrees_with_an_oracle() -> None:
    """Daily and weekly rules around the days on which clocks change."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    changes = [date(2024, 3, 31), date(2024, 10, 27), date(2024, 3, 10), date(2024, 11, 3), date(2024, 4, 7)]
    for _unused in range(1500 // PART):
        zone = rng.choice([BERLIN, NEW_YORK, "Australia/Lord_Howe", "Asia/Kolkata", "UTC"])
        start_day = rng.choice(changes) - timedelta(days=rng.randrange(40))
        start = datetime(start_day.year, start_day.month, start_day.day, rng.randrange(24), rng.choice([0, 15, 30]))
        oracle = Oracle(zone, start)
        if not oracle.exists(start) or len(set(oracle.instants(start))) > 1:
            continue

        interval = rng.randint(1, 4)
        parts = [f"INTERVAL={interval}"] if interval > 1 or rng.random() < 0.5 else []
        weekdays = None
        if rng.random() < 0.5:
            parts.append("FREQ=DAILY")
        else:
            parts.append("FREQ=WEEKLY")
            weekdays = {start.weekday()}
            if rng.random() < 0.7:
                weekdays = set(rng.sample(range(7), rng.randint(1, 4)))
                parts.append("BYDAY=" + ",".join(WEEKDAYS[weekday] for weekday in weekdays))
        count = until = None
        if rng.random() < 0.5:
            count = rng.randint(1, 30)
            parts.append(f"COUNT={count}")
        else:
            end = start + timedelta(days=rng.randrange(60), minutes=rng.choice([-60, -15, 0, 0, 0, 15, 60]))
            form = rng.choice(["%Y%m%d", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%SZ"])
            parts.append("UNTIL=" + end.strftime(form))
            if form.endswith("Z"):
                until = end
            else:
                until = oracle.instants(end if "T" in form else end.replace(hour=23, minute=59, second=59))[-1]
        rng.shuffle(parts)
        pattern = "RRULE:" + ";".join(parts)
        excluded = {start_day + timedelta(days=rng.randrange(60)) for _unused in range(rng.choice([0, 0, 5, 40]))}
        if excluded:
            days = ",".join(f"{day:%Y%m%d}" for day in sorted(excluded))
            times = ",".join(f"{day:%Y%m%d}T{start:%H%M%S}" for day in sorted(excluded))
            pattern += rng.choice([f"\nEXDATE;VALUE=DATE:{days}", f"\nEXDATE:{times}"])

        duration = timedelta(minutes=rng.choice([0, 30, 60, 1440]))
        last_end = oracle.last_start(interval, weekdays, count, until, excluded).replace(tzinfo=UTC) + duration
        first_end = oracle.instants(start)[-1].replace(tzinfo=UTC) + duration
        assert_ends_at(pattern, at(start.isoformat(), zone), zone, max(last_end, first_end), duration)


# Of the processor, so that as many cases are tried where others use it, too.
FUZZ_SECONDS = 8
FUZZ_CASES = 4000
FUZZ_TOKENS = [
    *["RRULE:", "EXDATE:", "RDATE:", "EXDATE;VALUE=DATE:", "RDATE;VALUE=DATE:", "DTSTART:", "EXRULE:", "\n", "\r\n "],
    *["FREQ=", "COUNT=", "UNTIL=", "INTERVAL=", "BYDAY=", "BYMONTH=", "BYMONTHDAY=", "BYYEARDAY=", "BYSETPOS="],
    *["BYHOUR=", "BYMINUTE=", "BYSECOND=", "BYWEEKNO=", "BYEASTER=", "WKST=", "TZID=", "VALUE=", "PERIOD", "DATE"],
    *["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "MO", "SU", "-1FR", "53MO", "-53SU"],
    *[";", ",", ":", "=", "-", "+", "0", "1", "9", "31", "366", "999999999", "T", "Z", " ", "\t", '"', "\0", "\u0661"],
    *["00010101T000000Z", "00010101", "99991231T235959Z", "99991231", "20240331T023000", "Europe/Berlin", "Europe"],
]


def mutated(rng: random.Random, pattern: str) -> str:
    for _unused in range(rng.choice([0, 1, 1, 2, 3, 8])):
        start = rng.randrange(len(pattern) + 1)
        end = start + rng.choice([0, 0, 1, 3, 10])
        pattern = pattern[:start] + rng.choice([*FUZZ_TOKENS, "", chr(rng.randrange(128))]) + pattern[end:]
    return pattern


def assembled(rng: random.Random) -> str:
    values = {
        "FREQ": ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY"],
        "INTERVAL": ["1", "2", "7", "99", "9999", "999999999"],
        "BYDAY": ["MO", "SA,SU", "1MO", "-1FR", "5TH", "-53SU", "53MO", "99MO"],
        "BYMONTH": ["1", "2", "2,4", "12"],
        "BYMONTHDAY": ["1", "29", "30", "31", "-31", "-1"],
        "BYYEARDAY": ["1", "366", "-366", "60"],
        "BYSETPOS": ["1", "-1", "366", "-366"],
        "BYHOUR": ["0", "2", "9,17"],
        "BYMINUTE": ["0", "0,30", "59"],
        "BYSECOND": ["0", "59"],
        "WKST": ["MO", "SU", "WE"],
        "COUNT": ["1", "10", "100", "999999999"],
        "UNTIL": ["20240601", "00010101", "99991231T235959Z", "20300101T000000Z"],
    }
    names = ["FREQ", rng.choice(["COUNT", "UNTIL"]), *rng.sample(list(values), rng.randint(0, 4))]
    return "RRULE:" + ";".join(f"{name}={rng.choice(values[name])}" for name in dict.fromkeys(names))


def test_nothing_but_the_refusal_escapes() -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    known = [case[0] for case in LAST_OCCURRENCES.values()] + [pattern for pattern in REFUSED if len(pattern) < 200]
    moments = [
        *[at("2024-05-01T10:00"), at("2024-05-01T10:00"), at("2024-03-31T01:30"), at("1999-12-31T23:59:59.999999")],
        *[at("2026-01-01T00:00"), at("2399-12-31T12:00"), at("0001-01-02T00:00"), at("9999-12-30T00:00")],
        *[datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)],
    ]
    zones = [BERLIN, BERLIN, NEW_YORK, "Pacific/Apia", "Australia/Lord_Howe", "Europe/Nowhere"]
    answers: set[object] = set()
    give_up_at = time.process_time() + FUZZ_SECONDS
    for number in range(FUZZ_CASES // PART):
        pattern = mutated(rng, rng.choice(known)) if rng.random() < 0.7 else assembled(rng)
        case = {
            "starts_at": rng.choice(moments),
            "timezone": rng.choice(zones),
            "duration": rng.choice([timedelta(0), HOUR, timedelta(days=3), timedelta.max]),
            "cutoff": rng.choice(moments) if rng.random() < 0.3 else at("2026-01-01T00:00"),
        }
        try:
            answers.add(finished(pattern, **case))
        except UnsupportedRecurrence:
            answers.add(UnsupportedRecurrence)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            pytest.fail(f"seed {SEED}, case {number}: {error!r} from {pattern!r} with {case}")
        if time.process_time() > give_up_at:
            break
    assert answers == {True, False, UnsupportedRecurrence}
