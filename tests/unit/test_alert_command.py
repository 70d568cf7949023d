# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command for alerts gets, and what the state file tells it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.timers import alert, run_metrics, units

UNWRITTEN = "It left no reason; look at the journal of its unit."
FAILED = {"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "2", "INVOCATION_ID": "a" * 32}


def test_command_gets_unit_job_and_reason_and_nothing_else(tmp_path: Path) -> None:
    state, seen = tmp_path / "state.json", tmp_path / "seen"
    outcome = {"reason": "The shared folder of event 034E5D6B-cc6d-6b41-0499-25043cb40cfe cannot be deleted."}
    state.write_text(json.dumps(run_metrics.state(outcome, FAILED, now=1.0, before={})))
    reason = "The shared folder of event ... cannot be deleted."
    command = ["/bin/sh", "-c", f'cat > {seen}; env >> {seen}; echo "$1" >> {seen}; exit 3', "sh", 'a "b" $c']
    told = subprocess.run(
        [sys.executable, alert.__file__, f"--state={state}", "event_cleanup", "--", *command],
        env={**os.environ, "MONITOR_INVOCATION_ID": "a" * 32, "SECRET": "planted"}, check=False,
    )  # fmt: skip
    text = seen.read_text()
    assert told.returncode == 3 and "planted" not in text and "a" * 32 not in text and text.endswith('a "b" $c\n')
    unit = units.unit("event_cleanup", "service")
    assert text.startswith(
        f"The maintenance job event_cleanup of OpenTalk failed on {socket.gethostname()}.\n\n{reason}\n\nUnit: {unit}\n"
    )
    for name, value in {"JOB": "event_cleanup", "UNIT": unit, "REASON": reason}.items():
        assert f"\nOPENTALK_MAINTENANCE_{name}={value}\n" in text


@pytest.mark.parametrize(
    "environment, reason",
    [({}, "Why."), ({"MONITOR_INVOCATION_ID": "1"}, "Why."), ({"MONITOR_INVOCATION_ID": "2"}, UNWRITTEN)],
)
def test_reason_of_another_run_is_not_told(tmp_path: Path, environment: dict[str, str], reason: str) -> None:
    state = tmp_path / "state.json"
    assert alert.message("self_check", state, environment)["OPENTALK_MAINTENANCE_REASON"] == UNWRITTEN
    state.write_text(json.dumps({"reason": "Why.", "invocation": "1"}))
    assert alert.message("self_check", state, environment)["OPENTALK_MAINTENANCE_REASON"] == reason


@pytest.mark.parametrize(
    "environment, reason",
    [
        (FAILED, "It ended with the exit code 2."),
        ({"SERVICE_RESULT": "signal", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"}, "The signal KILL ended it."),
        (
            {"SERVICE_RESULT": "timeout", "EXIT_CODE": "killed", "EXIT_STATUS": "TERM"},
            "systemd ended it, because it took longer than its time limit.",
        ),
        ({"SERVICE_RESULT": "resources"}, "systemd could not start it."),
    ],
)
def test_run_that_died_has_a_reason(environment: dict[str, str], reason: str) -> None:
    assert run_metrics.reason({}, environment) == reason
