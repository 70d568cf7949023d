# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks are not run by the tests, but they must not stop to start unnoticed."""

from __future__ import annotations

import os
import subprocess
import sys

from support.collection import ROOT
from support.limits import HANGS


def test_benchmarks_start() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    ended = subprocess.run(
        [sys.executable, "-c", "import benchmarks.__main__"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
