# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the alert command of the role timers, and tells it which job failed and why.

systemd starts it through OnFailure=. It runs with any Python of the host, and therefore imports nothing of the collection.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG")


def message(job_type: str, state_file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The failed unit, its job and the reason, by the names of environment variables, without secrets and ids.

    :param state_file: what run_metrics.py left
    :param environment: that of a unit which OnFailure= starts; systemd before 251 does not say there which run failed
    """
    try:
        state = json.loads(state_file.read_text())
    except (OSError, ValueError):
        state = {}
    run = environment.get("MONITOR_INVOCATION_ID", state.get("invocation"))
    reason = state.get("reason") if run == state.get("invocation") else None
    return {
        "OPENTALK_MAINTENANCE_UNIT": f"opentalk-maintenance-{job_type.replace('_', '-')}.service",
        "OPENTALK_MAINTENANCE_JOB": job_type,
        "OPENTALK_MAINTENANCE_REASON": reason or "It left no reason; look at the journal of its unit.",
    }


def main() -> int:
    """:returns: the exit code of the alert command"""
    parser = argparse.ArgumentParser(description="Tell a command that a job failed.")
    parser.add_argument("--state", type=Path, required=True, help="the state file of the job")
    parser.add_argument("job_type")
    parser.add_argument("command", nargs="+", help="the program, and its arguments")
    arguments = parser.parse_args()
    variables = message(arguments.job_type, arguments.state, os.environ)
    unit, job, reason = variables.values()
    text = f"The maintenance job {job} of OpenTalk failed on {socket.gethostname()}.\n\n{reason}\n\nUnit: {unit}\n"
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return subprocess.run(
        arguments.command, env={**kept, **variables}, input=text, text=True, encoding="utf-8", check=False
    ).returncode


if __name__ == "__main__":
    raise SystemExit(main())
