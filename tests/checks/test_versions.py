# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every Python and every ansible-core that the README names, as far as this machine has them."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version as version_of

import pytest

from conftest import COMPONENTS
from support import environments
from support.collection import ROOT

# The oldest ansible-core that the collection takes, and the newest that each Python can have.
ANSIBLE = {"3.10": "==2.17.*", "3.11": "==2.18.*", "3.12": "", "3.13": ""}
TESTS = ["tests/unit", "tests/checks/test_collection.py::test_playbooks_on_an_installed_collection"]
_SHOW = "import platform, ansible.release as r; print(platform.python_version(), 'with ansible-core', r.__version__)"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", ANSIBLE)
def test_unit_tests_and_playbooks(version: str) -> None:
    python = environments.pythons().get(version)
    if python is None:
        pytest.skip(f"This machine has no Python {version}.")
    wanted = environments.requirements("tests/requirements.txt").replace(
        "ansible-core>=2.17", f"ansible-core{ANSIBLE[version]}"
    )
    programs = environments.environment(wanted, python)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTEST_"))}
    played = subprocess.run(
        [programs / "python", "-m", "pytest", "-p", "no:cacheprovider", "-q", *TESTS],
        cwd=ROOT, env={**kept, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=550, check=False,
    )  # fmt: skip
    assert played.returncode == 0, played.stdout
    shown = subprocess.run([programs / "python", "-c", _SHOW], capture_output=True, text=True, timeout=30, check=True)
    here = f"{platform.python_version()} with ansible-core {version_of('ansible-core')}"
    COMPONENTS["python"] = f"{COMPONENTS.get('python', here)}, {shown.stdout.strip()}"
