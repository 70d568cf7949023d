# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits for the number of things that one run may touch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..base.errors import SafetyLimitExceeded

# Without a limit of the operator's own, a job that compares two systems may touch so many things, or such a share of them.
ALWAYS = 10
PERCENT = 20


@dataclass(frozen=True)
class Share:
    """The things of one kind that a plan touches. If one of two systems is the wrong one, they are a large share.

    :ivar kind: what they are, such as ``objects``
    :ivar affected: the number of things that the plan touches
    :ivar total: the number of things that were compared
    """

    kind: str
    affected: int
    total: int

    @property
    def is_large(self) -> bool:
        """Whether they are more than what is always allowed."""
        return self.affected > ALWAYS and 100 * self.affected > PERCENT * self.total


def check(
    affected: int,
    total: Callable[[], int],
    *,
    max_affected: int | None,
    max_percent: float | None,
    shares: Iterable[Share],
) -> None:
    """Refuse a plan that touches more than the operator allows.

    :param affected: the number of things that the plan touches
    :param total: gives the number of all such things; called only for a limit in percent
    :param shares: none of these may be large if neither limit is set
    :raises SafetyLimitExceeded: the plan is over one of the limits
    """
    if max_affected is None and max_percent is None:
        _check_shares(shares)
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


def _check_shares(shares: Iterable[Share]) -> None:
    if large := next((share for share in shares if share.is_large), None):
        raise SafetyLimitExceeded(
            f"The plan would touch {large.affected} of {large.total} {large.kind}"
            f" ({_percent(large.affected, large.total):.1f} percent), but more than {ALWAYS} that are more than {PERCENT}"
            " percent must be allowed explicitly; nothing was touched: look at the plan, and set max_affected or"
            " max_affected_percent if it is right."
        )


def _percent(affected: int, number: int) -> float:
    return 100 * affected / number if number else 100.0
