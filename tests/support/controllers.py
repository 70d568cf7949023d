# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller hosts to which the role timers is applied, and ways to see its work there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.fleet import HANGS, Fleet, Host
from support.world import World

CONFIG = "/etc/opentalk/controller.toml"
TEXTFILES = "/var/lib/prometheus/node-exporter"
ALERTS = "/var/lib/test-alerts"
NEVER = "2099-01-01 00:00"
_ALERT = f"[Unit]\nDescription=Alert\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo failed >> {ALERTS}/%i'\n"
# For the job's own alert command, which runs as the user of the jobs.
_TELL = ["/bin/sh", "-c", f"cat > {ALERTS}/$OPENTALK_MAINTENANCE_JOB.$1", "sh", "told"]
# Paths that a host changes by itself, and paths that Ansible and the tools for accounts leave behind.
_VOLATILE = re.compile(
    r"(dev|proc|sys|run|tmp|var/tmp|var/log|var/cache|var/backups|root/\.ansible|var/lib/systemd/random-seed|etc/\.pwd\.lock"
    r"|etc/g?shadow-|etc/group-|etc/passwd-)(/.*)?"
)
# Things of others on the hosts, with names that the role could use.
FOREIGN_UNIT = "opentalk-maintenance-alert.service"
_FOREIGN = {
    f"etc/systemd/system/{FOREIGN_UNIT}": "[Service]\nType=oneshot\nRemainAfterExit=true\nExecStart=/bin/true\n"
    "[Install]\nWantedBy=multi-user.target\n",
    "etc/opentalk-maintenance/notes.yml": "",
    "opt/opentalk-maintenance/venv-of-somebody/notes": "",
}
_AT_WORK = "systemctl list-units --plain --no-legend --state=activating,deactivating 'opentalk-maintenance-*.service'"
Files = dict[str, tuple[Any, ...]]
_DIGESTS: dict[tuple[int, ...], str] = {}
_RECAP = re.compile(r"^(\w+) +: (.*)$", re.MULTILINE)


class Played:
    """The outcome of a playbook: `recap` has the numbers of each host."""

    def __init__(self, ended: Any) -> None:
        self.succeeded, self.output = ended.returncode == 0, ended.stdout + ended.stderr
        self.recap = {
            host: {key: int(number) for key, number in (pair.split("=") for pair in numbers.split())}
            for host, numbers in _RECAP.findall(ended.stdout)
        }

    def of(self, host: Host) -> int:
        """The number of changes on one host."""
        return self.recap[host.name]["changed"]

    def changes(self) -> set[int]:
        """The numbers of changes on the hosts, without changes on the control node for them."""
        return {numbers["changed"] for numbers in self.recap.values()}


class Controllers:
    """The fleet as hosts of an OpenTalk controller, with metrics and with a unit for alerts.

    On the last host, others have files in the directories of the role, and a unit that is active after each boot. `bare` is
    what is there before the role and the playbooks have touched anything.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.hosts = fleet, fleet.hosts
        for host in self.hosts:
            host.run(
                "umask 022 && groupadd --system opentalk && groupadd --system prometheus"
                f" && mkdir -p /etc/opentalk {TEXTFILES} {ALERTS} && chgrp prometheus {TEXTFILES} && chmod 2775 {TEXTFILES}"
                f" && chmod 1777 {ALERTS}"
                f" && install -m 640 -g opentalk /dev/null {CONFIG}"
            )
            (host.root / "etc/systemd/system/alert@.service").write_text(_ALERT)
            host.run("systemctl daemon-reload")
        for path, content in _FOREIGN.items():
            file = self.hosts[-1].root / path
            file.parent.mkdir(exist_ok=True, parents=True)
            file.write_text(content)
        self.hosts[-1].run(f"systemctl daemon-reload && systemctl enable --now {FOREIGN_UNIT}")
        self.bare = files(self.hosts)

    def restore(self) -> None:
        """Give the next test what it needs, however the last one ended: all hosts are up, and no job is at work."""
        off = [host for host in self.hosts if not host.is_up]
        for host in off:
            for timer in (host.root / "etc/systemd/system/timers.target.wants").glob("opentalk-maintenance-*.timer"):
                timer.unlink()
            host.boot()
        for host in off:
            host.wait()
        for host in self.hosts:
            modes = f"chown root:opentalk {CONFIG} && chmod 640 {CONFIG} && chmod 755 /etc/opentalk"
            for name in (line.split()[0] for line in host.run(f"{modes} && {_AT_WORK}").splitlines()):
                host.try_run(f"systemctl stop {name.replace('.service', '.timer')}")
                host.try_run(f"systemctl stop {name}; systemctl reset-failed {name}; rm -f {ALERTS}/*")

    def connect(
        self, world: World, hosts: list[Host] | None = None, *, database_url: str = "", **further: dict[str, str]
    ) -> None:
        """Write the controller's settings file. No other file may have the secrets in it.

        :param database_url: another one than that of the world
        :param further: further sections of the settings
        """
        options = world.options
        sections = {"database": {"url": database_url or options["database_url"]}, "minio": options["object_storage"]}
        text = "".join(
            f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
            for section, settings in {**sections, **further}.items()
        )
        for host in hosts or self.hosts:
            _inside(host, CONFIG).write_text(text)

    def status(self, on: list[Host] | None = None, **of_host: Any) -> Played:
        """The playbook status, with inventory variables of single hosts."""
        limit = ["--limit", ",".join(host.name for host in on)] if on else []
        return Played(self.fleet.play("opentalk.maintenance.status", *limit, variables={}, of_host=of_host))

    def provision(
        self,
        jobs: dict[str, Any],
        *options: str,
        on: list[Host] | None = None,
        of_host: dict[str, dict[str, Any]] | None = None,
        collections_path: str | None = None,
        copies: int = 1,
        **variables: Any,
    ) -> Played:
        values = {
            "timers_jobs": jobs,
            "timers_randomized_delay": 0,
            "timers_wheelhouse": str(self.fleet.wheelhouse),
            "timers_textfile_directory": TEXTFILES,
            "timers_textfile_group": "prometheus",
            "timers_on_failure": "alert@%n.service",
            "timers_alert_command": _TELL,
            "ansible_managed": "Made by Ansible.\nDo not edit.",
            **variables,
        }
        limit = ["--limit", ",".join(host.name for host in on)] if on else []
        ended = self.fleet.play(
            "opentalk.maintenance.provision_timers", *limit, *options,
            variables=values, of_host=of_host, collections_path=collections_path, copies=copies,
        )  # fmt: skip
        return Played(ended)


def unit(job: str, kind: str = "service") -> str:
    return f"opentalk-maintenance-{job.replace('_', '-')}.{kind}"


def properties(host: Host, name: str, *wanted: str) -> dict[str, str]:
    """Properties of a unit, as `systemctl show` prints them."""
    shown = host.run(f"systemctl show --property={','.join(wanted)} {name}")
    return dict(line.split("=", 1) for line in shown.splitlines())


def metrics(host: Host, job: str) -> dict[str, float]:
    """The job's metrics on the host, by name without `opentalk_maintenance_last_`; counts by `run_count <kind>`.

    Empty until a run has ended and its metrics are written.
    """
    file = _inside(host, f"{TEXTFILES}/opentalk_maintenance_{job}.prom")
    text = file.read_text() if file.exists() else ""
    found = {}
    pattern = r"^opentalk_maintenance_(?:last_)?(\w+)\{job_type=\"" + job + r"\"(?:,kind=\"(\w+)\")?\} (\S+)$"
    for name, kind, value in re.findall(pattern, text, re.MULTILINE):
        found[f"{name} {kind}".strip()] = float(value)
    return found


def files(hosts: list[Host]) -> Files:
    """Mode, owner and content of every path of the hosts, as `host:/path`, without paths that change by themselves."""
    found: Files = {}
    for host in hosts:
        for folder, folders, names in os.walk(host.root):
            base = Path(folder).relative_to(host.root)
            folders[:] = [name for name in folders if not _VOLATILE.fullmatch(str(base / name))]
            for name in [*folders, *names]:
                path = base / name
                if not _VOLATILE.fullmatch(str(path)):
                    found[f"{host.name}:/{path}"] = _facts(host.root / path)
    return found


def changed(before: Files, after: Files) -> set[str]:
    """The paths that are new, gone or different."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def until(condition: Callable[[], Any], what: str, hosts: list[Host] | None = None) -> Any:
    """Wait for a true value and return it. If it does not come, the error has the journals of the hosts."""
    end = time.monotonic() + HANGS
    while not (value := condition()):
        if time.monotonic() > end:
            # Without what the modules of Ansible say, which is most of it.
            show = "journalctl --no-pager -n 200 --grep='^(?!ansible-)'"
            journals = "\n".join(host.try_run(show).stdout for host in hosts or [])
            raise AssertionError(f"{what} did not happen\n{journals}")
        time.sleep(0.2)
    return value


def _facts(path: Path) -> tuple[Any, ...]:
    status = path.lstat()
    content = _digest(path, status) if stat.S_ISREG(status.st_mode) else ""
    return (stat.filemode(status.st_mode), status.st_uid, status.st_gid, content)


def _digest(path: Path, status: os.stat_result) -> str:
    """Of the content. It is read again only if the file has changed since: nothing can set its time of change back."""
    key = (status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size)
    if key not in _DIGESTS:
        _DIGESTS[key] = hashlib.sha256(path.read_bytes()).hexdigest()
    return _DIGESTS[key]


def _inside(host: Host, path: str) -> Path:
    return host.root / path.lstrip("/")
