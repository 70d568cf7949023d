# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual environments besides the one of the tests, and the Pythons of this machine with which they are made."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from support import cache
from support.collection import ROOT
from support.limits import HANGS

# The ansible-core for each Python: from the oldest that the collection takes to the newest that there is.
ANSIBLE = {"3.10": "==2.17.*", "3.11": "==2.19.*", "3.12": "==2.18.*", "3.13": ""}
_MAKE = '. "$1"; make_environment "$2" >&2; echo "$python"'


def requirements(name: str) -> str:
    """The content of a file with requirements."""
    return (ROOT / name).read_text()


def lowest_versions() -> dict[str, str]:
    """The lowest version of each package that the collection needs, by the package's name."""
    return dict(line.split(">=") for line in requirements("requirements.txt").splitlines())


def environment(wanted: str, python: Path | None = None) -> Path:
    """The directory with the programs of an environment with these requirements. A missing environment is made.

    :param python: the Python to make it with; None for the Python of the tests
    """
    folder = cache.directory()
    folder.mkdir(parents=True, exist_ok=True)
    left_out = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONPYCACHEPREFIX")
    variables = {name: value for name, value in os.environ.items() if name not in left_out}
    variables["OPENTALK_TEST_PYTHON"] = str(python or getattr(sys, "_base_executable", sys.executable))
    # Nobody waits for an environment of others.
    digest = hashlib.sha256(f"{variables['OPENTALK_TEST_PYTHON']}\n{wanted}".encode()).hexdigest()[:12]
    with cache.lock(folder / f"environment-{digest}.lock", time.monotonic() + HANGS):
        file = folder / f"environment-{digest}.txt"
        file.write_text(wanted)
        made = subprocess.run(
            ["bash", "-ec", _MAKE, "bash", str(ROOT / "tests" / "support" / "environment.sh"), str(file)],
            env=variables, capture_output=True, text=True, timeout=HANGS, check=False,
        )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    return Path(made.stdout.splitlines()[-1]).parent


def pythons() -> dict[str, Path]:
    """The Pythons of this machine by version, such as 3.12. They are on the path, or from pyenv or uv."""
    home = Path.home()
    found = {}
    for version in ANSIBLE:
        name = f"python{version}"
        candidates = [
            *(home / ".pyenv" / "versions").glob(f"{version}.*/bin/{name}"),
            *(home / ".local" / "share" / "uv" / "python").glob(f"cpython-{version}.*/bin/{name}"),
        ]
        on_path = shutil.which(name)
        for candidate in ([Path(on_path)] if on_path else []) + sorted(candidates):
            asked = subprocess.run([candidate, "-c", "import venv"], capture_output=True, timeout=HANGS, check=False)
            if asked.returncode == 0:
                found[version] = candidate
                break
    return found
