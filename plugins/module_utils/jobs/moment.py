# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moments that an option names."""

from __future__ import annotations

import re
import traceback
from datetime import datetime, timezone

from ..engine.errors import MissingLibraryError, ParameterError


def parse(option: str, text: str) -> datetime:
    """A moment in ISO 8601, at least a date; without an offset in UTC.

    :param option: the option that the text comes from
    :raises ParameterError: it is not one
    """
    try:
        from dateutil.parser import isoparse
    except ImportError:
        raise MissingLibraryError("python-dateutil", traceback.format_exc()) from None
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
