# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The erasure report: made of what the hosts read in their audit logs, and written as JSON, CSV and HTML."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jinja2
from ansible_collections.opentalk.maintenance.plugins.module_utils.evidence.moments import seconds_between

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

_TEMPLATE = "erasure_report.html.j2"
_STATUSES = {"succeeded": "succeeded", "failed": "failed", "skipped": "skipped", "no end": "without_end"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_CHART = (1000, 220)

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
# The states of shared folders that were left behind.
_LEFT = ("left behind", "removed later")
_WHY = {
    "failed": "",
    "kept": "stayed in its batch",
    "rolled_back": "its batch was rolled back",
    "unknown": "the outcome of its batch is not known",
    "died": "its run died or is in progress",
    "left_behind": "",
}


@dataclass(frozen=True)
class Scope:
    """What a report is about.

    :ivar begin: the beginning of the period, as the audit log writes it
    :ivar end: the end of the period, which is not part of it
    :ivar window: the days that a job has to delete what is due
    :ivar limit: the most entries of each list of single things
    """

    begin: str
    end: str
    window: int
    limit: int


def make(logs: Mapping[str, Any], lookups: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """Make the report.

    :param logs: the results of audit_log_info by host, also those of hosts that could not be read
    :param lookups: the results of a second look for things that were open on other hosts
    """
    read = {host: result for host, result in sorted(logs.items()) if "runs" in result}
    runs = _distinct(run for result in read.values() for run in result["runs"])
    in_period = [run for run in runs if scope.begin <= run["started"] < scope.end or run["days"]]
    things = _unfinished(read, lookups, runs, scope)
    left = [thing for thing in things if thing["state"] in _LEFT]
    failures = [thing for thing in things if thing["state"] not in _LEFT]
    problems = _problems(logs, lookups)
    damaged = [{"host": host, **line} for host, result in read.items() for line in result["damaged_lines"]]
    return {
        "format": 1,
        "made": _now(),
        "period": {"from": _short(scope.begin), "until": _short(scope.end)},
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
            {"host": host, **file, "first": _short_or_none(file["first"]), "last": _short_or_none(file["last"])}
            for host, result in read.items()
            for file in result["files"]
        ],
        "damaged_lines": _listed(damaged, scope.limit),
    }


def as_json(report: Mapping[str, Any]) -> str:
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def as_csv(report: Mapping[str, Any]) -> str:
    """One table for spreadsheets. Its first column says what a row is about. No cell begins a formula."""
    out = io.StringIO()
    columns = ("record", "day", "job", "kind", "id", "number", "due", "done", "seconds", "host", "text")
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\r\n")
    writer.writeheader()
    for row in _rows(report):
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return out.getvalue()


def as_html(report: Mapping[str, Any]) -> str:
    """One page that needs nothing else."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["duration"] = duration
    return environment.get_template(_TEMPLATE).render(report=report, chart=_chart(report))


def duration(seconds: int) -> str:
    """Seconds for people, such as 2 d 3 h."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    minutes, rest = divmod(seconds, 60)
    days, minutes = divmod(minutes, 1440)
    parts = [(days, "d"), (minutes // 60, "h"), (minutes % 60, "min"), (rest, "s")]
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown[:2]) or "0 s"


# Sums


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
            "longest": {**entry["longest"], "deleted": _short(entry["longest"]["deleted"])},
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
        if _short(scope.begin) <= time < _short(scope.end):
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


def _unfinished(
    read: Mapping[str, Any], lookups: Mapping[str, Any], runs: list[dict[str, Any]], scope: Scope
) -> list[dict[str, Any]]:
    """What was not deleted when it was its turn, of all hosts, with what became of it."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for result in read.values():
        for thing in result["unfinished"]:
            key = (thing["kind"], thing["id"])
            known = found.setdefault(key, thing)
            if known is not thing:
                found[key] = _joined(known, thing)
    deleted: dict[str, str] = {}
    for result in lookups.values():
        for name, time in result.get("found", {}).items():
            deleted[name] = max(time, deleted.get(name, time))
    ended: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        if run["status"] == "succeeded" and not run["approval"]:
            ended.setdefault(run["job"], []).append(run)
    shown = [_settled(thing, deleted, ended.get(thing["job"], [])) for thing in found.values()]
    in_period = [
        thing
        for thing in shown
        if thing["since"] < scope.end and (thing["done"] is None or thing["done"] >= scope.begin)
    ]
    for thing in in_period:
        thing["since"], thing["last"], thing["done"] = map(
            _short_or_none, (thing["since"], thing["last"], thing["done"])
        )
    return sorted(in_period, key=lambda thing: (thing["since"], thing["kind"], thing["id"]))


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The same thing as two hosts saw it."""
    first, last = sorted((one, other), key=lambda thing: thing["last"])
    ends = [thing["done"] for thing in (one, other) if thing["done"] is not None and thing["done"] >= last["last"]]
    return {
        **last,
        "since": min(one["since"], other["since"]),
        "runs": sorted({*first["runs"], *last["runs"]}),
        "done": max(ends, default=None),
    }


def _settled(thing: dict[str, Any], deleted: Mapping[str, str], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What became of a thing.

    :param runs: the runs of its job that did all that they had to do, in the order of their starts
    """
    name = f"{thing['kind']} {thing['id']}"
    done = thing["done"]
    if done is None and deleted.get(name, "") > thing["last"]:
        done = deleted[name]
    is_left = thing["why"] == "left_behind"
    state = ("removed later" if is_left else "made good") if done else ("left behind" if is_left else "open")
    if state == "open":
        later = next((run for run in runs if run["started"] > thing["last"]), None)
        if later:
            state, done = "not found again", later["ended"]
    return {
        "kind": thing["kind"],
        "id": thing["id"],
        "job": thing["job"],
        "host": thing["host"],
        "since": thing["since"],
        "last": thing["last"],
        "runs": len(thing["runs"]),
        "reason": ": ".join(filter(None, (_WHY[thing["why"]], thing["reason"]))),
        "provider": thing["provider"],
        "state": state,
        "done": done,
    }


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
                    "started": _short(run["started"]),
                    "moment": _short(str(run["approval"].get("moment"))),
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
                f"The audit logs of {host} begin at {_short(begins)}. What happened there before is not known."
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


def _short(stamp: str) -> str:
    """A moment in whole seconds."""
    return f"{stamp[:19]}Z"


def _short_or_none(stamp: str | None) -> str | None:
    return _short(stamp) if stamp else None


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


# CSV


def _rows(report: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    yield {"record": "period", "due": report["period"]["from"], "done": report["period"]["until"]}
    yield {"record": "complete", "text": "yes" if report["complete"] else "no"}
    for problem in report["problems"]:
        yield {"record": "problem", "host": problem["host"], "text": f"{problem['file']} {problem['problem']}".strip()}
    for remark in report["remarks"]:
        yield {"record": "remark", "text": remark}
    for entry in report["days"]:
        about = {"day": entry["day"], "job": entry["job"]}
        for kind, number in entry["erased"].items():
            yield {"record": "erased", **about, "kind": kind, "number": number}
        for name in ("failed", "made_good", "left_behind"):
            if entry[name]:
                yield {"record": name, **about, "number": entry[name]}
    for entry in report["retention"]:
        about = {"job": entry["job"], "kind": entry["kind"]}
        for name in ("in_time", "late", "early", "not_recorded"):
            yield {"record": f"retention {name}", **about, "number": entry[name]}
        longest = entry["longest"]
        yield {
            "record": "retention longest", **about, "id": longest["id"], "due": longest["due"], "done": longest["deleted"],
            "seconds": longest["seconds"],
        }  # fmt: skip
    for name in ("failures", "left_behind"):
        for thing in report[name]["listed"]:
            yield {
                "record": thing["state"], "day": thing["since"][:10], "job": thing["job"], "kind": thing["kind"],
                "id": thing["id"], "number": thing["runs"], "done": thing["done"] or "", "host": thing["host"],
                "text": thing["reason"],
            }  # fmt: skip
    for run in report["approvals"]["listed"]:
        yield {
            "record": "approval", "day": run["started"][:10], "job": run["job"], "id": run["run"], "done": run["started"],
            "host": run["host"], "text": run["by"],
        }  # fmt: skip
    for line in report["damaged_lines"]["listed"]:
        yield {
            "record": "damaged line",
            "number": line["line"],
            "host": line["host"],
            "text": f"{line['file']}: {line['problem']}",
        }


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


# Chart


def _chart(report: Mapping[str, Any]) -> dict[str, Any]:
    """The bars of the chart: erased things of each day, and the days on which something stayed."""
    width, height = _CHART
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
