# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of the jobs on a host, with a systemd that is made up, and the table of all hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.timers import run_metrics, status
from ansible_collections.opentalk.maintenance.plugins.module_utils.timers.units import state_file, unit
from ansible_collections.opentalk.maintenance.plugins.plugin_utils.status_table import overview

from support.modules import run_module

NOW = 1_800_000_000.0
DAY = 86400
JOB = "event_cleanup"
GOOD = {
    "ended": NOW - 3600, "result": "success", "reason": None, "last_success": NOW - 3600, "last_good": NOW - 3600,
    "shared_folders_left_behind": 0, "metrics": None,
}  # fmt: skip


class Systemd:
    """Answers busctl for one job."""

    def __init__(self, folder: Path) -> None:
        written = folder / "unit"
        written.touch()
        common = {"LoadState": "loaded", "FragmentPath": str(written)}
        timer = {"ActiveState": "active", "UnitFileState": "enabled", "RandomizedDelayUSec": 900 * 10**6}
        timer |= {"TimersCalendar": [["OnCalendar", "daily", 0]], "NextElapseUSecRealtime": int(NOW + 60) * 10**6}
        service = {"ActiveState": "inactive", "UnitFileState": "static", "TimeoutStartUSec": 3720 * 10**6}
        service |= {"ExecMainExitTimestamp": 0}
        self.units: dict[str, dict[str, Any]] = {
            unit(JOB, "timer"): common | timer,
            unit(JOB, "service"): common | service,
        }

    def set(self, kind: str, **properties: Any) -> None:
        self.units[unit(JOB, kind)].update(properties)

    def run(self, command: list[str]) -> tuple[int, str, str]:
        assert command[:4] == ["busctl", "--system", "--json=short", "get-property"]
        path, _interface, *wanted = command[5:]
        name = path.rpartition("/")[2].replace("_2d", "-").replace("_2e", ".")
        answers = self.units.get(name, dict.fromkeys(wanted, "not-found"))
        return 0, "".join(json.dumps({"type": "v", "data": answers[each]}) + "\n" for each in wanted), ""


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    monkeypatch.setattr(status, "STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(
        run_metrics, "overdue_after", lambda calendar, slack: DAY + slack if calendar == "daily" else None
    )
    return Systemd(tmp_path)


def leave(folder: Path, **state: Any) -> None:
    (folder / state_file(JOB)).write_text(json.dumps({**GOOD, **state}))


def test_good_run(systemd: Systemd, tmp_path: Path) -> None:
    leave(tmp_path)
    (job,) = status.jobs(systemd.run, NOW)
    assert job.pop("since")
    assert job == {
        "job": JOB, "enabled": True, "running": False, "last_run": "2027-01-15T07:00:00Z", "result": "success",
        "reason": None, "last_success": "2027-01-15T07:00:00Z", "next_run": "2027-01-15T08:01:00Z",
        "overdue_after": DAY + 900 + 3720, "overdue": False, "shared_folders_left_behind": 0,
    }  # fmt: skip
    assert status.problems([job]) == []


@pytest.mark.parametrize(
    "state, timer, service, expected, problem",
    [
        ({"result": "skipped", "last_success": None}, {}, {}, {"result": "skipped", "overdue": False}, None),
        ({"last_good": NOW - DAY - 4621}, {}, {}, {"overdue": True}, "it is overdue, because"),
        ({"last_good": NOW - DAY - 4619}, {}, {}, {"overdue": False}, None),
        ({"last_good": 1}, {"TimersCalendar": [["OnCalendar", "2020-01-01", 0]]}, {}, {"overdue": False}, None),
        ({"result": "failed", "reason": "Why."}, {}, {"ActiveState": "failed"}, {"reason": "Why."}, "failed. Why."),
        ({}, {"ActiveState": "inactive", "NextElapseUSecRealtime": 0}, {}, {"enabled": False, "next_run": None}, "timer"),
        ({}, {"UnitFileState": "disabled"}, {}, {"enabled": False}, "its timer does not"),
        ({}, {}, {"ActiveState": "activating"}, {"running": True, "result": "success"}, None),
        # Runs that left no state, for example because the disk was full.
        ({}, {}, {"ActiveState": "failed"}, {"result": "failed"}, "It left no state"),
        (
            {"result": "failed", "reason": "Earlier."}, {}, {"ExecMainExitTimestamp": int(NOW) * 10**6},
            {"result": "success", "last_run": "2027-01-15T08:00:00Z"}, None,
        ),
    ],
)  # fmt: skip
def test_every_kind_of_end(
    systemd: Systemd, tmp_path: Path, state: dict[str, Any], timer: dict[str, Any], service: dict[str, Any],
    expected: dict[str, Any], problem: str | None,
) -> None:  # fmt: skip
    leave(tmp_path, **state)
    systemd.set("timer", **timer)
    systemd.set("service", **service)
    (job,) = status.jobs(systemd.run, NOW)
    assert expected.items() <= job.items()
    said = status.problems([job])
    assert len(said) == (problem is not None) and (problem or "") in "".join(said)


def test_job_that_was_never_run_is_overdue_when_the_role_wrote_it_long_ago(systemd: Systemd, tmp_path: Path) -> None:
    written = (tmp_path / "unit").stat().st_mtime
    (soon,), (late,) = status.jobs(systemd.run, written + DAY), status.jobs(systemd.run, written + 2 * DAY)
    assert (soon["result"], soon["last_run"], soon["overdue"], late["overdue"]) == (None, None, False, True)


def test_number_of_folders_is_that_which_somebody_set(systemd: Systemd, tmp_path: Path) -> None:
    metrics = tmp_path / "job.prom"
    leave(tmp_path, shared_folders_left_behind=3, metrics=str(metrics))
    assert status.jobs(systemd.run, NOW)[0]["shared_folders_left_behind"] == 3
    metrics.write_text(f'opentalk_maintenance_shared_folders_left_behind{{job_type="{JOB}"}} 0\n')
    assert status.jobs(systemd.run, NOW)[0]["shared_folders_left_behind"] == 0


def test_what_is_missing_is_said_in_one_sentence(
    systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / state_file(JOB)).mkdir()  # cannot be read, whoever asks
    with pytest.raises(status.StatusUnknown, match=r"The state file .* cannot be read .*; become root\.$"):
        status.jobs(systemd.run, NOW)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run_module("status_info")
    assert result["failed"] and result["msg"].startswith("systemd cannot be asked with busctl, which needs D-Bus")


@pytest.mark.parametrize("check_mode", [False, True])
def test_module(systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check_mode: bool) -> None:
    program = tmp_path / "busctl"
    answer = """{"type":"s","data":"not-found"}"""
    program.write_text(f"#!/bin/sh\nfor property in 1 2 3 4; do echo '{answer}'; done\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    result = run_module("status_info", check_mode=check_mode)
    assert (result["changed"], result["jobs"], result["overdue"]) == (False, [], False)
    assert result["problems"] == ["No job has a timer here; apply the role opentalk.maintenance.timers."]


def test_table_of_all_hosts(systemd: Systemd, tmp_path: Path) -> None:
    def host(**state: Any) -> dict[str, Any]:
        leave(tmp_path, **state)
        known = [{**job, "since": "2026-12-01T00:00:00Z"} for job in status.jobs(systemd.run, NOW)]
        return {"time": status.moment(NOW), "jobs": known, "problems": status.problems(known)}

    skipped = {"result": "skipped", "last_success": NOW - 5 * DAY}
    assert overview({"alpha": host(), "beta": host(**skipped)}) == {
        "table": [
            "HOST   JOB            TIMER  LAST RUN (UTC)    RESULT   LAST SUCCESS      NEXT RUN          OVERDUE  FOLDERS LEFT",
            "alpha  event_cleanup  on     2027-01-15 07:00  success  2027-01-15 07:00  2027-01-15 08:01  no       0",
            "beta   event_cleanup  on     2027-01-15 07:00  skipped  2027-01-10 08:00  2027-01-15 08:01  no       0",
        ],
        "problems": [],
    }
    # All are skipped, because the lock is held by somebody who does nothing.
    late = (
        "event_cleanup: no host has done its work since 2027-01-10T08:00:00Z, which is longer than its calendar allows."
    )
    assert overview({"alpha": host(**skipped), "beta": host(**skipped)})["problems"] == [late]
    (never,) = overview({"alpha": host(result="skipped", last_success=None)})["problems"]
    assert "since 2026-12-01T00:00:00Z" in never
    gone = overview({"alpha": host(), "beta": {"unreachable": True, "msg": "No route to host\nTraceback"}, "gamma": {}})
    assert [line.split()[:3] for line in gone["table"][2:]] == [["beta", "not", "known"], ["gamma", "not", "known"]]
    assert gone["problems"] == [
        "beta: not known, because it could not be asked. No route to host",
        "gamma: not known, because it could not be asked.",
    ]
