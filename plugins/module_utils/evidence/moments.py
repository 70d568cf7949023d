# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moments as the audit log writes them. In this form, text compares like time."""

from __future__ import annotations

import re
from datetime import datetime, timezone

# The form of the field time in every line.
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_OPTION = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{3}(\d{3})?)?)?(Z|[+-]\d\d:\d\d)?)?")


def stamp(moment: datetime) -> str:
    """A moment with a time zone in the form of the audit log, such as 2026-01-31T12:00:00.000000Z."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse(option: str, text: str) -> str:
    """A date or a timestamp in ISO 8601 in the form of the audit log. Without an offset it is in UTC.

    :param option: the option that has the text
    :raises ValueError: it is neither; the error says which option to correct
    """
    try:
        if not _OPTION.fullmatch(text):
            raise ValueError
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return stamp(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc))
    except (ValueError, OverflowError):
        raise ValueError(
            f"The option {option} must be a date or a timestamp in ISO 8601, such as 2026-01-31 or 2026-01-31T12:00:00Z;"
            " correct its value."
        ) from None


def period(begin: str, end: str) -> tuple[str, str]:
    """The options ``from`` and ``until`` in the form of the audit log.

    :raises ValueError: one of them is wrong, or the period is empty
    """
    first, last = parse("from", begin), parse("until", end)
    if first >= last:
        raise ValueError("The option from must be before the option until; correct one of them.")
    return first, last


def seconds_between(first: str, last: str) -> int:
    """The whole seconds from one moment to another; negative if the other is earlier.

    :raises ValueError: one of them is no moment
    """
    begin, end = (datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (first, last))
    return (end - begin) // _SECOND


_SECOND = datetime(2000, 1, 1, 0, 0, 1) - datetime(2000, 1, 1)
