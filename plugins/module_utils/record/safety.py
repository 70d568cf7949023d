# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits for the number of things that one run may touch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..base.errors import SafetyLimitExceeded


@dataclass(frozen=True)
class DefaultLimit:
    """A limit for runs for which the operator sets none.

    :ivar percent: the share of all such things that a run may touch, in percent
    :ivar always: the number of things that a run may touch, even if that is a larger share
    """

    percent: float
    always: int


def check(
    affected: int,
    total: Callable[[], int],
    *,
    max_affected: int | None,
    max_percent: float | None,
    default: DefaultLimit | None,
) -> None:
    """Refuse a plan that touches more than the operator allows.

    :param affected: the number of things that the plan touches
    :param total: gives the number of all such things; called only for a limit in percent
    :param default: the limit if neither of the others is set
    :raises SafetyLimitExceeded: the plan is over one of the limits
    """
    if max_affected is None and max_percent is None and default is not None:
        _check_default(affected, total, default)
    if max_affected is not None and affected > max_affected:
        raise SafetyLimitExceeded(
            f"The plan would touch {affected}, but max_affected allows {max_affected}; nothing was touched:"
            " look at the plan, and raise the limit if it is right."
        )
    if max_percent is not None and affected:
        number = total()
        percent = _percent(affected, number)
        if percent > max_percent:
            raise SafetyLimitExceeded(
                f"The plan would touch {affected} of {number} ({percent:.1f} percent), but max_affected_percent allows"
                f" {max_percent:g}; nothing was touched: look at the plan, and raise the limit if it is right."
            )


def _check_default(affected: int, total: Callable[[], int], default: DefaultLimit) -> None:
    if affected <= default.always:
        return
    number = total()
    if 100 * affected > default.percent * number:
        raise SafetyLimitExceeded(
            f"The plan would touch {affected} of {number} ({_percent(affected, number):.1f} percent), but more than"
            f" {default.always} that are more than {default.percent:g} percent must be allowed explicitly; nothing was"
            " touched: look at the plan, and set max_affected or max_affected_percent if it is right."
        )


def _percent(affected: int, number: int) -> float:
    return 100 * affected / number if number else 100.0
