# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moments that lie a number of days or seconds back."""

from __future__ import annotations

from datetime import datetime, timedelta

from ..engine.errors import ParameterError


def ago(now: datetime, option: str, **duration: int) -> datetime:
    """The moment that lies a duration before now.

    :param option: the option that the duration comes from
    :param duration: as for timedelta, such as ``days=30``
    :raises ParameterError: that is before the year 1
    """
    try:
        return now - timedelta(**duration)
    except OverflowError:
        unit, number = next(iter(duration.items()))
        raise ParameterError(
            f"The option {option} is {number}, but so many {unit} ago is before the calendar begins; set a smaller value."
        ) from None
