# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of the role timers, and what its services print and measure."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.opentalk.maintenance.plugins.module_utils.engine import options, parameters
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import run_metrics, timer_variables

from support import ansible
from support.collection import ROOT
from support.upstream import SELF_CHECK

ROLE = ROOT / "roles" / "timers"
DAILY = {"on_calendar": "daily"}


def play(playbook: str, *arguments: str, collections: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ansible.program(), f"opentalk.maintenance.{playbook}", *arguments],
        env=ansible.environment(collections, **variables),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, cwd=ROOT.anchor, check=False,
    )  # fmt: skip


def test_every_default_is_documented_as_it_is() -> None:
    specified = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    assert {name: spec["default"] for name, spec in specified.items()} == defaults
    readme = (ROLE / "README.md").read_text()
    assert [name for name in defaults if f"| `{name}` |" not in readme] == []


def test_every_package_is_pinned() -> None:
    def names(path: Path) -> set[str]:
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        return {re.split(r"[=<>; ]", line)[0].lower() for line in lines}

    pinned = ROLE / "files" / "requirements.txt"
    assert names(ROOT / "requirements.txt") | {"ansible-core"} <= names(pinned)
    for line in pinned.read_text().splitlines():
        assert re.fullmatch(r'#.*|[\w-]+==[\w.]+(; python_version (<|>=) "3\.11")?', line), line


def test_every_field_of_a_job_is_a_variable_of_its_playbook() -> None:
    for path in (ROOT / "plugins" / "modules").glob("*.py"):
        job = path.stem
        if job == "job_info":
            continue
        playbook = (ROOT / "playbooks" / f"{job}.yml").read_text()
        for name in parameters.schema(job)["properties"]:
            assert f"{job}_{name} |" in playbook
    everything = "".join(path.read_text() for path in (ROOT / "playbooks").glob("*.yml"))
    for name in options.unattended_schema()["properties"]:
        prefix = "event_cleanup" if name.startswith("max_affected") else "opentalk_maintenance"
        assert f"{prefix}_{name} |" in everything


@pytest.mark.parametrize(
    "jobs, problem",
    [
        ({"event_cleaner": DAILY}, r"timers_jobs.event_cleaner: there is no such job; the jobs are self_check, "),
        ({"self_check": {}}, "timers_jobs.self_check.on_calendar: it is missing."),
        ({"self_check": "daily"}, "timers_jobs.self_check: 'daily' is not of type 'object'."),
        ({"self_check": {**DAILY, "calendar": 1}}, "timers_jobs.self_check.calendar: there is no such field; "),
        ({"self_check": {**DAILY, "timeout": 0}}, "timers_jobs.self_check.timeout: 0 is less than the minimum of 1."),
        (
            {"event_cleanup": {**DAILY, "parameters": {"days_since_last_occurrence": 0}}},
            "timers_jobs.event_cleanup.parameters.days_since_last_occurrence: 0 is less than the minimum of 1.",
        ),
        (
            {"event_cleanup": {**DAILY, "parameters": {"days": 30}}},
            "timers_jobs.event_cleanup.parameters.days: there is no such field; the fields are days_since_last_occurrence,",
        ),
        (
            {"event_cleanup": {"enabled": False, "parameters": {"include_finished_series": "yes"}}},
            "timers_jobs.event_cleanup.parameters.include_finished_series: 'yes' is not of type 'boolean'.",
        ),
        (
            {"invite_cleanup": {**DAILY, "parameters": {"expired_before": yaml.safe_load("2026-01-01T00:00:00Z")}}},
            "timers_jobs.invite_cleanup.parameters.expired_before: YAML read this as a date; put it in quotes.",
        ),
        (
            {"user_cleanup": {**DAILY, "options": {"database_url": "postgres://u:planted@h/d"}}},
            "timers_jobs.user_cleanup.options.database_url: there is no such field; the fields are hide_duration,",
        ),
        (
            {"user_cleanup": {**DAILY, "options": {"max_affected_percent": 101}}},
            "timers_jobs.user_cleanup.options.max_affected_percent: 101 is greater than the maximum of 100.",
        ),
    ],
)  # fmt: skip
def test_problem_is_named_with_job_field_and_reason(jobs: dict[str, Any], problem: str) -> None:
    (found,) = timer_variables.job_problems(jobs)
    assert found.startswith(problem) and "planted" not in found


def test_good_jobs_have_no_problems() -> None:
    jobs: dict[str, Any] = {
        job: {**DAILY, "parameters": parameters.default_parameters(job)} for job in parameters.JOB_TYPES
    }
    jobs["user_cleanup"] = {"enabled": False}
    jobs["event_cleanup"] |= {"timeout": 7200, "options": {"max_affected": 0, "ca_path": "/etc/ssl/ca.pem"}}
    assert list(timer_variables.job_problems(jobs)) == []
    assert list(timer_variables.environment_problems({"HTTPS_PROXY": "http://proxy.example.org:3128", "N": 1})) == []


@pytest.mark.parametrize(
    "name, value",
    [
        ("OPENTALK_CTRL_DATABASE__URL", "planted"), ("PGPASSWORD", "planted"), ("OPENTALK_CTRL_MINIO__SECRET_KEY", "planted"),
        ("HTTPS_PROXY", "http://user:planted@proxy.example.org"), ("A NAME", "planted"), ("LINES", "planted\nplanted"),
    ],
)  # fmt: skip
def test_environment_refuses_secrets_and_nonsense(name: str, value: str) -> None:
    (problem,) = timer_variables.environment_problems({name: value})
    assert problem.startswith(f"timers_environment.{name}: ") and "planted" not in problem


@pytest.mark.parametrize(
    "variables, problem",
    [
        (
            {"timers_jobs": {"event_cleanup": {**DAILY, "parameters": {"days_since_last_occurrence": 0}}}},
            "timers_jobs.event_cleanup.parameters.days_since_last_occurrence: 0 is less than the minimum of 1.",
        ),
        ({"timers_persistent": "perhaps"}, "timers_persistent"),
        ({"timers_environment": {"PGPASSWORD": "planted"}}, "timers_environment.PGPASSWORD: this looks like a secret"),
    ],
)  # fmt: skip
def test_no_host_is_touched_while_one_has_wrong_variables(
    collections_path: str, tmp_path: Path, variables: dict[str, Any], problem: str
) -> None:
    """Nothing listens where the hosts are said to be, so that touching them would fail in another way."""
    hosts = {"right": {}, "wrong": variables}
    inventory = tmp_path / "hosts.json"
    shared = {"ansible_host": "127.0.0.1", "ansible_port": 1, "timers_jobs": {"self_check": DAILY}}
    inventory.write_text(json.dumps({"opentalk_controllers": {"hosts": hosts, "vars": shared}}))
    played = play("provision_timers", "-i", str(inventory), collections=collections_path)
    assert played.returncode == 2
    assert problem in played.stdout and "fatal: [wrong]" in played.stdout
    assert "UNREACHABLE" not in played.stdout and "planted" not in played.stdout + played.stderr
    inventory.write_text(json.dumps({"opentalk_controllers": {"hosts": {"right": {}}, "vars": shared}}))
    assert "UNREACHABLE" in play("provision_timers", "-i", str(inventory), collections=collections_path).stdout


PRINTED = SELF_CHECK + "self_check: finished, nothing was to be done\n"
LOCAL = ("-i", "localhost,", "-c", "local", "-e", "opentalk_maintenance_hide_duration=true")
LOG = {"ANSIBLE_STDOUT_CALLBACK": "opentalk.maintenance.job_log"}


def test_only_the_log_and_a_summary_are_printed(collections_path: str, tmp_path: Path) -> None:
    played = play("self_check", *LOCAL, collections=collections_path, **LOG)
    assert (played.stdout, played.returncode) == (PRINTED, 0)
    outcome = tmp_path / "outcome"
    failed = play(
        "event_cleanup", *LOCAL, "-e", "opentalk_maintenance_controller_config=/nowhere/controller.toml",
        collections=collections_path, **LOG, OPENTALK_MAINTENANCE_RESULT_FILE=str(outcome),
    )  # fmt: skip
    reason = (
        "The settings file /nowhere/controller.toml does not exist;"
        " set the option controller_config to the controller's file."
    )
    assert failed.returncode == 2
    assert failed.stdout.splitlines()[-2:] == [f"[ERROR] Job failed: {reason}", f"event_cleanup: failed. {reason}"]
    assert json.loads(outcome.read_text())["started"] > 0


def test_journal_is_told_severities(collections_path: str, tmp_path: Path) -> None:
    """JOURNAL_STREAM names a file instead of a socket here, which is all that the plugin looks at."""
    path = tmp_path / "journal"
    with path.open("w") as file:
        status = os.fstat(file.fileno())
        journal = f"{status.st_dev}:{status.st_ino}"
        environment = ansible.environment(collections_path, **LOG, JOURNAL_STREAM=journal)
        command = [ansible.program(), "opentalk.maintenance.self_check", *LOCAL]
        subprocess.run(command, env=environment, stdout=file, check=True, timeout=90, cwd=tmp_path)
    severities = {"INFO": 6, "TRACE": 7, "DEBUG": 7, "WARN": 4, "ERROR": 3, "self_check: finished": 6}
    for line, shown in zip(PRINTED.splitlines(), path.read_text().splitlines(), strict=True):
        (severity,) = (number for text, number in severities.items() if line.lstrip("[").startswith(text))
        assert shown == f"<{severity}>{line}"


def metrics(folder: Path, outcome: dict[str, Any] | str, **environment: str) -> dict[str, float]:
    """What the program writes for a run that left this outcome."""
    result, output = folder / "result.json", folder / "metrics" / "job.prom"
    result.write_text(outcome if isinstance(outcome, str) else json.dumps(outcome))
    output.parent.mkdir(exist_ok=True)
    command = [sys.executable, run_metrics.__file__, "event_cleanup", f"--result={result}", f"--output={output}"]
    subprocess.run(command, env={**os.environ, **environment}, check=True, timeout=30, umask=0o077)
    assert [path.name for path in output.parent.iterdir()] == ["job.prom"]
    assert output.stat().st_mode & 0o777 == 0o644
    lines = [line for line in output.read_text().splitlines() if not line.startswith("#")]
    shown = {}
    for line in lines:
        name, value = line.replace('{job_type="event_cleanup"', "").removeprefix(run_metrics.PREFIX).rsplit(" ", 1)
        shown[name.strip("},").replace(',kind="', " ").strip('"')] = float(value)
    return shown


def test_metrics_of_every_kind_of_end(tmp_path: Path) -> None:
    done = {"started": 1.0, "skipped": False, "counts": {"events": 4, "rooms": 0}}
    success = {"SERVICE_RESULT": "success", "EXIT_CODE": "exited", "EXIT_STATUS": "0"}
    failure = {"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "2"}

    never = metrics(tmp_path, done, **failure)
    assert never["success_timestamp_seconds"] == 0 and never["run_success"] == 0 and never["run_exit_code"] == 2
    good = metrics(tmp_path, done, **success)
    assert good["success_timestamp_seconds"] == good["run_timestamp_seconds"] > never["run_timestamp_seconds"]
    assert good["run_duration_seconds"] == pytest.approx(good["run_timestamp_seconds"] - 1)
    assert (good["run_success"], good["run_skipped"], good["run_exit_code"]) == (1, 0, 0)
    assert (good["run_count events"], good["run_count rooms"]) == (4, 0)

    last = good["success_timestamp_seconds"]
    skipped = metrics(tmp_path, {**done, "skipped": True, "counts": {"events": 0}}, **success)
    assert (skipped["run_success"], skipped["run_skipped"], skipped["success_timestamp_seconds"]) == (1, 1, last)
    killed = metrics(tmp_path, '{"start', SERVICE_RESULT="signal", EXIT_CODE="killed", EXIT_STATUS="KILL")
    assert killed["run_exit_code"] == 128 + signal.SIGKILL and killed["success_timestamp_seconds"] == last
    assert not [name for name in killed if name.startswith("run_count") or name == "run_duration_seconds"]
    stopped = metrics(tmp_path, done, SERVICE_RESULT="timeout", EXIT_CODE="exited", EXIT_STATUS="0")
    assert stopped["run_success"] == 0 and stopped["success_timestamp_seconds"] == last
