# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the services of the role timers run and print, and what the role refuses before it touches a host."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.timers import run_metrics

from support import ansible
from support.collection import ROOT
from support.limits import HANGS
from support.real import missing
from support.upstream import SELF_CHECK

DAILY = {"on_calendar": "daily"}


def play(playbook: str, *arguments: str, collections: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ansible.program(), f"opentalk.maintenance.{playbook}", *arguments],
        env=ansible.environment(collections, **variables),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANGS, cwd=ROOT.anchor, check=False,
    )  # fmt: skip


# Wrong variables of a host each, with what is said about them.
WRONG_TYPES: dict[str, tuple[dict[str, Any], str]] = {
    "types": ({"timers_persistent": "perhaps", "timers_settings": "planted"}, "timers_persistent")
}
WRONG_VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "parameter": (
        {"timers_jobs": {"event_cleanup": {**DAILY, "parameters": {"days_since_last_occurrence": 0}}}},
        "timers_jobs.event_cleanup.parameters.days_since_last_occurrence: 0 is less than the minimum of 1.",
    ),
    "secret": (
        {"timers_environment": {"PGPASSWORD": "planted"}},
        "timers_environment.PGPASSWORD: this looks like a secret",
    ),
    "places": (
        {
            "timers_randomized_delay": -1, "timers_wheelhouse": "/nowhere/wheels", "timers_requirements": "/nowhere/list",
            "timers_config_directory": "/etc/opentalk", "timers_directory": "/opt/opentalk-maintenance/",
        },
        "timers_randomized_delay must not be negative.*timers_directory.* must be absolute paths"
        ".*timers_config_directory must be a directory of the role's own"
        ".*timers_requirements names no file.*timers_wheelhouse names no directory",
    ),
    "settings": (
        {"timers_controller_config": "/home/opentalk/controller.toml"},
        "timers_controller_config must be an absolute path",
    ),
    "containers": (
        {
            "timers_settings": {"database": {"ur": "planted"}, "minio": {"secret_key": ["planted"]}},
            "timers_controller_config": "/etc/opentalk/controller.toml", "timers_enviroment_file": "/srv/planted",
        },
        "The variable timers_enviroment_file sets nothing; did you mean timers_environment_file"
        ".*timers_settings and timers_controller_config are both set"
        ".*timers_settings.database.ur: there is no such key; did you mean url"
        ".*timers_settings.minio.secret_key: it must be text",
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", [{}, WRONG_TYPES, WRONG_VALUES], ids=["none", "types", "values"])
def test_no_host_is_touched_while_one_has_wrong_variables(
    collections_path: str, tmp_path: Path, wrong: dict[str, tuple[dict[str, Any], str]]
) -> None:
    """Nothing listens where the hosts are said to be, so that touching them would fail in another way."""
    hosts = {"right": {}, **{name: variables for name, (variables, _problem) in wrong.items()}}
    inventory = tmp_path / "hosts.json"
    shared = {"ansible_host": "127.0.0.1", "ansible_port": 1, "timers_jobs": {"self_check": DAILY}}
    inventory.write_text(json.dumps({"opentalk_controllers": {"hosts": hosts, "vars": shared}}))
    played = play("provision_timers", "-vvv", "-i", str(inventory), collections=collections_path)
    assert ("UNREACHABLE" in played.stdout) == (not wrong)
    assert "planted" not in played.stdout + played.stderr
    said = dict(part.split("]", 1) for part in played.stdout.partition("PLAY RECAP")[0].split("fatal: [")[1:])
    assert said.keys() == wrong.keys() or not wrong
    for name, (_variables, problem) in wrong.items():
        assert played.returncode == 2 and re.search(problem, said[name], re.DOTALL)


def test_no_check_is_left_out_by_starting_in_the_middle(collections_path: str, tmp_path: Path) -> None:
    """From every task at which Ansible can start. Nothing listens where the host is said to be."""
    inventory = tmp_path / "hosts.json"
    inventory.write_text(
        json.dumps({"opentalk_controllers": {"hosts": {"host": {"ansible_host": "127.0.0.1", "ansible_port": 1}}}})
    )

    def start(playbook: str, task: str, *arguments: str) -> str:
        command = ["-i", str(inventory), *arguments, "--start-at-task", task]
        return play(playbook, *command, collections=collections_path).stdout

    listed = play("provision_timers", "-i", str(inventory), "--list-tasks", collections=collections_path).stdout
    *_unused, last = re.findall(r"^      (?:opentalk\S+ : )?(.*?)\tTAGS", listed, re.MULTILINE)
    # Whoever mistypes timers_jobs enables no job, and all timers would go.
    said = start("provision_timers", last, "-e", "timer_jobs={}")
    assert "did you mean timers_jobs?" in said and "UNREACHABLE" not in said and "failed=1" in said, said
    # The playbook that prepares hosts has one task, at whose beginning are the checks.
    said = play("prepare_hosts", "-i", str(inventory), "-e", "timers_wheelhose=x", collections=collections_path).stdout
    assert "did you mean timers_wheelhouse?" in said and "UNREACHABLE" not in said and "failed=1" in said, said
    # What is behind a decision of the role is no place to start at: nothing is done.
    said = start("provision_timers", "Remove the user", "-e", "timers_state=absent")
    assert not re.search("^host +:", said, re.MULTILINE), said


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
        " set the option controller_config (variable opentalk_maintenance_controller_config) to the controller's file."
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


SUCCESS = {"SERVICE_RESULT": "success", "EXIT_CODE": "exited", "EXIT_STATUS": "0"}


def metrics(
    folder: Path, outcome: dict[str, Any] | str, *, calendar: str = "daily", **environment: str
) -> dict[str, float]:
    """What the program writes for a run that left this outcome, by the names without `opentalk_maintenance_last_`."""
    result, output = folder / "result.json", folder / "metrics" / "job.prom"
    result.write_text(outcome if isinstance(outcome, str) else json.dumps(outcome))
    output.parent.mkdir(exist_ok=True)
    command = [sys.executable, run_metrics.__file__, "event_cleanup", f"--result={result}", f"--output={output}"]
    command += [f"--state={folder / 'state.json'}", f"--calendar={calendar}", "--slack=600"]
    subprocess.run(command, env={**os.environ, **environment}, check=True, timeout=HANGS, umask=0o077)
    assert [path.name for path in output.parent.iterdir()] == ["job.prom"]
    assert output.stat().st_mode & 0o777 == 0o644
    assert state(folder)["metrics"] == str(output)
    lines = [line for line in output.read_text().splitlines() if not line.startswith("#")]
    shown = {}
    for line in lines:
        name, value = line.removeprefix(run_metrics.PREFIX).removeprefix("last_").rsplit(" ", 1)
        name = name.replace('{job_type="event_cleanup"', "")
        shown[name.strip("},").replace(',kind="', " ").strip('"')] = float(value)
    return shown


def state(folder: Path) -> dict[str, Any]:
    """What the program left for status_info."""
    return json.loads((folder / "state.json").read_text())


def test_metrics_of_every_kind_of_end(tmp_path: Path) -> None:
    done = {"started": 1.0, "skipped": False, "counts": {"events": 4, "rooms": 0}}
    failure = {"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "2"}

    never = metrics(tmp_path, done, **failure)
    assert never["success_timestamp_seconds"] == 0 and never["run_success"] == 0 and never["run_exit_code"] == 2
    assert (state(tmp_path)["result"], state(tmp_path)["last_success"], state(tmp_path)["last_good"]) == (
        "failed",
        None,
        None,
    )
    good = metrics(tmp_path, done, **SUCCESS)
    assert good["success_timestamp_seconds"] == good["run_timestamp_seconds"] > never["run_timestamp_seconds"]
    assert good["run_duration_seconds"] == pytest.approx(good["run_timestamp_seconds"] - 1)
    assert (good["run_success"], good["run_skipped"], good["run_exit_code"]) == (1, 0, 0)
    assert (good["run_count events"], good["run_count rooms"]) == (4, 0)
    first = state(tmp_path)
    assert first["result"] == "success" and first["ended"] == first["last_success"] == first["last_good"]

    last = good["success_timestamp_seconds"]
    skipped = metrics(tmp_path, {**done, "skipped": True, "counts": {"events": 0}}, **SUCCESS)
    assert (skipped["run_success"], skipped["run_skipped"], skipped["success_timestamp_seconds"]) == (1, 1, last)
    after = state(tmp_path)
    assert (after["result"], after["last_success"]) == ("skipped", first["last_success"])
    assert after["ended"] == after["last_good"] > first["ended"]
    killed = metrics(tmp_path, '{"start', SERVICE_RESULT="signal", EXIT_CODE="killed", EXIT_STATUS="KILL")
    assert (state(tmp_path)["result"], state(tmp_path)["last_good"]) == ("failed", after["last_good"])
    assert killed["run_exit_code"] == 128 + signal.SIGKILL and killed["success_timestamp_seconds"] == last
    assert not [name for name in killed if name.startswith("run_count") or name == "run_duration_seconds"]
    stopped = metrics(tmp_path, done, SERVICE_RESULT="timeout", EXIT_CODE="exited", EXIT_STATUS="0")
    assert stopped["run_success"] == 0 and stopped["success_timestamp_seconds"] == last


def test_shared_folders_left_behind_count_until_somebody_says_that_they_are_dealt_with(tmp_path: Path) -> None:
    """With the command of the operator's guide."""

    def left(number: int, **environment: str) -> float:
        counts = {"events": 1, "shared_folders_left_behind": number}
        return metrics(tmp_path, {"counts": counts}, **environment)["shared_folders_left_behind"]

    failure = {"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "2"}
    assert [left(0, **SUCCESS), left(2, **SUCCESS), left(0, **SUCCESS), left(1, **failure)] == [0, 2, 2, 3]
    assert metrics(tmp_path, "", **failure)["shared_folders_left_behind"] == 3
    # The number outlives the metrics, and metrics that are wanted later begin with it.
    (tmp_path / "metrics" / "job.prom").unlink()
    assert metrics(tmp_path, "", **failure)["shared_folders_left_behind"] == 3

    guide = (ROOT / "docs" / "operators-guide.md").read_text()
    (command,) = re.findall(r"^root@\w+:~# (sed -i .*) \S+\.prom$", guide, re.MULTILINE)
    path = tmp_path / "metrics" / "job.prom"
    before = path.read_text()
    subprocess.run([*shlex.split(command), path], check=True)
    sample = 'opentalk_maintenance_shared_folders_left_behind{job_type="event_cleanup"}'
    assert path.read_text() == before.replace(f"{sample} 3\n", f"{sample} 0\n") != before
    assert left(1, **SUCCESS) == 1

    # Without metrics the number is in the state.
    path.unlink()
    (command,) = re.findall(r"^root@\w+:~# (sed -i .*) \S+\.json$", guide, re.MULTILINE)
    before = json.loads((tmp_path / "state.json").read_text())
    subprocess.run([*shlex.split(command), tmp_path / "state.json"], check=True)
    assert state(tmp_path) == {**before, "shared_folders_left_behind": 0} != before
    assert left(2, **SUCCESS) == 2


@pytest.mark.parametrize(
    "calendar, hours",
    [
        ("hourly", 1),
        ("daily", 24),
        ("*-*-01", 31 * 24),
        ("Mon *-*-* 02..03:00/30", 7 * 24 - 1.5),  # the last one at 3:30
        ("Mon..Fri 03:00 Europe/Berlin", 3 * 24 + 1),  # at the end of summer time
    ],
)
def test_overdue_by_the_calendar(tmp_path: Path, calendar: str, hours: float) -> None:
    if not shutil.which("systemd-analyze"):
        missing("systemd", "systemd-analyze is not there")
    assert metrics(tmp_path, {}, calendar=calendar, **SUCCESS)["overdue_after_seconds"] == hours * 3600 + 600


@pytest.mark.parametrize("calendar", ["2099-01-01", "no calendar"])
def test_run_that_is_not_repeated_is_never_overdue(tmp_path: Path, calendar: str) -> None:
    assert "overdue_after_seconds" not in metrics(tmp_path, {}, calendar=calendar, **SUCCESS)


def test_metrics_are_replaced_as_a_whole(tmp_path: Path) -> None:
    """A reader that comes at any moment finds all of one run's metrics."""
    runs = [{"started": 1.0, "counts": {f"kind{number}": run for number in range(20_000)}} for run in range(6)]
    metrics(tmp_path, runs[0], **SUCCESS)
    path, seen, ended = tmp_path / "metrics" / "job.prom", set(), threading.Event()

    def read() -> None:
        while not ended.is_set():
            counts = re.findall(r'kind="kind\d+"\} (\d+)\n', path.read_text())
            seen.add((len(counts), len(set(counts))))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for run in runs[1:]:
            metrics(tmp_path, run, **SUCCESS)
    finally:
        ended.set()
        reader.join()
    assert seen == {(20_000, 1)}
