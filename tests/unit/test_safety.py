# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits on how much one run may touch, exactly at their borders."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import SafetyLimitExceeded
from ansible_collections.opentalk.maintenance.plugins.module_utils.record import safety
from ansible_collections.opentalk.maintenance.plugins.module_utils.record.safety import DefaultLimit

DEFAULT = DefaultLimit(percent=10, always=5)


def limits(
    number: int | None = None, percent: float | None = None, default: DefaultLimit | None = None
) -> dict[str, Any]:
    return {"max_affected": number, "max_percent": percent, "default": default}


def unasked() -> NoReturn:
    raise AssertionError("the total was asked for although no limit needs it")


@pytest.mark.parametrize(
    ("affected", "total", "given"),
    [
        (10**6, 1, limits()),
        (7, 7, limits(number=7)),
        (0, 0, limits(number=0)),
        (7, 100, limits(percent=7)),
        (100, 100, limits(percent=100)),
        (5, 5, limits(default=DEFAULT)),
        (10, 100, limits(default=DEFAULT)),
        # One limit of the operator's own takes the place of the default.
        (100, 100, limits(number=100, default=DEFAULT)),
        (100, 100, limits(percent=100, default=DEFAULT)),
    ],
)
def test_what_is_allowed(affected: int, total: int, given: dict[str, Any]) -> None:
    safety.check(affected, lambda: total, **given)


@pytest.mark.parametrize(
    ("affected", "total", "given", "words"),
    [
        (8, 8, limits(number=7), "would touch 8, but max_affected allows 7"),
        (1, 1, limits(number=0), "would touch 1, but max_affected allows 0"),
        (8, 100, limits(percent=7), r"8 of 100 \(8\.0 percent\), but max_affected_percent allows 7"),
        (8, 100, limits(number=100, percent=7.5), "max_affected_percent allows 7.5"),
        (8, 100, limits(number=7, percent=50), "max_affected allows 7"),
        (1, 10**9, limits(percent=0), "max_affected_percent allows 0"),
        # As rows can come and go while they are counted.
        (1, 0, limits(percent=99), r"1 of 0 \(100\.0 percent\)"),
        (6, 59, limits(default=DEFAULT), "more than 5 that are more than 10 percent must be allowed explicitly"),
        (11, 100, limits(default=DEFAULT), r"11 of 100 \(11\.0 percent\)"),
    ],
)
def test_what_is_refused(affected: int, total: int, given: dict[str, Any], words: str) -> None:
    with pytest.raises(SafetyLimitExceeded, match=words) as refusal:
        safety.check(affected, lambda: total, **given)
    assert "nothing was touched" in str(refusal.value)


@pytest.mark.parametrize(
    ("affected", "given"), [(9, limits()), (9, limits(number=9)), (0, limits(percent=0)), (5, limits(default=DEFAULT))]
)
def test_total_is_counted_only_where_it_decides(affected: int, given: dict[str, Any]) -> None:
    safety.check(affected, unasked, **given)
