# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the jobs of all hosts fare, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

_COLUMNS = ("HOST", "JOB", "TIMER", "LAST RUN (UTC)", "RESULT", "LAST SUCCESS", "NEXT RUN", "OVERDUE", "FOLDERS LEFT")


def overview(found: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """
    :param found: what the module status_info returned, by the name of the host
    :returns: the lines of the ``table``, and the ``problems``: a sentence for everything that is not as it must be
    """
    known = {host: result for host, result in found.items() if "jobs" in result}
    rows: list[tuple[str, ...]] = [_COLUMNS]
    problems = []
    for host, result in found.items():
        if host not in known:
            rows.append((host, "not known", *["-"] * 7))
            problems.append(f"{host}: not known, because it could not be asked. {_reason(result)}".rstrip())
            continue
        rows += [_row(host, job) for job in result["jobs"]] or [(host, "none", *["-"] * 7)]
        problems += [f"{host}: {problem}" for problem in result["problems"]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return {"table": table, "problems": problems + _work_that_no_host_does(known)}


def _row(host: str, job: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        host,
        job["job"],
        "on" if job["enabled"] else "off",
        "running" if job["running"] else _short(job["last_run"]),
        job["result"] or "-",
        _short(job["last_success"]),
        _short(job["next_run"]),
        "yes" if job["overdue"] else "no",
        str(job["shared_folders_left_behind"]),
    )


def _work_that_no_host_does(known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A skipped run is right only if another host does the work, so the newest success of all hosts counts."""
    problems = []
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for result in known.values():
        for job in result["jobs"]:
            by_name.setdefault(job["job"], []).append(job)
    for name, jobs in by_name.items():
        interval = max((job["overdue_after"] for job in jobs if job["overdue_after"] is not None), default=None)
        successes = [job["last_success"] for job in jobs if job["last_success"]]
        # Before the first success of all, the time counts from when the role wrote the units.
        last = max(successes or [job["since"] for job in jobs if job["since"]], default=None)
        now = max(result["time"] for result in known.values())
        if interval is not None and last and (_moment(now) - _moment(last)).total_seconds() > interval:
            problems.append(
                f"{name}: no host has done its work since {last}, which is longer than its calendar allows."
            )
    return problems


def _reason(result: Mapping[str, Any]) -> str:
    """The first line of what Ansible says. Further lines could be a traceback."""
    return (str(result.get("msg") or "").strip().splitlines() or [""])[0]


def _short(moment: str | None) -> str:
    return f"{_moment(moment):%Y-%m-%d %H:%M}" if moment else "-"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
