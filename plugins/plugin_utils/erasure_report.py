# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the erasure report of what the hosts read in their audit logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from ansible_collections.opentalk.maintenance.plugins.module_utils.evidence.moments import seconds_between
from ansible_collections.opentalk.maintenance.plugins.plugin_utils.erasure_report_scope import (
    Scope,
    short,
    short_or_none,
)
from ansible_collections.opentalk.maintenance.plugins.plugin_utils.erasure_report_unfinished import LEFT, unfinished

# The options of the action.
OPTIONS: dict[str, Any] = {
    "logs": {"type": "dict", "required": True},
    "lookups": {"type": "dict", "default": {}},
    "from": {"type": "str", "required": True},
    "until": {"type": "str", "required": True},
    "deletion_window": {"type": "int", "default": 2},
    "directory": {"type": "path", "required": True},
    "report_limit": {"type": "int", "default": 1000},
    "allow_incomplete": {"type": "bool", "default": False},
}

_STATUSES = {"succeeded": "succeeded", "failed": "failed", "skipped": "skipped", "no end": "without_end"}

# What a deletion rule is about, and when its retention period starts.
_RULES = {
    "event_cleanup": ("events with rooms, invites, recordings and shared folders", "end of the event"),
    "adhoc_event_cleanup": ("ad-hoc events with all that belongs to them", "creation of the event"),
    "user_cleanup": ("users with all that belongs to them", "moment since when the user is disabled"),
    "invite_cleanup": ("permissions of invites, or invites", "expiration of the invite"),
    "room_cleanup": ("rooms without an event", "none: a room may go as soon as no event has it"),
    "user_erasure": ("users with all that belongs to them", "none: somebody named these users"),
    "sync_storage_files": (
        "assets without an object or a room, objects without an asset, uploads that were not completed",
        "none: they may go when they are found",
    ),
    "sync_shared_folders": ("shared folders without an event", "none: they may go when they are found"),
}
_OTHER_RULE = ("see the page of the job", "see the page of the job")
_PERIODS = {
    "days_since_last_occurrence": "days",
    "days_since_user_has_been_disabled": "days",
    "seconds_since_creation": "seconds",
}


def make(logs: Mapping[str, Any], lookups: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """Make the report.

    :param logs: the results of audit_log_info by host, also those of hosts that could not be read
    :param lookups: the results of a second look for things that were open on other hosts
    """
    read = {host: result for host, result in sorted(logs.items()) if "runs" in result}
    runs = _distinct(run for result in read.values() for run in result["runs"])
    in_period = [run for run in runs if scope.begin <= run["started"] < scope.end or run["days"]]
    things = unfinished(read, lookups, runs, scope)
    left = [thing for thing in things if thing["state"] in LEFT]
    failures = [thing for thing in things if thing["state"] not in LEFT]
    problems = _problems(logs, lookups)
    damaged = [{"host": host, **line} for host, result in read.items() for line in result["damaged_lines"]]
    return {
        "format": 1,
        "made": _now(),
        "period": {"from": short(scope.begin), "until": short(scope.end)},
        "deletion_window_days": scope.window,
        "complete": not problems and not damaged,
        "problems": problems,
        "remarks": _remarks(read, scope),
        "totals": {
            "erased": sum(sum(parts["deleted"].values()) for run in in_period for parts in run["days"].values()),
            "failed": len(failures),
            "not_made_good": sum(thing["state"] == "open" for thing in failures),
            "left_behind": sum(thing["state"] == "left behind" for thing in left),
            "late": sum(sums["late"] for run in in_period for sums in run["retention"].values()),
        },
        "rules": _rules(in_period, scope),
        "retention": _retention(in_period),
        "days": _days(in_period, failures, left, scope),
        "failures": _listed(failures, scope.limit),
        "left_behind": _listed(left, scope.limit),
        "approvals": _approvals(in_period, scope.limit),
        "sources": [
            {"host": host, **file, "first": short_or_none(file["first"]), "last": short_or_none(file["last"])}
            for host, result in read.items()
            for file in result["files"]
        ],
        "damaged_lines": _listed(damaged, scope.limit),
    }


def _distinct(runs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each run once, although hosts may share a log, in the order of their starts."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        found.setdefault(run["run"], run)
    return sorted(found.values(), key=lambda run: (run["started"], run["run"]))


def _rules(runs: list[dict[str, Any]], scope: Scope) -> list[dict[str, Any]]:
    rules = []
    for job in sorted({run["job"] for run in runs}):
        own = [run for run in runs if run["job"] == job]
        data, start = _RULES.get(job, _OTHER_RULE)
        statuses = Counter(_STATUSES.get(run["status"], "without_end") for run in own)
        erased: Counter[str] = Counter()
        rows: Counter[str] = Counter()
        for run in own:
            for parts in run["days"].values():
                erased.update(parts["deleted"])
                rows.update(parts["rows"])
        periods = sorted({period for run in own if (period := _period(run["parameters"])) is not None})
        rules.append(
            {
                "job": job,
                "data": data,
                "start": start,
                "periods": [
                    {"retention": _shown(seconds), "standard_deletion": _shown(seconds + 86400 * scope.window)}
                    for seconds in periods
                ],
                "erased": _sorted(erased),
                "rows": _sorted(rows),
                "runs": {name: statuses[name] for name in _STATUSES.values()},
            }
        )
    return rules


def _period(parameters: Mapping[str, Any] | None) -> int | None:
    """The seconds of the retention period that a run had; None if it had none, or did not record it."""
    for name, unit in _PERIODS.items():
        value = (parameters or {}).get(name)
        if isinstance(value, int):
            return value * 86400 if unit == "days" else value
    return None


def _shown(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    return f"{days} days" if not rest else f"{seconds} seconds"


def _retention(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for run in runs:
        for kind, sums in run["retention"].items():
            entry = found.setdefault(
                (run["job"], kind), {"known": 0, "in_time": 0, "late": 0, "early": 0, "longest": sums["longest"]}
            )
            for name in ("known", "late", "early"):
                entry[name] += sums[name]
            entry["longest"] = max(entry["longest"], sums["longest"], key=lambda thing: thing["seconds"])
    return [
        {
            "job": job,
            "kind": kind,
            **entry,
            "in_time": entry["known"] - entry["late"] - entry["early"],
            "not_recorded": _erased(runs, job, kind) - entry["known"],
            "longest": {**entry["longest"], "deleted": short(entry["longest"]["deleted"])},
        }
        for (job, kind), entry in sorted(found.items())
    ]


def _erased(runs: list[dict[str, Any]], job: str, kind: str) -> int:
    return sum(parts["deleted"].get(kind, 0) for run in runs if run["job"] == job for parts in run["days"].values())


def _days(
    runs: list[dict[str, Any]], failures: list[dict[str, Any]], left: list[dict[str, Any]], scope: Scope
) -> list[dict[str, Any]]:
    """The days on which a job erased something, or did not although it was to."""
    found: dict[tuple[str, str], dict[str, Any]] = {}

    def entry(day: str, job: str) -> dict[str, Any]:
        empty = {"erased": Counter(), "rows": 0, "failed": 0, "made_good": 0, "left_behind": 0}
        return found.setdefault((day, job), empty)

    def count(what: str, time: str, job: str) -> None:
        if short(scope.begin) <= time < short(scope.end):
            entry(time[:10], job)[what] += 1

    for run in runs:
        for day, parts in run["days"].items():
            entry(day, run["job"])["erased"].update(parts["deleted"])
            entry(day, run["job"])["rows"] += sum(parts["rows"].values())
    for thing in failures:
        count("failed", thing["since"], thing["job"])
        if thing["state"] == "made good":
            count("made_good", thing["done"], thing["job"])
    for thing in left:
        count("left_behind", thing["since"], thing["job"])
    return [
        {"day": day, "job": job, **values, "erased": _sorted(values["erased"])}
        for (day, job), values in sorted(found.items())
    ]


def _approvals(runs: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    held = [run for run in runs if run["status"] != "skipped" and run["approval"]]
    return {
        "without": sum(run["status"] != "skipped" for run in runs) - len(held),
        **_listed(
            [
                {
                    "job": run["job"],
                    "run": run["run"],
                    "host": run["host"],
                    "started": short(run["started"]),
                    "moment": short(str(run["approval"].get("moment"))),
                    "by": str(run["approval"].get("by", "not recorded")),
                }
                for run in held
            ],
            limit,
        ),
    }


def _problems(logs: Mapping[str, Any], lookups: Mapping[str, Any]) -> list[dict[str, str]]:
    found = []
    for host, result in sorted(logs.items()):
        if "runs" not in result:
            reason = "it cannot be reached" if result.get("unreachable") else str(result.get("msg", "no result"))
            found.append({"host": host, "file": "", "problem": reason})
        else:
            found += [{"host": host, **problem} for problem in result["problems"]]
    for host, result in sorted(lookups.items()):
        if "runs" not in result and "runs" in logs.get(host, {}):
            found.append({"host": host, "file": "", "problem": "the second look at its audit logs failed"})
    return found


def _remarks(read: Mapping[str, Any], scope: Scope) -> list[str]:
    remarks = []
    for host, result in read.items():
        begins = min((file["first"] for file in result["files"] if file["first"]), default=None)
        if begins is None:
            remarks.append(f"The audit logs of {host} have no lines.")
        elif seconds_between(scope.begin, begins) > 86400:
            remarks.append(
                f"The audit logs of {host} begin at {short(begins)}. What happened there before is not known."
            )
        if outside := result["damaged_count"] - len(result["damaged_lines"]):
            remarks.append(
                f"Damaged lines of {host} that are not listed, mostly because they are of another time: {outside}."
            )
    return remarks


def _listed(things: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    return {"count": len(things), "listed": things[:limit]}


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts) if counts[name]}


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
