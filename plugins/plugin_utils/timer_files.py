# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files on a host are those of the role timers, and which of them go."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from .timer_units import SCHEDULED, unit

_STAMPS = "/var/lib/systemd/timers"


def decisions(variables: dict[str, Any], found: dict[str, Any], units: dict[str, Any]) -> dict[str, Any]:
    """What is looked for, what is removed, and the directories of this version.

    :param units: what timer_units has decided
    """
    owners = {name: job_type for job_type in SCHEDULED for name in _names(job_type)}
    own = {file["path"]: owners[os.path.basename(file["path"])] for file in found["files"]}
    # What a run needs to its end: without its unit it has the time limit of systemd's own, and nothing tells of its end.
    used = [path for path, job_type in own.items() if unit(job_type, "service") in units["running"]]
    surplus = [path for path, job_type in own.items() if job_type not in units["jobs"]]
    removed = [path for path in surplus if path not in used or path.endswith(".timer")]
    directories = [variables[f"timers_{kind}_directory"] for kind in ("unit", "config", "textfile")]
    surplus_units = [os.path.basename(path) for path in surplus if path.startswith(directories[0])]
    stamps = [f"{_STAMPS}/stamp-{timer}" for timer in units["inactive"]]
    return {
        "directories": [*filter(None, directories), _STAMPS],
        "names": list(owners),
        "own": list(own),
        "stamps": [path for path in stamps if path in own],
        "stopped": [name for name in surplus_units if name.endswith(".timer")],
        "removed": removed,
        "removed_later": [name for name in surplus_units if name in units["running"]],
        "forgotten": [os.path.basename(path) for path in removed if path.endswith(".service")],
        **_versions(variables, found, removed),
    }


def _names(job_type: str) -> list[str]:
    """The names of the files that the role, systemd and the service itself make for a job."""
    service, timer = unit(job_type, "service"), unit(job_type, "timer")
    return [service, timer, f"stamp-{timer}", f"{job_type}.yml", f"opentalk_maintenance_{job_type}.prom"]


def _versions(variables: dict[str, Any], found: dict[str, Any], removed: list[str]) -> dict[str, Any]:
    """Packages and collection have directories named after what is in them, so that a running job keeps those it has."""
    directory, root = variables["timers_directory"], os.path.dirname(os.path.dirname(variables["role_path"]))
    files = {os.path.relpath(path, root): checksum for path, checksum in sorted(found["collection"].items())}
    venv = f"{directory}/venv-{_digest(variables['requirements'] + found['python'])}"
    collections = f"{directory}/collections-{_digest(' '.join([*files, *files.values()]))}"
    current = (venv, collections) if variables["timers_state"] == "present" else ()
    old = [file["path"] for file in found["versions"] if file["path"] not in current]
    gone = {*removed, *old, f"{variables['timers_config_directory']}/ansible.cfg"}
    return {
        "venv": venv,
        "collections": collections,
        "collection_root": root,
        "collection_folders": [f"{root}/{folder}" for folder in ("plugins", "playbooks", "meta")],
        "old_versions": old,
        "emptied": [rest["item"] for rest in found["rest"] if gone.issuperset(file["path"] for file in rest["files"])],
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
