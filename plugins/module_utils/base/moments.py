# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moments that an option gives, as a timestamp or as a duration before now."""

from __future__ import annotations

import re
import traceback
from datetime import datetime, timedelta, timezone

from . import packages
from .errors import MissingLibraryError, ParameterError


def parse(option: str, text: str) -> datetime:
    """Read a date or a timestamp in ISO 8601. Without an offset it is in UTC.

    :param option: the option that has the text
    :raises ParameterError: the text is neither
    """
    try:
        from dateutil.parser import isoparse
    except ImportError:
        raise MissingLibraryError("python-dateutil", traceback.format_exc()) from None
    packages.check("python-dateutil")
    try:
        if not re.match(r"\d{4}(-\d\d-\d\d|\d{4})(?!\d)", text):
            raise ValueError
        moment = isoparse(text)
    except (ValueError, OverflowError):
        raise ParameterError(
            f"The option {option} must be a date or a timestamp in ISO 8601, such as 2026-01-31 or"
            " 2026-01-31T12:00:00+01:00; correct its value."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def ago(now: datetime, **duration: int) -> datetime:
    """The moment that lies a duration before now.

    :param duration: as for timedelta, such as ``days=30``
    :returns: the beginning of the year 1, UTC, if the moment would be before that
    """
    try:
        return now - timedelta(**duration)
    except OverflowError:
        return datetime.min.replace(tzinfo=timezone.utc)
