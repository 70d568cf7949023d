# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role timers on three hosts with a real systemd, which share one PostgreSQL and one object storage."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.settings.file import toml_parser

from support import ansible
from support.builders import Builder
from support.collection import ROOT
from support.controllers import (
    ALERTS,
    CONFIG,
    FOREIGN_UNIT,
    NEVER,
    TEXTFILES,
    Controllers,
    Played,
    changed,
    files,
    metrics,
    properties,
    unit,
    until,
)
from support.environment_lines import DIFFERENT, GOOD, SAME
from support.fleet import Fleet, Host
from support.gate import Gate, closed_gate
from support.oracle import survivors
from support.package_index import PASSWORD, PackageIndex
from support.package_repository import package_repository
from support.selection import ended_events
from support.snapshot import Snapshot
from support.world import World

JOB = "event_cleanup"
SERVICE, TIMER = unit(JOB), unit(JOB, "timer")
JOBS: dict[str, Any] = {
    JOB: {"on_calendar": NEVER, "parameters": {"days_since_last_occurrence": 30}, "timeout": 600},
    "self_check": {"on_calendar": NEVER},
    "user_cleanup": {"enabled": False},
}
# The settings of the first runs; the others want timers that fire on time.
FIRST: dict[str, Any] = {"timers_randomized_delay": 86400}
OWN_SETTINGS = "/etc/opentalk-maintenance/settings.toml"
SKIPPED = f"{JOB}: skipped, because another run of this job is in progress"
STARTED = "[INFO ] Starting job execution"
Open = Callable[..., World]


@dataclass
class Provisioned:
    """The hosts with timers, and what was seen on the way there."""

    controllers: Controllers
    index: PackageIndex
    check: Played
    changed_by_check: set[str]
    first: Played
    second: Played
    check_again: Played

    @property
    def hosts(self) -> list[Host]:
        return self.controllers.hosts


@pytest.fixture(scope="module")
def first_provisioning(fleet: Fleet, controllers: Controllers) -> Provisioned:
    before = files(fleet.hosts)
    check = controllers.provision(JOBS, "--check", "--diff", **FIRST)
    changed_by_check = changed(before, files(fleet.hosts))
    with PackageIndex(fleet.wheelhouse) as index:
        of_index = {fleet.hosts[-1].name: {"timers_wheelhouse": "", "timers_package_index": index.simple}}
        first = controllers.provision(JOBS, "-vvv", "--diff", of_host=of_index, **FIRST)
    second = controllers.provision(JOBS, **FIRST)
    check_again = controllers.provision(JOBS, "--check", on=fleet.hosts[:1], **FIRST)
    return Provisioned(controllers, index, check, changed_by_check, first, second, check_again)


@pytest.fixture
def provisioned(first_provisioning: Provisioned) -> Provisioned:
    """The only way of a test to the hosts, which are up and idle, whatever an earlier test left behind."""
    first_provisioning.controllers.restore()
    return first_provisioning


def expected(before: Snapshot, days: int) -> tuple[Snapshot, int]:
    """The database as event_cleanup must leave it, and how many events go."""
    chosen = ended_events(before, datetime.now(timezone.utc), days)
    assert chosen
    return survivors(before, "events", chosen), len(chosen)


def deletions(host: Host) -> list[int]:
    """How many events each run on the host deleted, where it deleted any."""
    lines = "\n".join(host.journal(SERVICE))
    return [
        int(number) for number in re.findall(r"^\[INFO \] Events deleted: (\d+)$", lines, re.MULTILINE) if number != "0"
    ]


def test_from_a_bare_host_to_the_first_preview(controllers: Controllers, open_world: Open) -> None:
    """It comes before the timers. No inventory names a Python, and the host is in a group or in none."""
    world, (host, *_unused), fleet = open_world(), controllers.hosts, controllers.fleet
    world.fill(events=44)
    rows, before = world.rows(), files([host])
    controllers.connect(world, [host])
    _rest, number = expected(rows, 30)

    def play(playbook: str, *options: str, group: str = "opentalk_controllers", **variables: Any) -> Played:
        arguments = ["--limit", host.name, "--extra-vars", f"opentalk_maintenance_hosts={group}", *options]
        wheels = {"timers_wheelhouse": str(fleet.wheelhouse)}
        ended = fleet.play(
            f"opentalk.maintenance.{playbook}", *arguments, variables={**wheels, **variables}, group=group
        )
        return Played(ended)

    check = play("prepare_hosts", "--check")
    assert check.succeeded and check.of(host) > 0, check.output
    assert changed(before, files([host])) == {f"{host.name}:{CONFIG}"}
    first, second = play("prepare_hosts"), play("prepare_hosts")
    assert first.succeeded and second.succeeded and second.of(host) == 0, first.output + second.output
    (version,) = set(_versions(host)) - {"current"}
    assert host.run("readlink /opt/opentalk-maintenance/current").strip() == version
    for group in ("opentalk_controllers", "ungrouped"):
        preview = play("event_cleanup", "--check", "--diff", group=group)
        assert preview.succeeded and f"-events: {number}\n" in preview.output, preview.output
        assert "[WARNING]: Host" not in preview.output and "Platform linux" not in preview.output, preview.output
    assert world.rows() == rows and world.proxy.writes == []


@contextlib.contextmanager
def _ensurepip_aside(host: Host) -> Iterator[tuple[Path, Path]]:
    """Let the Python of a host lack its module ensurepip: where the module belongs, and where it is."""
    (there,) = (host.root / "usr/lib").glob("python3.*/ensurepip")
    aside = there.with_name("ensurepip-aside")
    there.rename(aside)
    try:
        yield there, aside
    finally:
        shutil.rmtree(there, ignore_errors=True)
        aside.rename(there)


@pytest.fixture
def one_requirement(tmp_path: Path) -> str:
    """A file for `timers_requirements` that is quickly installed, for hosts on which no job runs."""
    requirements = (ROOT / "roles/timers/files/requirements.txt").read_text().splitlines(keepends=True)
    file = tmp_path / "requirements.txt"
    file.write_text(next(line for line in requirements if line.startswith("six==")))
    return str(file)


def test_packages_of_the_python_are_installed(controllers: Controllers, one_requirement: str) -> None:
    """On a host that has no lists of packages, or old ones. It comes before the timers, too."""
    fleet, host = controllers.fleet, controllers.hosts[1]
    before, program = files([host]), host.root / "usr/bin/jobs-python"

    def prepare(*options: str, **variables: Any) -> Played:
        wheels = {"timers_wheelhouse": str(fleet.wheelhouse), "timers_requirements": one_requirement}
        arguments = ["--limit", host.name, *options]
        return Played(fleet.play("opentalk.maintenance.prepare_hosts", *arguments, variables={**wheels, **variables}))

    def preview(**variables: Any) -> None:
        there = files([host])
        check = prepare("--check", **variables)
        assert check.succeeded and check.of(host) > 0, check.output
        assert check.output.count(f"Would install {variables['timers_packages'][0]}") == 1, check.output
        assert changed(there, files([host])) == set()

    with contextlib.ExitStack() as restored:
        restored.callback(program.unlink, missing_ok=True)
        repository = restored.enter_context(package_repository(host))
        ensurepip, aside = restored.enter_context(_ensurepip_aside(host))
        owner = f"{ensurepip.parent.name}-venv"
        repository.add("jobs-ensurepip", {str(ensurepip.relative_to(host.root)): aside}, replaces=owner)
        preview(timers_packages=["jobs-ensurepip"])
        played = prepare(timers_packages=["jobs-ensurepip"])
        assert played.succeeded and ensurepip.is_dir(), played.output
        repository.add("jobs-python", {"usr/bin/jobs-python": host.root / "usr/bin/python3"})
        other = {"timers_python": "jobs-python", "timers_packages": ["jobs-python"]}
        preview(**other)
        played = prepare(**other)
        assert played.succeeded and program.is_symlink(), played.output
        assert prepare(**other).of(host) == 0
        wrong = prepare(timers_python="python2.7", timers_packages=["jobs-python"])
        assert not wrong.succeeded and "python2.7 is not there or not 3.10 or newer" in wrong.output, wrong.output
    gone = controllers.provision({}, on=[host], timers_state="absent")
    assert gone.succeeded and changed(before, files([host])) == set(), gone.output


def test_from_nothing_to_timers(provisioned: Provisioned) -> None:
    check, first, second = provisioned.check, provisioned.first, provisioned.second
    assert check.succeeded, check.output
    assert check.output.count(f"Would start {TIMER}") == len(provisioned.hosts) and min(check.changes()) > 0
    assert provisioned.changed_by_check == set()
    # Settings, the alert, and for each job variables, service and timer. Directories and copied files say nothing to a reader.
    shown = re.findall(
        r"^\+\+\+ after: (?:/etc/opentalk-maintenance|/etc/systemd/system)/(.*)$", check.output, re.MULTILINE
    )
    of_jobs = [f"{job}.yml" for job in (JOB, "self_check")]
    of_jobs += [unit(job, kind) for job in (JOB, "self_check") for kind in ("service", "timer")]
    of_host = ["ansible.cfg", "opentalk-maintenance-alert@.service", *of_jobs]
    assert Counter(shown) == Counter(of_host * len(provisioned.hosts))
    assert check.output.count("+++ after") == len(shown)
    assert first.succeeded, first.output
    assert second.succeeded and second.changes() == {0}, second.output
    assert provisioned.check_again.succeeded and provisioned.check_again.changes() == {0}, (
        provisioned.check_again.output
    )
    for host in provisioned.hosts:
        listed = host.run("systemctl list-timers --all --no-legend 'opentalk-maintenance-*'")
        assert sorted(re.findall(r"\S+\.timer", listed)) == sorted([TIMER, unit("self_check", "timer")])
        assert host.run(f"systemctl is-enabled {TIMER}").strip() == "enabled"
    # Each host has a delay of its own.
    nexts = {properties(host, TIMER, "NextElapseUSecRealtime")["NextElapseUSecRealtime"] for host in provisioned.hosts}
    assert len(nexts) == len(provisioned.hosts)


def test_password_of_the_package_index_is_shown_nowhere(provisioned: Provisioned) -> None:
    host, index = provisioned.hosts[-1], provisioned.index
    assert "ansible-core" in {request.path.split("/")[2] for request in index.requests}
    assert index.shown == set()
    assert PASSWORD not in provisioned.first.output
    assert PASSWORD not in host.run("journalctl --no-pager --all -o export")
    assert host.run("find /opt/opentalk-maintenance /root -name 'pip.conf*'") == ""


def test_services_are_confined_and_hold_no_secrets(provisioned: Provisioned, open_world: Open) -> None:
    world = open_world()
    provisioned.controllers.connect(world)
    host = provisioned.hosts[0]
    assert host.run("umask").strip() == "0077"
    verdict = host.run(f"systemd-analyze security --no-pager {SERVICE} | tail -n 1")
    assert float(re.findall(r": ([\d.]+) ", verdict)[0]) <= 2.0
    # Of what the role writes, the log of a host has the names of the files only.
    assert "Do not edit." in host.run(f"systemctl cat {SERVICE}")
    assert "Do not edit." not in host.run("journalctl --no-pager --all -o export")
    wanted = {"TimeoutStartUSec": "12min", "Type": "oneshot", "User": "opentalk-maintenance"}
    wanted |= {"Nice": "10", "IOSchedulingClass": "2", "IOSchedulingPriority": "7"}  # best-effort
    assert properties(host, SERVICE, *wanted) == wanted
    assert properties(host, TIMER, "FixedRandomDelay", "Persistent") == {"FixedRandomDelay": "yes", "Persistent": "yes"}
    # The settings file is readable through its group, for the jobs and for nobody else.
    assert host.run(f"stat -c '%a %G' {CONFIG}").split() == ["640", "opentalk"]
    assert "opentalk" not in host.run("id -Gn opentalk-maintenance").split()


def test_all_hosts_fire_at_once_one_does_the_work_and_when_it_dies_another_does(
    provisioned: Provisioned, open_world: Open
) -> None:
    world, controllers, hosts = open_world(), provisioned.controllers, provisioned.hosts
    world.fill(events=44)
    controllers.connect(world)
    rows, number = expected(world.rows(), 30)

    with contextlib.ExitStack() as at_end:
        for host in hosts:  # the other tests want to be alone
            at_end.callback(host.try_run, f"systemctl stop {TIMER}")
        with closed_gate(world.proxy) as gate:
            # The time for what is outside is longer than the gate is closed.
            jobs = {JOB: {"on_calendar": "*-*-* *:*:0/10", "options": {"outside_timeout": 600}}}
            assert controllers.provision(jobs).succeeded
            worker = _worker(hosts, gate)
            for host in hosts:
                _assert_no_secrets(host, world, at_work=host is worker)
                assert (SKIPPED in host.journal(SERVICE)) == (host is not worker)
                if host is not worker:
                    values = until(lambda host=host: metrics(host, JOB), "the metrics of a run", [host])
                    assert (values["run_skipped"], values["run_success"], values["run_exit_code"]) == (1, 1, 0)
                    assert values["success_timestamp_seconds"] == 0
            gate.open()
        until(lambda: world.rows() == rows, "the deletion", hosts)
        assert set(world.objects()) == {f"assets/{asset}" for asset in world.ids("assets")}
        until(lambda: deletions(worker), "the summary of the run", hosts)
        done = {host.name: deletions(host) for host in hosts}
        assert done == {host.name: [number] * (host is worker) for host in hosts}

        # A run that came in between would take what is half made.
        for host in hosts:
            host.run(f"systemctl stop {TIMER}")
        _await_end_of_runs(hosts)
        old = datetime.now(timezone.utc) - timedelta(days=90)
        with closed_gate(world.proxy) as gate:
            build = Builder(world.connection)
            for _unused in range(3):
                build.asset(build.room_of(build.event(build.user(), starts_at=old, ends_at=old)))
            world.upload()
            rows, number = expected(world.rows(), 30)
            for host in hosts:
                host.run(f"systemctl start {TIMER}")
            worker = _worker(hosts, gate)
            worker.power_off()
            others = [host for host in hosts if host is not worker]
            gate.open()
            until(lambda: world.rows() == rows, "the deletion by another host", others)
        until(lambda: any(deletions(host) != done[host.name] for host in others), "the log of that run", others)
        assert sorted(deletions(host)[len(done[host.name]) :] for host in others) == [[], [number]]
        assert set(world.objects()) == {f"assets/{asset}" for asset in world.ids("assets")}

        worker.boot()
        worker.wait()
        until(lambda: worker.journal(SERVICE, "--boot"), "a run after the host is back", [worker])
    _await_end_of_runs(hosts)


def _await_end_of_runs(hosts: list[Host]) -> None:
    for host in hosts:
        until(lambda host=host: _state(host) == "inactive", "the end of the last run", [host])


def _state(host: Host) -> str:
    return properties(host, SERVICE, "ActiveState")["ActiveState"]


def _worker(hosts: list[Host], gate: Gate) -> Host:
    """The host that waits at the gate while the others skip."""
    until(lambda: gate.waiting, "a run", hosts)
    earlier = {host.name: host.journal(SERVICE).count(SKIPPED) for host in hosts}

    def found() -> list[Host]:
        return [host for host in hosts if host.journal(SERVICE).count(SKIPPED) == earlier[host.name]]

    until(lambda: len(found()) == 1, "that two hosts skip", hosts)
    (worker,) = found()
    return worker


def _assert_no_secrets(host: Host, world: World, *, at_work: bool) -> None:
    """No secret in units, settings of the role, the journal, or command lines and environments of processes."""
    storage = world.options["object_storage"]
    secrets = [world.server.password, world.server.url(world.database), storage["secret_key"]]
    processes = host.run("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'")
    assert (f"opentalk.maintenance.{JOB}" in processes) or not at_work
    places = {
        "processes": processes,
        "journal": host.run("journalctl --no-pager --all -o export"),
        "files": host.run("cat /etc/systemd/system/opentalk-maintenance-* /etc/opentalk-maintenance/*"),
    }
    for place, text in places.items():
        assert not [secret for secret in secrets if secret in text], f"{host.name}: {place}"


def test_parameters_of_the_inventory_reach_the_next_run_and_the_journal_has_its_log(
    provisioned: Provisioned, open_world: Open
) -> None:
    world, (host, *_unused) = open_world(), provisioned.hosts
    world.fill(events=44, assets_every=0, folders=False)
    before = world.rows()
    provisioned.controllers.connect(world)

    def provision(days: int) -> Played:
        parameters = {"days_since_last_occurrence": days}
        jobs = {JOB: {"on_calendar": NEVER, "parameters": parameters, "options": {"hide_duration": True}}}
        return provisioned.controllers.provision(jobs, on=[host])

    assert provision(20_000).succeeded
    # Some operators give the settings file to the user of the jobs.
    host.run(f"chown opentalk-maintenance {CONFIG} && chmod 600 {CONFIG}")
    host.run(f"systemctl start {SERVICE}")
    assert world.rows() == before
    reloads = _reloads(host)
    assert reloads
    again = provision(1)
    assert again.changes() == {1}, again.output
    assert _reloads(host) == reloads
    earlier = len(host.journal(SERVICE))
    host.run(f"systemctl start {SERVICE}")
    rows, number = expected(before, 1)
    assert world.rows() == rows
    assert metrics(host, JOB)["run_count events"] == number
    assert host.journal(SERVICE)[earlier:] == [
        "[INFO ] Starting job execution",
        "[INFO ] Loading parameters",
        "[INFO ] Executing event-cleanup job",
        "[INFO ]",
        f"[INFO ] Events to be deleted: {number}",
        f"[INFO ] Events deleted: {number}",
        "[INFO ]",
        "[INFO ] Job finished successfully",
        f"{JOB}: finished, events {number}, rooms {number}, invites {3 * number}",
    ]


def _reloads(host: Host) -> int:
    """How often systemd has read the units again."""
    return "\n".join(host.whole_journal("_PID=1")).count("Reloading.")


def test_failed_job_is_a_failed_unit(provisioned: Provisioned, open_world: Open) -> None:
    world, (host, *_unused) = open_world(), provisioned.hosts
    world.fill(events=44)
    before = world.rows()
    provisioned.controllers.connect(world)
    assert provisioned.controllers.provision({JOB: {"on_calendar": "*-02-29 03:00"}}, on=[host]).succeeded
    good = metrics(host, JOB)

    wrong = world.options["database_url"].replace(world.server.password, "planted-password")
    provisioned.controllers.connect(world, [host], database_url=wrong)
    assert host.try_run(f"systemctl start {SERVICE}").returncode != 0
    assert properties(host, SERVICE, "ActiveState", "Result") == {"ActiveState": "failed", "Result": "exit-code"}
    alert = f"cat {ALERTS}/{SERVICE}"
    until(lambda: host.try_run(alert).stdout == "failed\n", "the unit for failures", [host])
    until(lambda: host.try_run(f"grep Unit: {ALERTS}/{JOB}.told").stdout, "the command for alerts", [host])
    told = host.run(f"cat {ALERTS}/{JOB}.told")
    values = metrics(host, JOB)
    assert (values["run_success"], values["run_exit_code"], values["run_skipped"]) == (0, 2, 0)
    assert values["success_timestamp_seconds"] == good.get("success_timestamp_seconds", 0)
    assert values["run_timestamp_seconds"] > good.get("run_timestamp_seconds", 0)
    assert values["overdue_after_seconds"] > 4 * 365 * 86400
    *_unused, reason, summary = host.journal(SERVICE, "--priority=err")
    assert reason.startswith("[ERROR] Job failed: ") and "password" in reason
    reason = reason.removeprefix("[ERROR] Job failed: ")
    assert summary == f"{JOB}: failed. {reason}"
    assert told == f"The maintenance job {JOB} of OpenTalk failed on {host.name}.\n\n{reason}\n\nUnit: {SERVICE}\n"
    # With the command of the operator's guide.
    assert host.run(_command_for_the_reason()) == summary + "\n"
    assert "planted-password" not in host.run("journalctl --no-pager --all -o export")

    provisioned.controllers.connect(world, [host])
    with closed_gate(world.proxy) as gate:
        host.run(f"systemctl start --no-block {SERVICE}")
        until(lambda: gate.waiting, "the run", [host])
        host.run(f"systemctl kill --signal=KILL {SERVICE}")
        until(lambda: _state(host) == "failed", "the failure", [host])
    world.settle()
    values = metrics(host, JOB)
    assert (values["run_success"], values["run_exit_code"]) == (0, 137)
    assert "run_count events" not in values
    assert world.rows() == before
    host.run(f"systemctl start {SERVICE}")
    assert world.rows() == expected(before, 30)[0]
    assert metrics(host, JOB)["run_success"] == 1
    host.run(f"mv {TEXTFILES} {TEXTFILES}.gone; systemctl start {SERVICE}; mv {TEXTFILES}.gone {TEXTFILES}")
    assert properties(host, SERVICE, "ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}


def _command_for_the_reason() -> str:
    (command,) = re.findall(
        r"^root@\w+:~# (journalctl -t opentalk-maintenance-event-cleanup -p err .*)$",
        (ROOT / "docs" / "operators-guide.md").read_text(),
        re.MULTILINE,
    )
    return str(command)


def test_status_of_all_hosts(provisioned: Provisioned, open_world: Open) -> None:
    world, (alpha, beta, gamma), controllers = open_world(), provisioned.hosts, provisioned.controllers
    controllers.connect(world)
    options = {"audit_log": "/var/log/opentalk-maintenance/audit.jsonl"}
    assert controllers.provision({JOB: {"on_calendar": "daily", "timeout": 600, "options": options}}).succeeded
    # Their earlier runs may have failed or succeeded in another test. Both files of a job remember that.
    for host in provisioned.hosts:
        host.run(f"rm -f /var/lib/opentalk-maintenance/* {TEXTFILES}/*; systemctl reset-failed {SERVICE} || true")
    alpha.run(f"systemctl start {SERVICE}")
    good = controllers.status()
    assert good.succeeded and good.changes() == {0}, good.output
    for host in provisioned.hosts:
        (row,) = re.findall(rf"{host.name}  +{JOB} .*", good.output)
        # Earlier runs of other tests may have left folders behind.
        others = r" on +(DAY|-) +(success|skipped|-) +(DAY|-) +DAY +no +\d+"
        pattern = r" on +DAY +success +DAY +DAY +no +\d+" if host is alpha else others
        assert re.search(pattern.replace("DAY", r"\d{4}-\d\d-\d\d \d\d:\d\d"), row), row

    # A run a day, ten minutes of work and two more until systemd ends it. The delay is 0.
    state = f"/var/lib/opentalk-maintenance/{JOB}.json"
    alpha.run(f"sed -i -E 's/(\"last_(good|success)\": )[0-9.]+/\\1'$(($(date +%s) - 86400 - 721))'/' {state}")
    beta.run(f"systemctl stop {TIMER}")
    controllers.connect(world, [gamma], database_url="postgres://nobody@127.0.0.1:1/nothing")
    assert gamma.try_run(f"systemctl start {SERVICE}").returncode != 0
    bad = controllers.status(**{beta.name: {"ansible_become_user": "nobody-made-this"}})
    assert not bad.succeeded
    for sentence in (
        f"{alpha.name}: {JOB}: it is overdue, because it has not been run since",
        f"{gamma.name}: {JOB}: the last run failed. ",
        f"{beta.name}: not known, because it could not be asked.",
        f"{JOB}: no host has done its work since",
    ):
        assert sentence in bad.output, bad.output
    unreachable = controllers.status(on=[alpha, beta], **{alpha.name: {"ansible_port": 1}})
    assert (
        not unreachable.succeeded and f"{alpha.name}: not known, because it could not be asked." in unreachable.output
    )
    assert f"{beta.name}: {JOB}: its timer does not run" in unreachable.output
    gamma.run(f"rm -f {ALERTS}/*")


def test_running_job_is_left_alone(provisioned: Provisioned, open_world: Open, tmp_path: Path) -> None:
    """Calendar, time limit, collection and set of jobs change, and everything shall go, while a job is at work."""
    world, (host, *_unused), controllers = open_world(), provisioned.hosts, provisioned.controllers
    world.fill(events=44)
    rows, _unused = expected(world.rows(), 30)
    controllers.connect(world)
    environment = {"EXTRA": 'a "b" 100%h $c ü \\', "NUMBER": 1}
    # The time for what is outside is longer than the gate is closed.
    jobs = {**JOBS, JOB: {**JOBS[JOB], "options": {"outside_timeout": 600}}}
    assert controllers.provision(jobs, on=[host], timers_environment=environment).succeeded
    versions = set(_versions(host))
    run = ("InvocationID", "MainPID", "ActiveState", "TimeoutStartUSec")

    def at_work() -> dict[str, str]:
        return properties(host, SERVICE, *run)

    with _short_limit_of_units_without_one(host), closed_gate(world.proxy) as gate:
        host.run(f"systemctl start --no-block {SERVICE}")
        until(lambda: gate.waiting, "the run", [host])
        before = at_work()
        shown = set(host.run(f"cat /proc/{before['MainPID']}/environ").split("\0"))
        assert {f"{name}={value}" for name, value in environment.items()} <= shown
        assert before["ActiveState"] == "activating" and before["MainPID"] != "0"
        # The calendar has a time that has passed: a timer that is restarted carelessly would fire for it at once.
        passed = host.run("date --date='1 second ago' '+%Y-%m-%d %H:%M:%S'").strip()
        # The new time limit has passed as well.
        jobs = {JOB: {"on_calendar": passed, "timeout": 1}}
        options = ("--extra-vars", json.dumps({"_timers_startup_allowance": 1}))
        lowered = controllers.provision(jobs, *options, on=[host], collections_path=_other_version(tmp_path))
        assert lowered.succeeded, lowered.output
        assert f"{SERVICE} is running: systemd keeps its time limit of 720 s until its run ends" in lowered.output
        left = host.run("ls /etc/systemd/system /etc/opentalk-maintenance").split()
        assert {SERVICE, TIMER, f"{JOB}.yml"} <= set(left) and not [name for name in left if name.count("self")]
        (new_version,) = set(_versions(host)) - versions
        assert new_version in host.run(f"systemctl cat {SERVICE}") and set(_versions(host)) >= versions

        disabled = controllers.provision({"self_check": {"on_calendar": NEVER}}, on=[host])
        assert disabled.succeeded, disabled.output
        assert f"{SERVICE} is running: its service and its settings are left until its run ends" in disabled.output
        left = host.run("ls /etc/systemd/system /etc/opentalk-maintenance").split()
        assert {SERVICE, f"{JOB}.yml"} <= set(left) and TIMER not in left
        refused = controllers.provision({}, on=[host], timers_state="absent")
        assert not refused.succeeded, refused.output
        assert f"{SERVICE} is running, so nothing is removed" in refused.output
        time.sleep(1)  # systemd ends what is over its time limit right after it has read that
        assert at_work() == before
        gate.open()
        until(lambda: _state(host) == "inactive", "the end of the run", [host])
    assert world.rows() == rows
    assert (metrics(host, JOB)["run_success"], metrics(host, JOB)["run_exit_code"]) == (1, 0)
    runs = host.journal(SERVICE).count(STARTED)

    assert controllers.provision({"self_check": {"on_calendar": NEVER}}, on=[host]).succeeded
    assert properties(host, SERVICE, "LoadState") == {"LoadState": "not-found"}
    assert not [name for name in host.run(f"ls /etc/opentalk-maintenance {TEXTFILES}").split() if name.count(JOB)]
    assert set(_versions(host)) == versions
    assert controllers.provision({JOB: {"on_calendar": passed}}, on=[host]).succeeded
    assert properties(host, TIMER, "ActiveState")["ActiveState"] == "active"
    assert host.journal(SERVICE).count(STARTED) == runs


@contextlib.contextmanager
def _short_limit_of_units_without_one(host: Host) -> Iterator[None]:
    file = host.root / "etc/systemd/system.conf.d/test.conf"
    file.parent.mkdir(exist_ok=True)
    file.write_text("[Manager]\nDefaultTimeoutStartSec=2\n")
    host.run("systemctl daemon-reload")
    assert "DefaultTimeoutStartUSec=2s" in host.run("systemctl show --property=DefaultTimeoutStartUSec")
    try:
        yield
    finally:
        file.unlink()
        file.parent.rmdir()
        host.run("systemctl daemon-reload")


def _versions(host: Host) -> list[str]:
    return host.run("ls /opt/opentalk-maintenance").split()


def _other_version(folder: Path) -> str:
    """The collection, with a change that makes no difference: a value for ANSIBLE_COLLECTIONS_PATH."""
    copy = folder / "ansible_collections/opentalk/maintenance"
    for part in ("plugins", "playbooks", "meta", "roles"):
        shutil.copytree(ROOT / part, copy / part)
    for part in ("galaxy.yml", "README.md"):
        shutil.copy(ROOT / part, copy / part)
    with (copy / "playbooks" / "self_check.yml").open("a") as file:
        file.write("# Another version\n")
    return str(folder)


def test_timers_that_somebody_disabled_fire_again(provisioned: Provisioned) -> None:
    (host, *_unused), controllers = provisioned.hosts, provisioned.controllers
    timers = [TIMER, unit("self_check", "timer")]
    assert controllers.provision(JOBS, on=[host]).succeeded
    host.run(f"systemctl disable --now {' '.join(timers)}")
    before = files([host])
    check = controllers.provision(JOBS, "--check", on=[host])
    for timer in timers:
        assert f"Would start {timer}" in check.output and f"Would enable {timer}" in check.output
    assert check.succeeded and check.of(host) == 2 and changed(before, files([host])) == set()
    played = controllers.provision(JOBS, on=[host])
    assert played.succeeded, played.output
    for timer in timers:
        wanted = {"ActiveState": "active", "UnitFileState": "enabled"}
        assert properties(host, timer, *wanted) == wanted
    again = controllers.provision(JOBS, on=[host])
    assert again.changes() == {0}, again.output


def test_wrong_calendars_stop_before_anything_changes(provisioned: Provisioned) -> None:
    """Also on a host that has none."""
    alpha, beta, gamma = provisioned.hosts
    before = files(provisioned.hosts)
    jobs = {JOB: {"on_calendar": "daily", "parameters": {"days_since_last_occurrence": 99}}}
    wrong = {alpha: ("every now and then", "Invalid argument"), beta: ("--help", "Failed to parse")}
    of_host = {
        host.name: {"timers_jobs": {JOB: {"on_calendar": calendar}}} for host, (calendar, _reason) in wrong.items()
    }
    of_host[gamma.name] = {"timers_on_failure": "nobody-made-this@%n.service"}
    played = provisioned.controllers.provision(jobs, of_host=of_host)
    assert not played.succeeded and played.changes() == {0}
    assert "systemd does not know the unit nobody-made-this@.service, so nobody would be told" in played.output
    for calendar, reason in wrong.values():
        assert re.search(
            rf"timers_jobs\.{JOB}\.on_calendar: .*({calendar}.*{reason}|{reason}.*{calendar})", played.output
        )
    assert changed(before, files(provisioned.hosts)) == set()


def test_what_the_jobs_cannot_use_stops_before_anything_changes(provisioned: Provisioned) -> None:
    """Mistakes on each host, and the sentences that name them."""
    alpha, beta, gamma = provisioned.hosts
    for host in provisioned.hosts:
        host.run(f"chmod 644 {CONFIG}")
    beta.run("chmod 700 /etc/opentalk")
    before = files(provisioned.hosts)
    paths = {"audit_log": "/srv/nothing/audit.jsonl", "ca_path": "/etc/nothing.pem"}
    of_host = {
        alpha.name: {"timers_settings_group": "nobody-made-this"},
        gamma.name: {"timers_jobs": {JOB: {"on_calendar": NEVER, "options": paths}}},
    }
    played = provisioned.controllers.provision(JOBS, of_host=of_host)
    assert not played.succeeded and played.changes() == {0}
    for sentence in (
        "The group nobody-made-this is not there, and without it systemd starts no job",
        f"timers_controller_config: {CONFIG} is not there, or cannot be read by opentalk-maintenance through the group",
        f"timers_jobs.{JOB}.options.ca_path: /etc/nothing.pem is not there",
        f"timers_jobs.{JOB}.options.audit_log: the directory /srv/nothing is not there",
    ):
        assert sentence in played.output
    assert changed(before, files(provisioned.hosts)) == set()


def test_mistyped_name_removes_no_timer(provisioned: Provisioned) -> None:
    (host, *_unused) = provisioned.hosts
    assert provisioned.controllers.provision(JOBS, on=[host]).succeeded
    before = files([host])
    for variables, sentence in (
        ({"timer_jobs": {}}, "The variable timer_jobs sets nothing; did you mean timers_jobs?"),
        ({"timers_jobs": {}}, "timers_jobs enables no job, so all timers would be removed"),
    ):
        played = provisioned.controllers.provision(variables.pop("timers_jobs", JOBS), on=[host], **variables)
        assert not played.succeeded and sentence in played.output, played.output
        assert changed(before, files([host])) == set()


def test_settings_of_the_inventory_are_enough_on_a_host_without_the_controllers_file(
    provisioned: Provisioned, open_world: Open, tmp_path: Path
) -> None:
    """Secrets are in a vault and shown nowhere. A preview writes nothing."""
    world, (host, *_unused), controllers = open_world(), provisioned.hosts, provisioned.controllers
    world.fill(events=44)
    rows, _unused = expected(world.rows(), 30)
    url, storage = world.options["database_url"], world.options["object_storage"]
    password, variables = tmp_path / "password", tmp_path / "variables.yml"
    password.write_text("a password")
    odd = {"text": "\"'\\\x7f\n# ü", "numbers": [1, 2.5, True], "inner table": {"a": ""}}
    plain = {name: value for name, value in storage.items() if name != "secret_key"}
    variables.write_text(
        f"the_url: {ansible.vaulted(url, password)}\n"
        f"timers_settings:\n  http: {json.dumps(odd)}\n  database: {{url: '{{{{ the_url }}}}'}}\n  minio:\n"
        + "".join(f"    {name}: {json.dumps(value)}\n" for name, value in plain.items())
        + f"    secret_key: {ansible.vaulted(storage['secret_key'], password)}\n"
    )

    def provision(*options: str) -> Played:
        arguments = ("-e", f"@{variables}", "--vault-password-file", str(password), "--diff", "-vvv", *options)
        # The controller's group is not needed then.
        return controllers.provision(
            {JOB: {"on_calendar": NEVER}}, *arguments, on=[host], timers_settings_group="nobody"
        )

    with _without_settings_file(host):
        before = files([host])
        preview = provision("--check")
        assert preview.succeeded and changed(before, files([host])) == set(), preview.output
        first = provision()
        assert first.succeeded, first.output
        again = provision("--check")
        assert again.succeeded and again.changes() == {0}, again.output
        host.run(f"systemctl start {SERVICE}")
    assert world.rows() == rows
    written = host.root / OWN_SETTINGS.lstrip("/")
    assert toml_parser().loads(written.read_text()) == {"http": odd, "database": {"url": url}, "minio": storage}
    assert host.run(f"stat -c '%a %U %G' {OWN_SETTINGS}").split() == ["640", "root", "opentalk-maintenance"]
    journal = host.run("journalctl --no-pager --all -o export")
    for secret in (url, world.server.password, storage["secret_key"]):
        assert not [text for text in (preview.output, first.output, again.output, journal) if secret in text]
    assert controllers.provision({JOB: {"on_calendar": NEVER}}, on=[host]).succeeded
    assert not written.exists()


def test_environment_file_of_the_container_overrides_and_odd_lines_are_refused(
    provisioned: Provisioned, open_world: Open
) -> None:
    world, (host, *_unused), controllers = open_world(), provisioned.hosts, provisioned.controllers
    world.fill(events=44)
    rows, _unused = expected(world.rows(), 30)
    # Where a service sees nothing, with a mode that leaves only root in.
    path = "/home/opentalk/controller.env"
    file = host.root / path.lstrip("/")
    storage = world.options["object_storage"]
    lines = [
        f"OPENTALK_CTRL_DATABASE__URL={world.options['database_url']}",
        *(f"OPENTALK_CTRL_MINIO__{name.upper()}='{value}'" for name, value in storage.items()),
    ]

    def provision(*lines: str, **variables: Any) -> Played:
        file.write_text("".join(f"{line}\n" for line in lines))
        return controllers.provision(
            {JOB: {"on_calendar": NEVER}}, on=[host], timers_environment_file=path, **variables,
            timers_environment={"OPENTALK_CTRL_MINIO__BUCKET": "overridden", "EXTRA": "1"},
        )  # fmt: skip

    host.run(f"install -d -m 700 {os.path.dirname(path)}")
    with _without_settings_file(host):
        before = files([host])
        refused = provision(
            "# A comment", *lines, "OPENTALK_CTRL_MINIO__SECRET_KEY=plan$ted", timers_controller_config=""
        )
        assert not refused.succeeded and refused.changes() == {0}
        number = len(lines) + 2
        assert f"{path}, line {number} (OPENTALK_CTRL_MINIO__SECRET_KEY): Compose replaces" in refused.output
        assert "plan$ted" not in refused.output and world.server.password not in refused.output
        assert changed(before, files([host])) == {f"{host.name}:{path}"}

        played = provision("# A comment", *lines, timers_controller_config="")
        assert played.succeeded, played.output
        host.run(f"chmod 600 {path}")
        host.run(f"systemctl start {SERVICE}")
    assert world.rows() == rows
    assert host.run(f"grep -v '^#' {OWN_SETTINGS} || true").strip() == ""
    for secret in (world.server.password, storage["secret_key"]):
        assert secret not in host.run("journalctl --no-pager --all -o export") + played.output
    assert controllers.provision({JOB: {"on_calendar": NEVER}}, on=[host]).succeeded
    assert host.try_run(f"cat {OWN_SETTINGS}").returncode != 0
    assert "EnvironmentFile" not in host.run(f"systemctl cat {SERVICE}")
    host.run(f"rm -r {os.path.dirname(path)}")


def test_systemd_reads_environment_files_as_it_is_said(provisioned: Provisioned) -> None:
    """The lines that are taken as Compose reads them, and each line that is refused in another way."""
    (host, *_unused) = provisioned.hosts
    path = host.root / "etc/opentalk/lines.env"

    def read(content: str) -> dict[str, str]:
        path.write_text(content, newline="")
        shown = host.run("systemd-run --quiet --wait --pipe -p EnvironmentFile=/etc/opentalk/lines.env /usr/bin/env -0")
        return dict(pair.split("=", 1) for pair in shown.split("\0") if pair)

    found = read(GOOD)
    assert {name: found[name] for name in SAME} == {name: value for name, (_rest, value) in SAME.items()}
    assert found["OPENTALK_CTRL_LAST"] == "x" and not {"COMPOSE_PROJECT_NAME", "NAME_ALONE", "PYTHON"} & found.keys()
    different = "".join(f"A{number}{rest}\nNEXT{number}=x\n" for number, (rest, *_unused) in enumerate(DIFFERENT))
    found = read(f"export OPENTALK_CTRL_A=1\nOPENTALK_CTRL_B.C=1\n{different}")
    assert not [name for name in found if name.startswith("OPENTALK_CTRL_")]
    for number, (rest, by_compose, _reason) in enumerate(DIFFERENT):
        assert found.get(f"A{number}") != by_compose, rest
    path.unlink()


@contextlib.contextmanager
def _without_settings_file(host: Host) -> Iterator[None]:
    host.run(f"mv {CONFIG} {CONFIG}.away")
    try:
        yield
    finally:
        host.run(f"mv {CONFIG}.away {CONFIG}")


def test_wheels_in_a_relative_directory_and_packages_that_cannot_be_had(
    provisioned: Provisioned, one_requirement: str
) -> None:
    """It comes late, because the other tests would make the first environment again."""
    (host, *_unused), fleet = provisioned.hosts, provisioned.controllers.fleet
    relative = os.path.relpath(fleet.wheelhouse, fleet.folder)
    further = {"timers_requirements": one_requirement}
    nowhere = {"timers_wheelhouse": "", "timers_package_index": "http://user:planted-password@127.0.0.1:9/simple"}
    failed = provisioned.controllers.provision(JOBS, on=[host], **further, **nowhere)
    assert not failed.succeeded and "planted-password" not in failed.output
    assert "pip cannot install the Python packages (" in failed.output
    assert "timers_wheelhouse" in failed.output and "timers_package_index" in failed.output
    leads_to = "readlink /opt/opentalk-maintenance/current"
    first = host.run(leads_to)
    played = provisioned.controllers.provision(JOBS, on=[host], **further, timers_wheelhouse=relative)
    assert played.succeeded, played.output
    other = host.run(leads_to)
    assert other != first and f"/{other.strip()}/bin/ansible-playbook" in host.run(f"systemctl cat {SERVICE}")


def test_removal_leaves_nothing_behind(provisioned: Provisioned) -> None:
    """The last test, because it takes the timers away."""
    controllers = provisioned.controllers
    there = files(provisioned.hosts)
    check = controllers.provision({}, "--check", on=provisioned.hosts[:1], timers_state="absent")
    assert check.succeeded, check.output
    for directory in ("/opt/opentalk-maintenance", "/etc/opentalk-maintenance"):
        assert f"changed: [{provisioned.hosts[0].name}] => (item={directory})" in check.output
    assert changed(there, files(provisioned.hosts)) == set()
    logs = "/var/log/opentalk-maintenance"
    provisioned.hosts[0].run(f"install -D -m 640 -o opentalk-maintenance /dev/null {logs}/audit.jsonl")
    check = controllers.provision({}, "--check", on=provisioned.hosts[:1], timers_state="absent")
    removal = controllers.provision({}, timers_state="absent")
    assert removal.succeeded, removal.output
    # What a preview of the removal foretells is what happens.
    assert check.of(provisioned.hosts[0]) == removal.of(provisioned.hosts[0])
    assert provisioned.hosts[0].run(f"stat -c %U:%G {logs} {logs}/audit.jsonl").split() == ["root:root"] * 2
    provisioned.hosts[0].run(f"rm -r {logs}")
    paths = (f"{ALERTS}/{SERVICE}", f"{ALERTS}/{JOB}.told", CONFIG)
    test_files = {f"{host.name}:{path}" for host in provisioned.hosts for path in paths}
    # A directory in which others have something stays, with the mode that the role gave it.
    shared = f"{provisioned.hosts[-1].name}:/etc/opentalk-maintenance"
    assert changed(controllers.bare, files(provisioned.hosts)) - test_files == {shared}
    for host in provisioned.hosts:
        units = host.run("systemctl list-units --all --plain --no-legend 'opentalk-maintenance*'")
        assert [line.split()[0] for line in units.splitlines()] == [FOREIGN_UNIT] * (host is provisioned.hosts[-1])
        assert host.try_run("getent passwd opentalk-maintenance || getent group opentalk-maintenance").returncode == 2
    assert controllers.provision({}, on=provisioned.hosts[:1], timers_state="absent").changes() == {0}
