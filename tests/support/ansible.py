# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's programs for tests: the ones beside this Python, without the settings of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.limits import HANGS

_LEFT_OUT = ("ANSIBLE_", "OPENTALK_CTRL_", "PYTEST_", "PYTHONPATH", "PYTHONPYCACHEPREFIX")


def program(name: str = "ansible-playbook") -> str:
    """The path of one of Ansible's programs."""
    return str(Path(sys.executable).parent / name)


def environment(collections: Path | str | None = None, **variables: str) -> dict[str, str]:
    """This process's environment without variables that would change how Ansible or a job works.

    :param collections: the directory in which Ansible finds collections
    :param variables: further variables
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    found = {} if collections is None else {"ANSIBLE_COLLECTIONS_PATH": str(collections)}
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", **found, **variables}


def vaulted(text: str, password: Path) -> str:
    """The text as a value in YAML that ansible-vault has encrypted.

    :param password: a file with the password
    """
    command = [program("ansible-vault"), "encrypt_string", "--vault-password-file", password, "--stdin-name", "x"]
    ended = subprocess.run(command, input=text, capture_output=True, text=True, timeout=HANGS, check=True)
    return ended.stdout.partition(":")[2].strip()
