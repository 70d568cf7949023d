# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every Python and every ansible-core that the README names, as far as this machine has them."""

from __future__ import annotations

import os
import platform
import subprocess
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version as version_of
from pathlib import Path

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base import packages

from support import ansible, environments
from support.collection import ROOT
from support.components import COMPONENTS
from support.limits import HANGS

PLAYED = (
    "tests/checks/test_collection.py::test_playbooks_on_an_installed_collection",
    "tests/integration/test_differing_files.py",
    "tests/integration/test_playbook_variables.py",
    "tests/integration/test_with_approval.py::test_what_came_after_the_question_stays",
    "tests/integration/test_timers_programs.py::test_only_the_log_and_a_summary_are_printed",
    "tests/integration/test_timers_programs.py::test_journal_is_told_severities",
    "tests/integration/test_timers_programs.py::test_no_host_is_touched_while_one_has_wrong_variables",
)
# With the oldest packages only: what talks to other servers.
PLAYED_WITH_OLDEST = ("tests/integration/test_servers_as_they_are.py", "tests/integration/test_tls.py::test_keycloak")
# This Python has the oldest versions of all packages that the collection takes.
OLDEST = "3.10"
_SHOW = "import platform, ansible.release as r; print(platform.python_version(), 'with ansible-core', r.__version__)"


def test_unit_tests_and_playbooks_on_other_versions() -> None:
    """The Python of this run is left out, as it has all tests anyway."""
    found = environments.pythons()
    found.pop(".".join(platform.python_version_tuple()[:2]), None)
    COMPONENTS["python"] = f"{platform.python_version()} with ansible-core {version_of('ansible-core')}"
    if not found:
        pytest.skip("This machine has no other Python from 3.10 to 3.13.")
    with ThreadPoolExecutor(2) as executor:
        described = list(executor.map(_check, found, found.values()))
    COMPONENTS["python"] = ", ".join([COMPONENTS["python"], *described])


def test_oldest_versions_are_those_that_jobs_look_for() -> None:
    names = {"psycopg2-binary": "psycopg2"}
    bounds = environments.lowest_versions().items()
    told = {names.get(name, name): bound for name, bound in bounds if name not in ("tomli", "jsonschema")}
    assert told == packages.LOWEST


def _check(version: str, python: Path) -> str:
    all_packages = environments.requirements("tests/requirements.txt")
    wanted = all_packages.replace("ansible-core>=2.17", f"ansible-core{environments.ANSIBLE[version]}")
    assert wanted != all_packages
    played_here = PLAYED
    # Random cases try the oldest packages as often as the newest, and those in between less often.
    random_cases = {} if version == OLDEST else {"OPENTALK_TEST_QUICK": "1"}
    if version == OLDEST:
        played_here += PLAYED_WITH_OLDEST
        lowest = {name: f"{name}=={bound}" for name, bound in environments.lowest_versions().items()}
        lines = wanted.splitlines()
        assert lowest.keys() <= set(lines)
        wanted = "".join(f"{lowest.get(line, line)}\n" for line in lines)
    programs = environments.environment(wanted, python)
    played = subprocess.run(
        [programs / "python", "-m", "pytest", "-p", "no:cacheprovider", "-q", "tests/unit", *played_here],
        cwd=ROOT,
        env=ansible.environment(
            PATH=f"{programs}{os.pathsep}{os.environ['PATH']}", PYTHONDONTWRITEBYTECODE="",
            PYTHONPYCACHEPREFIX=str(programs.with_name("pycache")), **random_cases,
        ),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=HANGS, check=False,
    )  # fmt: skip
    assert played.returncode == 0, played.stdout
    shown = subprocess.run(
        [programs / "python", "-c", _SHOW], capture_output=True, text=True, timeout=HANGS, check=True
    )
    return shown.stdout.strip()
