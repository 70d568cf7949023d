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
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOB_TYPES, JOBS
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import run_metrics, timer_variables

from support import ansible
from support.collection import ROOT
from support.limits import HANGS
from support.upstream import SELF_CHECK

ROLE = ROOT / "roles" / "timers"
DAILY = {"on_calendar": "daily"}


def play(playbook: str, *arguments: str, collections: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ansible.program(), f"opentalk.maintenance.{playbook}", *arguments],
        env=ansible.environment(collections, **variables),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANGS, cwd=ROOT.anchor, check=False,
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
    offered = set()
    for job in JOB_TYPES:
        playbook = (ROOT / "playbooks" / f"{job}.yml").read_text()
        schema = timer_variables.job_schema(job)["properties"]
        for name in schema["parameters"]["properties"]:
            assert f"{job}_{name} |" in playbook
        for name in schema["options"]["properties"]:
            assert f"{job if name.startswith('max_affected') else 'opentalk_maintenance'}_{name} |" in playbook
            offered.add(name)
    readme = (ROLE / "README.md").read_text()
    assert [name for name in offered if f"`{name}`" not in readme] == []


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
        (
            {"self_check": {**DAILY, "options": {"max_affected": 1}}},
            "timers_jobs.self_check.options.max_affected: there is no such field; the fields are hide_duration.",
        ),
        (
            {"invite_cleanup": {**DAILY, "options": {"ca_path": "/etc/ca.pem"}}},
            "timers_jobs.invite_cleanup.options.ca_path: there is no such field; ",
        ),
        (
            {"invite_cleanup": {**DAILY, "parameters": {"expired_before": "next week"}}},
            "timers_jobs.invite_cleanup.parameters.expired_before: The option expired_before must be a date or a timestamp",
        ),
        ({"self_check": {"on_calendar": "daily\n"}}, "timers_jobs.self_check.on_calendar: it must be one line."),
        (
            {"user_cleanup": {**DAILY, "options": {"ca_path": "ca.pem"}}},
            "timers_jobs.user_cleanup.options.ca_path: it must be an absolute path.",
        ),
        *[
            (
                {"user_cleanup": {**DAILY, "options": {"audit_log": path}}},
                "timers_jobs.user_cleanup.options.audit_log: it must be an absolute path without spaces, in a directory",
            )
            for path in (
                "audit.jsonl", "/audit.jsonl", "/var/../audit.jsonl", "/srv/my logs/audit", "/srv/%n/audit", "/srv/audit/",
                "/tmp/audit.jsonl", "/home/audit.jsonl", "/srv/audit.jsonl\n",
            )
        ],
    ],
)  # fmt: skip
def test_problem_is_named_with_job_field_and_reason(jobs: dict[str, Any], problem: str) -> None:
    (found,) = timer_variables.job_problems(jobs)
    assert found.startswith(problem) and "planted" not in found


def test_good_jobs_have_no_problems() -> None:
    jobs: dict[str, Any] = {job: {**DAILY, "parameters": JOBS[job].parameters.defaults()} for job in JOB_TYPES}
    jobs["user_cleanup"] = {"enabled": False}
    options = {
        "max_affected": 0,
        "ca_path": "/etc/ssl/ca.pem",
        "audit_log": "/var/log/opentalk-maintenance/audit.jsonl",
    }
    jobs["event_cleanup"] |= {"timeout": 7200, "options": options}
    jobs["invite_cleanup"]["parameters"] = {"expired_before": "2026-01-31T12:00:00+01:00"}
    assert list(timer_variables.job_problems(jobs)) == []
    environment = {
        "HTTPS_PROXY": "http://proxy.example.org:3128", "no_proxy": "localhost,::1", "N": 1, "KEYCLOAK_REALM": "opentalk",
        "REQUESTS_CA_BUNDLE": "/etc/ssl/ca.pem",
    }  # fmt: skip
    assert list(timer_variables.environment_problems(environment)) == []


@pytest.mark.parametrize(
    "name, value",
    [
        ("OPENTALK_CTRL_DATABASE__URL", "planted"), ("PGPASSWORD", "planted"), ("OPENTALK_CTRL_MINIO__SECRET_KEY", "planted"),
        ("HTTPS_PROXY", "http://user:planted@proxy.example.org"), ("A NAME", "planted"), ("LINES", "planted\nplanted"),
        ("HTTPS_PROXY", "user:planted@proxy.example.org:3128"), ("SOURCE", "https://planted@example.org/"),
        ("OPENTALK_URL", "postgres://u:pla/nted@db"), ("OPENTALK_CONNECTION", "host=db password=planted"),
        ("API_KEY", "planted"), ("AWS_PRIVATE_KEY", "planted"), ("APIKEY", "planted"), ("PROXY_AUTHORIZATION", "planted"),
        (8080, "planted"), ("LIST", ["planted"]),
    ],
)  # fmt: skip
def test_environment_refuses_secrets_and_nonsense(name: Any, value: Any) -> None:
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
        (
            {
                "timers_randomized_delay": -1, "timers_wheelhouse": "/nowhere/wheels", "timers_requirements": "/nowhere/list",
                "timers_config_directory": "/etc/opentalk", "timers_directory": "/opt/opentalk-maintenance/",
            },
            "timers_randomized_delay must not be negative.*timers_directory.* must be absolute paths"
            ".*timers_config_directory must be a directory of the role's own"
            ".*timers_requirements names no file.*timers_wheelhouse names no directory",
        ),
        ({"timers_controller_config": "/home/opentalk/controller.toml"}, "timers_controller_config must be an absolute path"),
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
    assert re.search(problem, played.stdout, re.DOTALL) and "fatal: [wrong]" in played.stdout
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
        subprocess.run(command, env=environment, stdout=file, check=True, timeout=HANGS, cwd=tmp_path)
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
    subprocess.run(command, env={**os.environ, **environment}, check=True, timeout=HANGS, umask=0o077)
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


def test_metrics_are_replaced_as_a_whole(tmp_path: Path) -> None:
    """A reader that comes at any moment finds all of one run's metrics."""
    success = {"SERVICE_RESULT": "success", "EXIT_CODE": "exited", "EXIT_STATUS": "0"}
    runs = [{"started": 1.0, "counts": {f"kind{number}": run for number in range(20_000)}} for run in range(6)]
    metrics(tmp_path, runs[0], **success)
    path, seen, ended = tmp_path / "metrics" / "job.prom", set(), threading.Event()

    def read() -> None:
        while not ended.is_set():
            counts = re.findall(r'kind="kind\d+"\} (\d+)\n', path.read_text())
            seen.add((len(counts), len(set(counts))))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for run in runs[1:]:
            metrics(tmp_path, run, **success)
    finally:
        ended.set()
        reader.join()
    assert seen == {(20_000, 1)}
