# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments that an option names, or that lie a duration before now."""

from __future__ import annotations

import sys
from datetime import datetime, timezone

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base import moments
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import (
    MissingLibraryError,
    ParameterError,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", "2026-01-31T00:00:00+00:00"),
        ("20260131", "2026-01-31T00:00:00+00:00"),
        ("2026-01-31T12:00", "2026-01-31T12:00:00+00:00"),
        ("2026-01-31T12:00:00.123456Z", "2026-01-31T12:00:00.123456+00:00"),
        ("2026-01-31T12:00:00+01:00", "2026-01-31T11:00:00+00:00"),
        ("2026-01-31T00:00:00-05:30", "2026-01-31T05:30:00+00:00"),
    ],
)
def test_text_is_a_moment_in_utc_unless_it_says_otherwise(text: str, moment: str) -> None:
    found = moments.parse("expired_before", text)
    assert found.tzinfo and found.astimezone(timezone.utc).isoformat() == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026",
        "2026-01",
        "202601",
        "2026-W05",
        "2026-031",
        "2026-02-30",
        "2026-01-31T25:00",
        "31.01.2026",
    ]
    + [
        "12:00",
        "2026-1-31",
        " 2026-01-31",
        "2026-01-31 and more",
        "1769860800",
        "2026013111200",
        "0000-01-01",
        "2026-01-31T12:00:00+99:00",
    ],
)
def test_anything_less_than_a_date_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="The option expired_before must be a date"):
        moments.parse("expired_before", text)


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dateutil.parser", None)
    with pytest.raises(MissingLibraryError, match="python-dateutil"):
        moments.parse("expired_before", "2026-01-31")


def test_duration_before_now_does_not_leave_the_calendar() -> None:
    assert moments.ago(NOW, days=31).isoformat() == "2026-01-29T12:00:00+00:00"
    assert moments.ago(NOW, seconds=1).isoformat() == "2026-03-01T11:59:59+00:00"
    for days in (NOW.toordinal(), 10**9, 10**30):
        assert moments.ago(NOW, days=days).isoformat() == "0001-01-01T00:00:00+00:00"
