# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine from which an operator looks after the fleet: a home directory, a checkout, and a shell."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support import ansible, checkout
from support.fleet import HANGS, Fleet, ssh_options


class ControlNode:
    """Runs the commands of an operator who reaches each host by its name with ssh.

    `directory` is where the shell is: at first, in a checkout of the collection. No collection is installed.

    :param folder: an empty directory
    :param aliases: further names of hosts
    """

    def __init__(self, fleet: Fleet, folder: Path, aliases: Mapping[str, str]) -> None:
        self.directory = checkout.copy(folder)
        self.home = folder / "home"
        self._directory_file = folder / "directory"
        programs = folder / "programs"
        for directory in (self.home, programs):
            directory.mkdir()
        ports = {host.name: host.port for host in fleet.hosts}
        names = {**{name: name for name in ports}, **aliases}
        settings = "".join(
            f"Host {name}\n  HostName 127.0.0.1\n  Port {ports[host]}\n  User root\n" for name, host in names.items()
        )
        (folder / "ssh_config").write_text(settings)
        for program in ("ssh", "scp"):
            command = f"exec {shutil.which(program)} -F {folder}/ssh_config {ssh_options(fleet.folder)}"
            (programs / program).write_text(f'#!/bin/sh\n{command} "$@"\n')
            (programs / program).chmod(0o755)
        (folder / "ansible.cfg").touch()
        path = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
        self._environment = ansible.environment(
            None, HOME=str(self.home), PATH=os.pathsep.join(path), ANSIBLE_CONFIG=str(folder / "ansible.cfg"),
            ANSIBLE_PIPELINING="true",
        )  # fmt: skip

    def write(self, path: str, content: str) -> None:
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def run(self, command: str) -> tuple[int, str]:
        """Exit code and output of a shell command. The next one begins in the directory where this one ended."""
        script = f"{command}\ncode=$?\npwd > {shlex.quote(str(self._directory_file))}\nexit $code\n"
        ended = subprocess.run(
            ["bash", "-c", script], env=self._environment, cwd=self.directory, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=HANGS, check=False,
        )  # fmt: skip
        self.directory = Path(self._directory_file.read_text().strip())
        return ended.returncode, ended.stdout
