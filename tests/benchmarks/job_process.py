# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module as Ansible does, in a process of its own, and measures its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from support.modules import PACKAGE

# The peak of the process's own memory: getrusage would count that of the parent until exec.
_PROGRAM = f"""
import re, runpy, sys
try:
    runpy.run_module("{PACKAGE}." + sys.argv.pop(), run_name="__main__")
finally:
    with open("/proc/self/status") as status:
        print(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1], file=sys.stderr)
"""


@dataclass
class JobRun:
    """The figures of one run.

    :ivar seconds: from the start of the process to its end
    :ivar memory: the peak memory in bytes
    :ivar ended: the end of the process, by the monotonic clock
    """

    result: dict[str, Any]
    seconds: float
    memory: int
    ended: float


def run_job(module: str, options: dict[str, Any], *, check_mode: bool = False) -> JobRun:
    """:raises RuntimeError: the job failed"""
    started = time.monotonic()
    played = subprocess.run(
        [sys.executable, "-c", _PROGRAM, module],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": {**options, "_ansible_check_mode": check_mode}}),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    ended = time.monotonic()
    try:
        result = json.loads(played.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise RuntimeError(played.stderr) from None
    if result.get("failed"):
        raise RuntimeError(result["msg"])
    return JobRun(result, ended - started, int(played.stderr.splitlines()[-1]) * 1024, ended)
