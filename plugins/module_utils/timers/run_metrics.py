# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes what is known of a job's last run: a state file, and metrics for Prometheus in the text format.

The systemd unit runs this file after every run, also after a failed one, with the variables of ExecStopPost=:
https://www.freedesktop.org/software/systemd/man/systemd.exec.html#%24EXIT_CODE

It runs with any Python of the host, and therefore imports nothing of the collection.
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
# Ids stay in the journal and the audit log: the reason of a failure is posted and mailed.
_ID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
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
    overdue_after: float | None = None,
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


def state(
    outcome: Mapping[str, Any], environment: Mapping[str, str], *, now: float, before: Mapping[str, float]
) -> dict[str, Any]:
    """What the state file says of a run: times are seconds since 1970, in UTC.

    ``last_good`` is the last run that succeeded or was skipped, ``last_success`` the last one that did the work.

    :param outcome: as for `samples`
    :param before: as for `samples`
    """
    values = {
        name: value for name, labels, value in samples(outcome, environment, now=now, before=before) if not labels
    }
    success = bool(values["last_run_success"])
    return {
        "ended": now,
        "result": ("skipped" if values["last_run_skipped"] else "success") if success else "failed",
        "reason": None if success else reason(outcome, environment),
        "last_success": values["last_success_timestamp_seconds"] or None,
        "last_good": now if success else before.get("last_good") or values["last_success_timestamp_seconds"] or None,
        "shared_folders_left_behind": int(values["shared_folders_left_behind"]),
        "invocation": environment.get("INVOCATION_ID"),
    }


def reason(outcome: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """Why a run failed, in one sentence without ids."""
    status = environment.get("EXIT_STATUS", "")
    if environment.get("SERVICE_RESULT") == "timeout":
        return "systemd ended it, because it took longer than its time limit."
    if environment.get("EXIT_CODE") in ("killed", "dumped"):
        return f"The signal {status} ended it."
    if not status:
        return "systemd could not start it."
    return _ID.sub("...", str(outcome.get("reason") or f"It ended with the exit code {status}."))


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


def overdue_after(calendar: str, slack: float) -> float | None:
    """The seconds after a run in which the next one should have ended, None if they are not known or there is none.

    :param calendar: when the job runs, as systemd.time says
    :param slack: the most seconds from that time to the end of a run
    """
    command = ["systemd-analyze", "calendar", f"--iterations={_ELAPSES}", "--", calendar]
    environment = {**os.environ, "TZ": "UTC"}
    try:
        shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    interval = longest_interval(shown.stdout)
    return None if interval is None else interval + slack


def left_behind(metrics: Path) -> float | None:
    """The number of shared folders left behind in a file with metrics, where somebody may have set it to 0."""
    return _metrics(metrics).get("shared_folders_left_behind")


def _metrics(path: Path | None) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in _SAMPLE.findall(path.read_text())} if path else {}
    except OSError:
        return {}


def _before(state_file: Path, metrics_file: Path | None) -> dict[str, float]:
    """What earlier runs left, by the names of metrics. A number of folders in the metrics is newer: somebody may have set it."""
    known, metrics = _outcome(state_file), _metrics(metrics_file)
    successes = known.get("last_success") or 0, metrics.get("last_success_timestamp_seconds", 0)
    number = metrics.get("shared_folders_left_behind", known.get("shared_folders_left_behind", 0))
    return {
        "last_success_timestamp_seconds": max(successes),
        "shared_folders_left_behind": number,
        "last_good": known.get("last_good") or 0,
    }


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
    parser = argparse.ArgumentParser(description="Write what is known of a job's last run.")
    parser.add_argument("job_type")
    parser.add_argument("--result", type=Path, required=True, help="what the callback plugin job_log wrote")
    parser.add_argument("--state", type=Path, required=True, help="the state file")
    parser.add_argument("--output", type=Path, help="the text file for metrics; none without it")
    parser.add_argument("--calendar", help="when the job runs, as systemd.time says; needed for metrics")
    parser.add_argument("--slack", type=float, default=0, help="the most seconds from that time to the end of a run")
    arguments = parser.parse_args()
    # As exact as the metrics, because the next run takes its last success from either file.
    now = round(time.time(), 3)
    outcome, before = _outcome(arguments.result), _before(arguments.state, arguments.output)
    known = state(outcome, os.environ, now=now, before=before)
    known["metrics"] = str(arguments.output) if arguments.output else None
    _replace(arguments.state, json.dumps(known, indent=2) + "\n")
    if arguments.output:
        interval = overdue_after(arguments.calendar, arguments.slack)
        values = samples(outcome, os.environ, now=now, before=before, overdue_after=interval)
        _replace(arguments.output, text(arguments.job_type, values))


if __name__ == "__main__":
    main()
