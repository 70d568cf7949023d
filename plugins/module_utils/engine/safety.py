# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits on how much one run may touch."""

from __future__ import annotations

from collections.abc import Callable

from .errors import SafetyLimitExceeded


def check(affected: int, total: Callable[[], int], *, max_affected: int | None, max_percent: float | None) -> None:
    """Refuse a plan that touches more than the operator allows.

    :param affected: how many things the plan touches
    :param total: how many such things there are; asked only when the limit in percent is set
    :raises SafetyLimitExceeded: the plan is over one of the limits
    """
    if max_affected is not None and affected > max_affected:
        raise SafetyLimitExceeded(
            f"The plan would touch {affected}, but max_affected allows {max_affected}; nothing was touched:"
            " look at the plan, and raise the limit if it is right."
        )
    if max_percent is not None and affected:
        number = total()
        percent = 100 * affected / number if number else 100.0
        if percent > max_percent:
            raise SafetyLimitExceeded(
                f"The plan would touch {affected} of {number} ({percent:.1f} percent), but max_affected_percent allows"
                f" {max_percent:g}; nothing was touched: look at the plan, and raise the limit if it is right."
            )
