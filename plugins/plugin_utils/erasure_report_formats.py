# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes an erasure report as JSON, CSV and HTML."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from ansible_collections.opentalk.maintenance.plugins.plugin_utils.erasure_report_chart import chart

_TEMPLATE = "erasure_report.html.j2"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


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
    return environment.get_template(_TEMPLATE).render(report=report, chart=chart(report))


def duration(seconds: int) -> str:
    """Seconds for people, such as 2 d 3 h."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    minutes, rest = divmod(seconds, 60)
    days, minutes = divmod(minutes, 1440)
    parts = [(days, "d"), (minutes // 60, "h"), (minutes % 60, "min"), (rest, "s")]
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown[:2]) or "0 s"


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
