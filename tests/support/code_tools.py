# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the tools by which the tree is judged, which have an environment of their own."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

from support import ansible, environments
from support.limits import HANGS


@functools.cache
def programs() -> Path:
    """The directory of the tools' programs."""
    return environments.environment(environments.requirements("tests/requirements-gates.txt"))


def run(folder: Path, collections: Path, *command: str | Path, **variables: str) -> str:
    """What a tool prints, which must succeed.

    :param folder: where it runs
    :param collections: where Ansible finds collections
    :param variables: further variables of its environment
    """
    path = f"{programs()}{os.pathsep}{os.environ['PATH']}"
    played = subprocess.run(
        command,
        cwd=folder,
        env=ansible.environment(collections, **{"PATH": path, **variables}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=HANGS,
        check=False,
    )
    assert played.returncode == 0, played.stdout
    return played.stdout
