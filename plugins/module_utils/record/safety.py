# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits on how much one run may touch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..base.errors import SafetyLimitExceeded


@dataclass(frozen=True)
class DefaultLimit:
    """A limit that holds where the operator sets none.

    :ivar percent: of all such things
    :ivar always: how many may be touched whatever percentage that is
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

    :param affected: how many things the plan touches
    :param total: how many such things there are; asked only when a limit in percent holds
    :param default: the limit where neither of the others is set
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
