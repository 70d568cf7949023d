# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with a real systemd: Debian 12 and 13 and Ubuntu 24.04 in systemd-nspawn containers, which Ansible reaches over SSH.

The hosts share this machine's network, so that they reach the tests' servers on 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from support import ansible, fleet_image
from support.server_process import ServerFailed, ServerProcess, free_port

RELEASES = {"alpha": "bookworm", "beta": "trixie", "gamma": "noble"}
# What a host has instead where the packages of Ubuntu cannot be had.
INSTEAD = "bookworm"
# Seconds: what takes longer will not come to an end, however loaded the machine is.
HANGS = 600.0
_BOOT_HANGS = 180.0
_CONTROL_GROUPS = [Path("/sys/fs/cgroup", hierarchy) for hierarchy in ("", "systemd", "unified")]
# A mount namespace of its own for each host: nothing stays mounted, however the tests end. A control group of its own,
# because process 1 of each host takes the one that it is in for its own, and removes what it does not know there.
_BOOT = (
    "mkdir -p /run/systemd/nspawn && mount -t tmpfs tmpfs /run/systemd/nspawn &&"
    ' for group in "$@"; do mkdir -p "$group" && echo $$ > "$group/cgroup.procs" || exit; done &&'
    ' exec systemd-nspawn --quiet --boot --register=no --keep-unit --console=pipe --directory="$0"'
)


class Host:
    """One host. `root` is its file system, seen from here."""

    def __init__(self, name: str, root: Path, keys: Path) -> None:
        self.name, self.root, self.port = name, root, free_port()
        self._keys = keys
        self._process: ServerProcess | None = None
        self._groups = [
            group / f"{root.parent.name}-{name}"
            for group in _CONTROL_GROUPS
            if os.access(group / "cgroup.procs", os.W_OK)
        ]

    def prepare(self, image: Path) -> None:
        subprocess.run(["cp", "-a", "--reflink=auto", str(image), str(self.root)], check=True)
        (self.root / "var/lib/systemd/timers").mkdir(exist_ok=True)
        (self.root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
        (self.root / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
        # What the distribution does once a day would change files and take the processor while a test looks.
        for timer in (self.root / "usr/lib/systemd/system").glob("*.timer"):
            (self.root / "etc/systemd/system" / timer.name).symlink_to("/dev/null")
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        (self.root / "etc/ssh/sshd_config.d/test.conf").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nPermitRootLogin prohibit-password\nUseDNS no\n"
        )
        for key in (self._keys / "host", self._keys / "host.pub"):
            shutil.copy(key, self.root / "etc/ssh" / key.name.replace("host", "ssh_host_ed25519_key"))
        authorized = self.root / "root/.ssh/authorized_keys"
        authorized.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(self._keys / "client.pub", authorized)
        with (self._keys / "known_hosts").open("a") as file:
            file.write(f"[127.0.0.1]:{self.port} {(self._keys / 'host.pub').read_text()}")

    def set_umask(self, umask: str) -> None:
        """Give that umask to whoever logs in, before the host boots."""
        with (self.root / "etc/pam.d/sshd").open("a") as file:
            file.write(f"session optional pam_umask.so umask={umask}\n")

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.running

    def processor_seconds(self) -> float:
        """What the processes of the host have used of the processors since it was booted.

        https://docs.kernel.org/admin-guide/cgroup-v2.html, cpu.stat
        """
        (text,) = (path.read_text() for group in self._groups if (path := group / "cpu.stat").exists())
        return int(text.split()[text.split().index("usage_usec") + 1]) / 1_000_000

    def boot(self) -> None:
        command = ["unshare", "--mount", "sh", "-c", _BOOT, str(self.root), *map(str, self._groups)]
        self._process = ServerProcess(f"Host {self.name}", command)

    def wait(self) -> None:
        """Return when the host has come up."""
        assert self._process
        self._process.wait_until(lambda: self.try_run("true").returncode == 0, _BOOT_HANGS)
        state = self.try_run("systemctl is-system-running --wait").stdout.strip()
        assert state == "running", self.run("systemctl --failed --no-pager")

    def ssh(self) -> list[str]:
        return ["ssh", *shlex.split(ssh_options(self._keys)), "-p", str(self.port), "root@127.0.0.1"]

    def try_run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.ssh(), command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANGS, check=False
        )

    def run(self, command: str) -> str:
        """Standard output of a shell command on the host, which must succeed."""
        ended = self.try_run(command)
        assert ended.returncode == 0, f"{self.name}: {command}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def journal(self, unit: str, *options: str) -> list[str]:
        """What the processes of a unit wrote to the journal, without what systemd says about the unit."""
        return self.whole_journal(f"_SYSTEMD_UNIT={unit}", *options)

    def whole_journal(self, *options: str) -> list[str]:
        """What was written to the journal until now, also what the journal has yet to take in."""
        return self.run(f"journalctl --sync && journalctl --no-pager -o cat {shlex.join(options)}").splitlines()

    def power_off(self) -> None:
        """What a power cut does: everything ends at once, nothing is told or written."""
        assert self._process
        with contextlib.suppress(ValueError):  # without a leader there is nothing to end
            os.kill(self._leader(), signal.SIGKILL)
        self._process.stop()

    def stop(self) -> None:
        """End the host at once, because nobody needs it any more."""
        if self.is_up:
            self.power_off()
        for group in self._groups:
            for folder, *_unused in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):  # what ends only now keeps an empty group
                    os.rmdir(folder)

    def _leader(self) -> int:
        """Process 1 of the host: below the supervisor is systemd-nspawn, and below that the host."""
        assert self._process
        pid = self._process.pid
        for _unused in range(2):
            (pid,) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return pid


def _images() -> tuple[dict[str, Path], str]:
    """The file system for each release, and which release could not be had, as a part of a sentence."""
    images, not_tried = {}, ""
    for release in dict.fromkeys(RELEASES.values()):
        try:
            images[release] = fleet_image.find_or_build(release)
        except fleet_image.FleetUnavailable as error:
            if release not in fleet_image.UBUNTU:
                raise
            images[release], not_tried = images[INSTEAD], f"; {release} was not tried: {error}"
    return images, not_tried


def ssh_options(keys: Path) -> str:
    """Options for ssh as one string."""
    return (
        f"-i {keys}/client -o UserKnownHostsFile={keys}/known_hosts -o StrictHostKeyChecking=yes -o BatchMode=yes"
        " -o ConnectTimeout=60 -o ControlMaster=auto -o ControlPersist=30"
        f" -o ControlPath={keys}/%C"
    )


class Fleet:
    """Three hosts and the control node that looks after them: `with Fleet(collections_path) as fleet: ...`.

    On the first of them root has a strict umask.

    Raises `fleet_image.FleetUnavailable` where such hosts cannot be had.
    """

    def __init__(self, collections_path: str) -> None:
        self._collections_path = collections_path
        images, not_tried = _images()
        self.wheelhouse = fleet_image.wheelhouse()
        self.folder = Path(tempfile.mkdtemp(prefix="fleet-"))
        try:
            self.hosts = [Host(name, self.folder / name, self.folder) for name in RELEASES]
            (self.folder / "ansible.cfg").touch()
            for key in ("client", "host"):
                subprocess.run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / key)], check=True
                )
            for host in self.hosts:
                host.prepare(images[RELEASES[host.name]])
            self.hosts[0].set_umask("077")
            for host in self.hosts:
                host.boot()
            try:
                for host in self.hosts:
                    host.wait()
            except ServerFailed as error:
                raise fleet_image.FleetUnavailable(str(error)) from error
        except BaseException:
            self.stop()
            raise
        systems = {
            host.run(". /etc/os-release && echo -n $PRETTY_NAME: $(systemctl --version | head -n 1)")
            for host in self.hosts
        }
        self.description = f"{', '.join(sorted(systems))}; {len(self.hosts)} containers{not_tried}"

    def play(
        self,
        playbook: str,
        *options: str,
        variables: dict[str, Any],
        of_host: dict[str, dict[str, Any]] | None = None,
        collections_path: str | None = None,
        group: str = "opentalk_controllers",
        copies: int = 1,
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook on the fleet. The inventory names no Python.

        :param variables: inventory variables of all hosts
        :param of_host: inventory variables of single hosts
        :param collections_path: where another version of the collection is
        :param group: the group that the hosts are in
        :param copies: how often each host is in the inventory, with a number behind its name from the second time on
        """
        hosts = {
            f"{host.name}{copy or ''}": {
                "ansible_host": "127.0.0.1",
                "ansible_port": host.port,
                **(of_host or {}).get(host.name, {}),
            }
            for host in self.hosts
            for copy in range(copies)
        }
        common = {"ansible_user": "root", **variables}
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({group: {"hosts": hosts, "vars": common}}))
        environment = ansible.environment(
            collections_path or self._collections_path,
            ANSIBLE_CONFIG=str(self.folder / "ansible.cfg"),
            ANSIBLE_HOME=str(self.folder / "ansible"),
            ANSIBLE_SSH_ARGS=ssh_options(self.folder),
            ANSIBLE_PIPELINING="true",
        )
        return subprocess.run(
            [ansible.program(), "-i", str(inventory), playbook, *options], env=environment, cwd=self.folder,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANGS, check=False,
        )  # fmt: skip

    def stop(self) -> None:
        for host in self.hosts:
            host.stop()
        # A host's files may be busy for a moment after its end.
        for _unused in range(20):
            shutil.rmtree(self.folder, ignore_errors=True)
            if not self.folder.exists():
                break
            time.sleep(0.1)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
