# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the metrics of a job's last run for Prometheus, in the text format.

The systemd unit runs this file after every run, also after a failed one, with the variables of ExecStopPost=:
https://www.freedesktop.org/software/systemd/man/systemd.exec.html#%24EXIT_CODE
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PREFIX = "opentalk_maintenance_"
_NEVER_STARTED = 255
# So many runs by the calendar are looked at: more than a year of a daily job.
_ELAPSES = 400
_ELAPSE = re.compile(r"^ *(?:Next elapse|Iter[^:]*): \w+ (\d+-\d+-\d+ \d+:\d+:\d+)", re.MULTILINE)
_SAMPLE = re.compile(rf'^{PREFIX}(\w+)\{{job_type="\w+"\}} ([\d.]+)$', re.MULTILINE)
HELP = {
    "last_run_timestamp_seconds": "When the last run of the job ended on this host.",
    "last_success_timestamp_seconds": "When a run on this host last did the job's work; 0 is never, skipped runs do not count.",
    "last_run_duration_seconds": "How long the last run took.",
    "last_run_exit_code": "The exit code of the last run, 128 and the number of the signal where one ended it.",
    "last_run_success": "Whether the last run succeeded or was skipped.",
    "last_run_skipped": "Whether the last run was skipped because another one was in progress.",
    "last_run_count": "How many things of each kind the last run deleted, changed or failed at.",
    "shared_folders_left_behind": "How many shared folders runs on this host left behind, until somebody sets it to 0.",
    "overdue_after_seconds": "How long after a run the next one should have ended, by the job's calendar.",
}


def samples(
    outcome: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    now: float,
    before: Mapping[str, float],
    overdue_after: float | None,
) -> list[tuple[str, dict[str, str], float]]:
    """The name without prefix, the further labels and the value of each sample.

    :param outcome: the outcome that the callback plugin job_log wrote; empty if it wrote none
    :param now: seconds since 1970, in UTC
    :param before: what the run before this one left, by the name without prefix
    :param overdue_after: seconds, None if they are not known
    """
    success, skipped = environment.get("SERVICE_RESULT") == "success", bool(outcome.get("skipped"))
    last_success = before.get("last_success_timestamp_seconds", 0)
    left_behind = outcome.get("counts", {}).get("shared_folders_left_behind", 0)
    known: list[tuple[str, dict[str, str], float]] = [
        ("last_run_timestamp_seconds", {}, now),
        ("last_success_timestamp_seconds", {}, now if success and not skipped else last_success),
        ("last_run_exit_code", {}, _exit_code(environment)),
        ("last_run_success", {}, int(success)),
        ("last_run_skipped", {}, int(skipped)),
        ("shared_folders_left_behind", {}, before.get("shared_folders_left_behind", 0) + left_behind),
    ]
    if overdue_after is not None:
        known.append(("overdue_after_seconds", {}, overdue_after))
    if "started" in outcome:
        known.append(("last_run_duration_seconds", {}, now - outcome["started"]))
    known.extend(("last_run_count", {"kind": kind}, count) for kind, count in outcome.get("counts", {}).items())
    return known


def text(job_type: str, values: list[tuple[str, dict[str, str], float]]) -> str:
    """The samples in Prometheus' text format."""
    lines = []
    for name, description in HELP.items():
        selected = [(labels, value) for other, labels, value in values if other == name]
        if selected:
            lines += [f"# HELP {PREFIX}{name} {description}", f"# TYPE {PREFIX}{name} gauge"]
        for labels, value in selected:
            pairs = ",".join(f'{key}="{label}"' for key, label in {"job_type": job_type, **labels}.items())
            lines.append(f"{PREFIX}{name}{{{pairs}}} {value:.3f}".removesuffix(".000"))
    return "\n".join(lines) + "\n"


def _exit_code(environment: Mapping[str, str]) -> int:
    status = environment.get("EXIT_STATUS", "")
    if environment.get("EXIT_CODE") == "exited":
        return int(status)
    try:
        return 128 + signal.Signals[f"SIG{status}"].value
    except KeyError:
        return _NEVER_STARTED


def longest_interval(elapses: str) -> float | None:
    """The longest time between two runs in seconds, None if there is only one.

    :param elapses: what ``systemd-analyze calendar --iterations=`` prints in UTC
    """
    moments = [datetime.datetime.fromisoformat(text) for text in _ELAPSE.findall(elapses)]
    return max(((later - sooner).total_seconds() for sooner, later in itertools.pairwise(moments)), default=None)


def _overdue_after(calendar: str, slack: float) -> float | None:
    command = ["systemd-analyze", "calendar", f"--iterations={_ELAPSES}", "--", calendar]
    environment = {**os.environ, "TZ": "UTC"}
    try:
        shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    interval = longest_interval(shown.stdout)
    return None if interval is None else interval + slack


def _before(path: Path) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in _SAMPLE.findall(path.read_text())}
    except OSError:
        return {}


def _outcome(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):  # the run ended before it wrote the file, or meanwhile
        return {}


def _replace(path: Path, content: str) -> None:
    # The node exporter must never read half a file.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the metrics of a job's last run.")
    parser.add_argument("job_type")
    parser.add_argument("--result", type=Path, required=True, help="what the callback plugin job_log wrote")
    parser.add_argument("--output", type=Path, required=True, help="the text file")
    parser.add_argument("--calendar", required=True, help="when the job runs, as systemd.time says")
    parser.add_argument(
        "--slack", type=float, required=True, help="the most seconds from that time to the end of a run"
    )
    arguments = parser.parse_args()
    values = samples(
        _outcome(arguments.result),
        os.environ,
        now=time.time(),
        before=_before(arguments.output),
        overdue_after=_overdue_after(arguments.calendar, arguments.slack),
    )
    _replace(arguments.output, text(arguments.job_type, values))


if __name__ == "__main__":
    main()
