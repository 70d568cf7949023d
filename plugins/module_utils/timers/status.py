# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this host knows of the jobs that timers start: from systemd, and from the state files that runs leave."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..jobs.registry import SCHEDULED
from . import run_metrics
from .units import STATE_DIRECTORY, state_file, unit

# Runs a command: its exit code, standard output and standard error.
Run = Callable[[list[str]], tuple[int, str, str]]
_SYSTEMD = "org.freedesktop.systemd1"
# D-Bus has properties with their types, and times as numbers. The tables of systemctl have neither.
_ASK = ["busctl", "--system", "--json=short", "get-property", _SYSTEMD]
_UNIT = ("LoadState", "ActiveState", "UnitFileState", "FragmentPath")
_TIMER = ("TimersCalendar", "RandomizedDelayUSec", "NextElapseUSecRealtime")
_SERVICE = ("TimeoutStartUSec", "ExecMainExitTimestamp")
_NEVER = (0, 2**64 - 1)


class StatusUnknown(Exception):
    """This host cannot be asked. The message says what is missing."""


def jobs(run: Run, now: float) -> list[dict[str, Any]]:
    """What is known of each job that has a timer here.

    :param run: runs a command
    :param now: seconds since 1970, in UTC
    :returns: the entries of the result ``jobs`` of the module status_info
    :raises StatusUnknown: systemd or a state file cannot be read
    """
    found = []
    for job_type in SCHEDULED:
        timer = _properties(run, unit(job_type, "timer"), "Unit", _UNIT)
        if timer["LoadState"] == "loaded":
            timer |= _properties(run, unit(job_type, "timer"), "Timer", _TIMER)
            service = _properties(run, unit(job_type, "service"), "Unit", _UNIT)
            service |= _properties(run, unit(job_type, "service"), "Service", _SERVICE)
            found.append(_job(job_type, timer, service, _state(Path(STATE_DIRECTORY, state_file(job_type))), now))
    return found


def problems(known: list[dict[str, Any]]) -> list[str]:
    """A sentence for everything that is wrong with the jobs of a host."""
    if not known:
        return ["No job has a timer here; apply the role opentalk.maintenance.timers."]
    found = []
    for job in known:
        if not job["enabled"]:
            found.append(f"{job['job']}: its timer does not run, or does not start at boot; apply the role again.")
        if job["result"] == "failed":
            found.append(f"{job['job']}: the last run failed. {job['reason']}")
        if job["overdue"]:
            since = f"since {job['last_run']}" if job["last_run"] else "at all"
            why = "no run has succeeded" if job["result"] == "failed" else f"it has not been run {since}"
            found.append(f"{job['job']}: it is overdue, because {why}.")
    return found


def moment(seconds: float | None) -> str | None:
    """Seconds since 1970 as text in UTC."""
    if not seconds:
        return None
    return datetime.fromtimestamp(int(seconds), timezone.utc).isoformat().replace("+00:00", "Z")


def _job(
    job_type: str, timer: dict[str, Any], service: dict[str, Any], state: dict[str, Any], now: float
) -> dict[str, Any]:
    ended, exited, active = (
        state.get("ended") or 0,
        _seconds(service["ExecMainExitTimestamp"]) or 0,
        service["ActiveState"],
    )
    result, reason, last_good = state.get("result"), state.get("reason"), state.get("last_good")
    left_no_state = exited > ended and active in ("inactive", "failed")
    if active == "failed" and (left_no_state or result != "failed"):
        result, reason = "failed", "It left no state; the journal of its unit has the reason."
    elif left_no_state:
        result, reason, last_good = "success", None, exited
    interval = _interval(timer, service)
    # Before the first run of all, the interval counts from when the role wrote the units.
    since = max(_written(timer["FragmentPath"]), _written(service["FragmentPath"]))
    left_behind = run_metrics.left_behind(Path(state["metrics"])) if state.get("metrics") else None
    if left_behind is None:
        left_behind = state.get("shared_folders_left_behind", 0)
    return {
        "job": job_type,
        "enabled": timer["UnitFileState"] == "enabled" and timer["ActiveState"] == "active",
        "running": service["ActiveState"] == "activating",
        "last_run": moment(exited if left_no_state else ended),
        "result": result,
        "reason": reason,
        "last_success": moment(state.get("last_success")),
        "next_run": moment(_seconds(timer["NextElapseUSecRealtime"])),
        "since": moment(since),
        "overdue_after": interval,
        "overdue": interval is not None and now - (last_good or since) > interval,
        "shared_folders_left_behind": int(left_behind),
    }


def _interval(timer: dict[str, Any], service: dict[str, Any]) -> int | None:
    """The seconds in which a run must follow another, as in the metric overdue_after_seconds."""
    slack = (timer["RandomizedDelayUSec"] + service["TimeoutStartUSec"]) / 1e6
    calendars = [calendar for base, calendar, _next in timer["TimersCalendar"] if base == "OnCalendar"]
    intervals = [run_metrics.overdue_after(calendar, slack) for calendar in calendars]
    return min((int(interval) for interval in intervals if interval is not None), default=None)


def _properties(run: Run, name: str, interface: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    path = "/org/freedesktop/systemd1/unit/" + re.sub("[^A-Za-z0-9]", lambda sign: f"_{ord(sign[0]):02x}", name)
    try:
        code, shown, error = run([*_ASK, path, f"{_SYSTEMD}.{interface}", *wanted])
    except OSError as failure:
        code, shown, error = 1, "", str(failure)
    if code:
        said = (error.strip().splitlines() or ["no reason was given"])[0].rstrip(".")
        raise StatusUnknown(f"systemd cannot be asked with busctl, which needs D-Bus and systemd 240 or newer: {said}.")
    return dict(zip(wanted, (json.loads(line)["data"] for line in shown.splitlines()), strict=True))


def _state(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StatusUnknown(f"The state file {path} cannot be read ({error}); become root.") from None


def _seconds(microseconds: int) -> float | None:
    return None if microseconds in _NEVER else microseconds / 1e6


def _written(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0
