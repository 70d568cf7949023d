# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role timers on three hosts with a real systemd, which share one PostgreSQL and one object storage."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from support.builders import Builder
from support.controllers import (
    ALERTS,
    CONFIG,
    NEVER,
    Controllers,
    Files,
    Played,
    changed,
    files,
    metrics,
    properties,
    unit,
    until,
)
from support.fleet import Fleet, Host
from support.gate import Gate, closed_gate
from support.oracle import survivors
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
SKIPPED = f"{JOB}: skipped, because another run of this job is in progress"
STARTED = "[INFO ] Starting job execution"
Open = Callable[..., World]


@dataclass
class Provisioned:
    """The hosts with timers, and what was seen on the way there."""

    controllers: Controllers
    before: Files
    check: Played
    changed_by_check: set[str]
    first: Played
    second: Played
    check_again: Played

    @property
    def hosts(self) -> list[Host]:
        return self.controllers.hosts


@pytest.fixture(scope="module")
def provisioned(fleet: Fleet) -> Provisioned:
    controllers = Controllers(fleet)
    before = files(fleet.hosts)
    check = controllers.provision(JOBS, "--check")
    changed_by_check = changed(before, files(fleet.hosts))
    first, second = controllers.provision(JOBS), controllers.provision(JOBS)
    check_again = controllers.provision(JOBS, "--check", on=fleet.hosts[:1])
    return Provisioned(controllers, before, check, changed_by_check, first, second, check_again)


def expected(before: Snapshot, days: int) -> tuple[Snapshot, int]:
    """The database as event_cleanup must leave it, and how many events go."""
    chosen = ended_events(before, datetime.now(timezone.utc), days)
    assert chosen
    return survivors(before, "events", chosen), len(chosen)


def deletions(host: Host, *options: str) -> list[int]:
    """How many events each run on the host deleted, where it deleted any."""
    lines = "\n".join(host.journal(SERVICE, *options))
    return [
        int(number) for number in re.findall(r"^\[INFO \] Events deleted: (\d+)$", lines, re.MULTILINE) if number != "0"
    ]


def test_from_nothing_to_timers(provisioned: Provisioned) -> None:
    check, first, second = provisioned.check, provisioned.first, provisioned.second
    assert check.succeeded, check.output
    assert check.output.count(f"Would start {TIMER}") == len(provisioned.hosts) and min(check.changes()) > 0
    assert provisioned.changed_by_check == set()
    assert first.succeeded, first.output
    assert second.succeeded and second.changes() == {0}, second.output
    assert provisioned.check_again.succeeded and provisioned.check_again.changes() == {0}, (
        provisioned.check_again.output
    )
    for host in provisioned.hosts:
        listed = host.run("systemctl list-timers --all --no-legend 'opentalk-maintenance-*'")
        assert sorted(re.findall(r"\S+\.timer", listed)) == sorted([TIMER, unit("self_check", "timer")])
        assert host.run(f"systemctl is-enabled {TIMER}").strip() == "enabled"


def test_services_are_confined_and_hold_no_secrets(provisioned: Provisioned, open_world: Open) -> None:
    world = open_world()
    provisioned.controllers.connect(world)
    host = provisioned.hosts[0]
    verdict = host.run(f"systemd-analyze security --no-pager {SERVICE} | tail -n 1")
    assert float(re.findall(r": ([\d.]+) ", verdict)[0]) <= 2.0
    shown = properties(host, SERVICE, "TimeoutStartUSec", "Type", "User")
    assert shown == {"TimeoutStartUSec": "12min", "Type": "oneshot", "User": "opentalk-maintenance"}
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
            assert controllers.provision({JOB: {"on_calendar": "*-*-* *:*:0/5"}}).succeeded
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

        old = datetime.now(timezone.utc) - timedelta(days=90)
        with closed_gate(world.proxy) as gate:
            start = time.time()
            build = Builder(world.connection)
            for _unused in range(3):
                build.asset(build.room_of(build.event(build.user(), starts_at=old, ends_at=old)))
            world.upload()
            rows, number = expected(world.rows(), 30)
            worker = _worker(hosts, gate)
            worker.power_off()
            others = [host for host in hosts if host is not worker]
            gate.open()
            until(lambda: world.rows() == rows, "the deletion by another host", others)
        until(lambda: any(deletions(host, f"--since=@{start:.0f}") for host in others), "the log of that run", others)
        assert sorted(deletions(host, f"--since=@{start:.0f}") for host in others) == [[], [number]]
        assert set(world.objects()) == {f"assets/{asset}" for asset in world.ids("assets")}

        worker.boot()
        worker.wait()
        until(lambda: worker.journal(SERVICE, "--boot"), "a run after the host is back", [worker])
    for host in hosts:
        until(lambda host=host: _state(host) == "inactive", "the end of the last run", [host])


def _state(host: Host) -> str:
    return properties(host, SERVICE, "ActiveState")["ActiveState"]


def _worker(hosts: list[Host], gate: Gate) -> Host:
    """The host that waits at the gate while the others skip."""
    until(lambda: gate.waiting, "a run", hosts)
    start = time.time()

    def found() -> list[Host]:
        return [host for host in hosts if SKIPPED not in host.journal(SERVICE, f"--since=@{start:.3f}")]

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
    host.run(f"systemctl start {SERVICE}")
    assert world.rows() == before
    reloads = host.run("journalctl --no-pager -o cat _PID=1").count("Reloading.")
    assert provision(1).changes() == {1}
    assert host.run("journalctl --no-pager -o cat _PID=1").count("Reloading.") == reloads
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


def test_failed_job_is_a_failed_unit(provisioned: Provisioned, open_world: Open) -> None:
    world, (host, *_unused) = open_world(), provisioned.hosts
    world.fill(events=44)
    before = world.rows()
    provisioned.controllers.connect(world)
    assert provisioned.controllers.provision({JOB: {"on_calendar": NEVER}}, on=[host]).succeeded
    good = metrics(host, JOB)

    wrong = world.options["database_url"].replace(world.server.password, "planted-password")
    provisioned.controllers.connect(world, [host], database_url=wrong)
    assert host.try_run(f"systemctl start {SERVICE}").returncode != 0
    assert properties(host, SERVICE, "ActiveState", "Result") == {"ActiveState": "failed", "Result": "exit-code"}
    alert = f"cat {ALERTS}/{SERVICE}"
    until(lambda: host.try_run(alert).stdout == "failed\n", "the unit for failures", [host])
    values = metrics(host, JOB)
    assert (values["run_success"], values["run_exit_code"], values["run_skipped"]) == (0, 2, 0)
    assert values["success_timestamp_seconds"] == good["success_timestamp_seconds"]
    assert values["run_timestamp_seconds"] > good["run_timestamp_seconds"]
    *_unused, reason, summary = host.journal(SERVICE, "--priority=err")
    assert reason.startswith("[ERROR] Job failed: ") and "password" in reason
    assert summary == f"{JOB}: failed. {reason.removeprefix('[ERROR] Job failed: ')}"
    assert "planted-password" not in host.run("journalctl --no-pager --all -o export")

    provisioned.controllers.connect(world, [host])
    with closed_gate(world.proxy) as gate:
        host.run(f"systemctl start --no-block {SERVICE}")
        until(lambda: gate.waiting, "the run", [host])
        host.run(f"systemctl kill --signal=KILL {SERVICE}")
        until(lambda: _state(host) == "failed", "the failure", [host])
    values = metrics(host, JOB)
    assert (values["run_success"], values["run_exit_code"]) == (0, 137)
    assert "run_count events" not in values
    assert world.rows() == before
    host.run(f"systemctl start {SERVICE}")
    assert world.rows() == expected(before, 30)[0]
    assert metrics(host, JOB)["run_success"] == 1


def test_running_job_is_left_alone(provisioned: Provisioned, open_world: Open) -> None:
    """Calendar, time limit and set of jobs change, and everything shall go, while a job is at work."""
    world, (host, *_unused), controllers = open_world(), provisioned.hosts, provisioned.controllers
    world.fill(events=44)
    rows, _unused = expected(world.rows(), 30)
    controllers.connect(world)
    assert controllers.provision(JOBS, on=[host]).succeeded
    old_version = host.root / "opt/opentalk-maintenance/venv-of-before"
    old_version.mkdir()
    run = ("InvocationID", "MainPID", "ActiveState")
    with closed_gate(world.proxy) as gate:
        host.run(f"systemctl start --no-block {SERVICE}")
        until(lambda: gate.waiting, "the run", [host])
        at_work = properties(host, SERVICE, *run)
        assert at_work["ActiveState"] == "activating"
        # The calendar has a time that has passed: a timer that is restarted carelessly would fire for it at once.
        passed = host.run("date --date='1 second ago' '+%Y-%m-%d %H:%M:%S'").strip()
        changed = controllers.provision({JOB: {"on_calendar": passed, "timeout": 300}}, on=[host])
        assert changed.succeeded, changed.output
        assert properties(host, SERVICE, *run) == at_work
        assert properties(host, SERVICE, "TimeoutStartUSec") == {"TimeoutStartUSec": "7min"}
        assert old_version.exists()
        left = host.run("ls /etc/systemd/system /etc/opentalk-maintenance").split()
        assert {SERVICE, TIMER, f"{JOB}.yml"} <= set(left) and not [name for name in left if name.count("self")]
        refused = controllers.provision({}, on=[host], timers_state="absent")
        assert not refused.succeeded and f"{SERVICE} is running" in refused.output
        assert properties(host, SERVICE, *run) == at_work
        gate.open()
        until(lambda: _state(host) == "inactive", "the end of the run", [host])
    assert world.rows() == rows
    runs = host.journal(SERVICE).count(STARTED)

    assert controllers.provision({JOB: {"on_calendar": passed}}, on=[host]).succeeded
    assert properties(host, TIMER, "ActiveState")["ActiveState"] == "active"
    assert host.journal(SERVICE).count(STARTED) == runs
    assert not old_version.exists()


def test_wrong_calendar_stops_before_anything_changes(provisioned: Provisioned) -> None:
    host = provisioned.hosts[0]
    before = files([host])
    played = provisioned.controllers.provision({JOB: {"on_calendar": "every now and then"}}, on=[host])
    assert not played.succeeded and played.changes() == {0}
    assert re.search(rf"timers_jobs\.{JOB}\.on_calendar: .*every now and then.*Invalid argument", played.output)
    assert changed(before, files([host])) == set()


def test_removal_leaves_nothing_behind(provisioned: Provisioned) -> None:
    """The last test, because it takes the timers away."""
    controllers = provisioned.controllers
    there = files(provisioned.hosts)
    assert controllers.provision({}, "--check", on=provisioned.hosts[:1], timers_state="absent").succeeded
    assert changed(there, files(provisioned.hosts)) == set()
    removal = controllers.provision({}, timers_state="absent")
    assert removal.succeeded, removal.output
    test_files = {f"{host.name}:{path}" for host in provisioned.hosts for path in (f"{ALERTS}/{SERVICE}", CONFIG)}
    assert changed(provisioned.before, files(provisioned.hosts)) - test_files == set()
    for host in provisioned.hosts:
        assert host.run("systemctl list-units --all --no-legend 'opentalk-maintenance*'") == ""
        assert host.try_run("getent passwd opentalk-maintenance || getent group opentalk-maintenance").returncode == 2
    assert controllers.provision({}, on=provisioned.hosts[:1], timers_state="absent").changes() == {0}
