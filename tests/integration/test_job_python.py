# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Python of a host runs a job."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import ansible
from support.collection import ROOT
from support.limits import HANGS

LOCAL = {"ansible_connection": "local"}
Used = Callable[..., dict[str, str]]


@pytest.fixture
def used(collections_path: str, tmp_path: Path) -> Used:
    """`used(playbook, *arguments, **environment)`: the Pythons that ran the job, by address. Nothing warns."""

    def play(playbook: str, *arguments: str, **environment: str) -> dict[str, str]:
        quiet = {"ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false"}
        played = subprocess.run(
            [ansible.program(), playbook, "-vvv", *arguments],
            env=ansible.environment(collections_path, ANSIBLE_NOCOLOR="1", **quiet, **environment), cwd=tmp_path,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=HANGS, check=False,
        )  # fmt: skip
        assert played.returncode == 0 and "[WARNING]" not in played.stdout, played.stdout
        return dict(
            re.findall(r"^<(\S+)> EXEC /bin/sh -c '(\S+) \S+/AnsiballZ_self_check", played.stdout, re.MULTILINE)
        )

    return play


def python(folder: Path) -> str:
    """A Python at the place of `prepare_hosts` in a folder of the tests."""
    path = folder / "current" / "bin" / "python"
    path.parent.mkdir(parents=True)
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_prepared_python_is_used_unless_the_inventory_names_one(used: Used, tmp_path: Path) -> None:
    prepared, named, own = (python(tmp_path / name) for name in ("opt", "named", "own"))
    directory = str(tmp_path / "opt")
    hosts: dict[str, dict[str, Any]] = {
        "prepared": {},
        "discovering": {"ansible_python_interpreter": "auto"},
        "naming": {"ansible_python_interpreter": "{{ of_the_inventory }}"},
        "choosing": {"ansible_python_interpreter": named, "opentalk_maintenance_python": "{{ of_my_own }}"},
        "elsewhere": {},
    }
    group = {**LOCAL, "timers_directory": directory, "of_my_own": own, "of_the_inventory": named}
    inventory = tmp_path / "hosts.json"
    inventory.write_text(json.dumps({"opentalk_controllers": {"hosts": hosts, "vars": group}, "all": {"vars": LOCAL}}))
    # Defaults for all jobs reach them as before.
    job = {"opentalk.maintenance.self_check": None, "register": "job"}
    check = {"ansible.builtin.assert": {"that": "'Duration' not in job.log | join"}}
    playbook = tmp_path / "own.yml"
    delegated = {**job, "delegate_to": "elsewhere", "run_once": True}
    play = {"hosts": "all:!elsewhere", "gather_facts": False, "tasks": [job, check, delegated]}
    play["module_defaults"] = {"group/opentalk.maintenance.jobs": {"hide_duration": True}}
    playbook.write_text(json.dumps([play]))
    expected = {"prepared": prepared, "discovering": prepared, "naming": named, "choosing": own, "elsewhere": prepared}
    assert used(str(playbook), "-i", str(inventory)) == expected
    # A setting of Ansible counts as much as a variable of the inventory.
    expected |= {"prepared": named, "elsewhere": named}
    assert used(str(playbook), "-i", str(inventory), ANSIBLE_PYTHON_INTERPRETER=named) == expected


@pytest.mark.parametrize("group", ["opentalk_controllers", "ungrouped", None])
def test_localhost(used: Used, tmp_path: Path, group: str | None) -> None:
    """In a group, in none, and without an inventory: the prepared Python, or that of Ansible if there is none."""
    arguments: list[str] = []
    if group:
        inventory = tmp_path / "hosts.json"
        inventory.write_text(json.dumps({group: {"hosts": {"localhost": LOCAL}}}))
        arguments = ["-i", str(inventory)]
    arguments += ["-e", f"timers_directory={tmp_path / 'opt'}"]
    assert used("opentalk.maintenance.self_check", *arguments).popitem()[1] == sys.executable
    prepared = python(tmp_path / "opt")
    assert used("opentalk.maintenance.self_check", *arguments).popitem()[1] == prepared


def test_place_is_the_default_of_the_role() -> None:
    (place,) = re.findall(r'^_DIRECTORY = "(.*)"$', (ROOT / "plugins/action/self_check.py").read_text(), re.MULTILINE)
    assert f"timers_directory: {place}\n" in (ROOT / "roles/timers/defaults/main.yml").read_text()
