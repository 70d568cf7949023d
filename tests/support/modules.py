# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module of the collection as Ansible does: arguments in, JSON out."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

from ansible.module_utils import basic
from ansible_collections.opentalk.maintenance.plugins.module_utils.record import effects

from support.limits import HANGS

PACKAGE = "ansible_collections.opentalk.maintenance.plugins.modules"


def run_module(name: str, *, check_mode: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
    """Run a module in this process, and return its result.

    The lists of a failed run are as long as those of another one, so that tests can compare them with what is there.
    """
    output = io.StringIO()
    arguments = {**options, "_ansible_check_mode": check_mode, "_ansible_diff": diff}
    whole = mock.patch.object(effects, "LISTED_AFTER_FAILURE", sys.maxsize)
    with whole, _arguments(arguments), contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        importlib.import_module(f"{PACKAGE}.{name}").main()
    return json.loads(output.getvalue().splitlines()[-1])


def run_in_process(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Run a module in a process of its own, and return its result; the options are as in :func:`run_module`."""
    played = subprocess.run(
        [sys.executable, "-m", f"{PACKAGE}.{name}"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": options}),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=False,
    )
    return json.loads(played.stdout.splitlines()[-1])


@contextlib.contextmanager
def _arguments(arguments: dict[str, Any]) -> Iterator[None]:
    try:
        from ansible.module_utils.testing import patch_module_args
    except ImportError:  # ansible-core before 2.19
        data = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
        with mock.patch.object(basic, "_ANSIBLE_ARGS", data):
            yield
    else:
        with patch_module_args(arguments):
            yield
