# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the tree at a path that Ansible's tools need, and ansible-test on machines that cannot download its pip."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from support import cache
from support.collection import ROOT
from support.limits import HANGS

_GET_PIP = '''\
"""Stands in for the script of that name which ansible-test would download: installs pip with another Python's pip."""

import subprocess
import sys

arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([{python!r}, "-m", "pip", "--python", sys.executable, "install", "--quiet", *arguments]))
'''


def copy(directory: Path) -> Path:
    """Copy the files that git tracks or would add into a git repository of their own, and return its folder."""
    folder = directory / "ansible_collections" / "opentalk" / "maintenance"
    listed = _git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, listed):
        if os.path.lexists(ROOT / name):  # git may still list a removed file
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    _git(folder, "init", "--quiet")
    _git(folder, "add", "--all")
    return folder


def ansible_test_home(programs: Path) -> Path:
    """A home directory for ansible-test with a pip and pip's settings, because ansible-test does not pass settings on.

    :param programs: the directory of the ansible-test to run
    """
    home = cache.directory() / "ansible-test"
    (home / ".ansible" / "test" / "cache").mkdir(parents=True, exist_ok=True)
    (source,) = programs.parent.glob("lib/python*/site-packages/ansible_test/_internal/python_requirements.py")
    for version in set(re.findall(r"\bpip='([\d.]+)'", source.read_text())):
        script = home / ".ansible" / "test" / "cache" / f"get_pip_{version.replace('.', '_')}.py"
        script.write_text(_GET_PIP.format(python=sys.executable))
    settings = {name[4:].lower().replace("_", "-"): value for name, value in os.environ.items() if name[:4] == "PIP_"}
    found = subprocess.run(
        [sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True, timeout=HANGS, check=True
    )
    settings.setdefault("cache-dir", found.stdout.strip())
    (home / ".config" / "pip").mkdir(parents=True, exist_ok=True)
    lines = [f"{name} = {value}\n" for name, value in sorted(settings.items())]
    (home / ".config" / "pip" / "pip.conf").write_text("".join(["[global]\n", *lines]))
    return home


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=HANGS
    ).stdout
