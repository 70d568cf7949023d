# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The chart of an erasure report: what was erased on each day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

_SIZE = (1000, 220)


def chart(report: Mapping[str, Any]) -> dict[str, Any]:
    """The bars of the chart: erased things of each day, and the days on which something stayed."""
    width, height = _SIZE
    first = date.fromisoformat(report["period"]["from"][:10])
    until = datetime.fromisoformat(report["period"]["until"].replace("Z", "+00:00")) - timedelta(seconds=1)
    number = (until.date() - first).days + 1
    erased: Counter[str] = Counter()
    stayed: Counter[str] = Counter()
    for entry in report["days"]:
        erased[entry["day"]] += sum(entry["erased"].values())
        stayed[entry["day"]] += entry["failed"] + entry["left_behind"]
    top = _round_up(max(erased.values(), default=0))
    step = width / number
    bars = []
    for place in range(number):
        day = (first + timedelta(days=place)).isoformat()
        if erased[day] or stayed[day]:
            tall = height * erased[day] / top
            bars.append(
                {
                    "day": day,
                    "number": erased[day],
                    "stayed": stayed[day],
                    "x": round(place * step, 2),
                    "width": round(max(step * 0.8, 0.8), 2),
                    "y": round(height - tall, 2),
                    "height": round(tall, 2),
                }
            )
    return {
        "width": width,
        "height": height,
        "top": top,
        "bars": bars,
        "first": first.isoformat(),
        "last": until.date().isoformat(),
        "middle": (first + timedelta(days=number // 2)).isoformat() if number > 2 else "",
    }


def _round_up(number: int) -> int:
    """The next number that begins with 1, 2 or 5 and has only zeros behind it, and that is even if it can be."""
    power = 10 ** max(len(str(number)) - 1, 0)
    return next(factor * power for factor in (1, 2, 4, 5, 6, 8, 10) if factor * power >= max(number, 1))
