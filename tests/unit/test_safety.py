# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits on how much one run may touch, exactly at their borders."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import SafetyLimitExceeded
from ansible_collections.opentalk.maintenance.plugins.module_utils.record import safety
from ansible_collections.opentalk.maintenance.plugins.module_utils.record.safety import Share


def limits(number: int | None = None, percent: float | None = None, *shares: tuple[int, int]) -> dict[str, Any]:
    """The arguments of the check.

    :param shares: the affected number and the total of each kind
    """
    kinds = [Share(kind, *share) for kind, share in zip(("objects", "assets"), shares, strict=False)]
    return {"max_affected": number, "max_percent": percent, "shares": kinds}


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
        # Ten things, or a fifth of them.
        (10, 10, limits(None, None, (10, 10))),
        (11, 55, limits(None, None, (11, 55))),
        (20, 20, limits(None, None, (10, 10), (10, 10))),
        (0, 0, limits(None, None, (0, 0))),
        # What is no share may be any number.
        (100, 100, limits(None, None, (0, 100))),
        # One limit of the operator's own takes the place of the default.
        (100, 100, limits(100, None, (100, 100))),
        (100, 100, limits(None, 100, (100, 100))),
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
        (11, 54, limits(None, None, (11, 54)), "more than 10 that are more than 20 percent must be allowed explicitly"),
        (11, 54, limits(None, None, (11, 54)), r"11 of 54 objects \(20\.4 percent\)"),
        (11, 0, limits(None, None, (11, 0)), r"11 of 0 objects \(100\.0 percent\)"),
        # A large whole of one kind makes no room for the other.
        (11, 10**6, limits(None, None, (0, 10**6), (11, 11)), r"11 of 11 assets \(100\.0 percent\)"),
        (99, 10**6, limits(None, None, (88, 100), (11, 10**6)), r"88 of 100 objects"),
    ],
)
def test_what_is_refused(affected: int, total: int, given: dict[str, Any], words: str) -> None:
    with pytest.raises(SafetyLimitExceeded, match=words) as refusal:
        safety.check(affected, lambda: total, **given)
    assert "nothing was touched" in str(refusal.value)


@pytest.mark.parametrize(
    ("affected", "given"),
    [(9, limits()), (9, limits(number=9)), (0, limits(percent=0)), (9, limits(None, None, (9, 9)))],
)
def test_total_is_counted_only_where_it_decides(affected: int, given: dict[str, Any]) -> None:
    safety.check(affected, unasked, **given)
