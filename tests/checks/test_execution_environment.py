# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the execution environment installs is enough for every module."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import yaml
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOB_TYPES

from support import collection, environments
from support.collection import ROOT
from support.limits import HANGS

# Imports every module and what it is made of, and fails where one of their optional imports did not find its package.
_IMPORT_ALL = """
import importlib, pkgutil, sys
import ansible_collections.opentalk.maintenance.plugins as plugins
for kind in ("modules", "module_utils"):
    prefix = f"{plugins.__name__}.{kind}."
    for found in pkgutil.walk_packages([f"{plugins.__path__[0]}/{kind}"], prefix):
        print(found.name)
        importlib.import_module(found.name)
for library in ("psycopg2", "boto3", "requests", "dateutil.rrule", "keycloak", "jsonschema"):
    importlib.import_module(library)
"""


def test_execution_environment(tmp_path: Path) -> None:
    """Its requirements, with nothing but ansible-core beside them, let every module be imported and run."""
    described = yaml.safe_load((ROOT / "meta" / "execution-environment.yml").read_text())
    assert described["version"] == 3 and set(described) == {"version", "dependencies"}
    dependencies = described["dependencies"]
    # The collection itself is named by whoever builds an environment with it.
    assert set(dependencies) == {"python", "system"}
    assert (ROOT / dependencies["system"]).is_file()
    wanted = environments.requirements(dependencies["python"])
    programs = environments.environment(f"{wanted}\nansible-core>=2.17\n")
    collections = str(collection.link(tmp_path))
    variables = {
        "PATH": f"{programs}:{os.defpath}",
        "PYTHONPATH": collections,
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(tmp_path),
    }
    imported = _run(programs / "python", "-c", _IMPORT_ALL, env=variables).split()
    for job in JOB_TYPES:
        assert f"ansible_collections.opentalk.maintenance.plugins.modules.{job}" in imported
    variables |= {"ANSIBLE_COLLECTIONS_PATH": collections, "LC_ALL": "C.UTF-8"}
    said = _run(
        programs / "ansible", "localhost", "-m", "opentalk.maintenance.self_check",
        "-e", f"ansible_python_interpreter={programs / 'python'}", env=variables,
    )  # fmt: skip
    assert "[INFO ] Job finished successfully" in said


def _run(*command: str | Path, env: dict[str, str]) -> str:
    played = subprocess.run(command, env=env, capture_output=True, text=True, timeout=HANGS, check=False)
    assert played.returncode == 0, played.stdout + played.stderr
    return played.stdout
