# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files on a host are those of the role timers, and which of them go."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any

from .timer_units import SCHEDULED, own_settings_file, state_file, unit

_STAMPS = "/var/lib/systemd/timers"
_ROTATION = "/etc/logrotate.d/opentalk-maintenance"
# Files with names that others may use are the role's own if this is in them.
_MARK = "# Made by the role opentalk.maintenance.timers."
_VENV = re.compile("venv-[0-9a-f]{12}")


def decisions(variables: dict[str, Any], found: dict[str, Any], units: dict[str, Any]) -> dict[str, Any]:
    """What is looked for, what is removed, and the directories of this version.

    :param units: what timer_units has decided
    """
    owners = {name: job_type for job_type in SCHEDULED for name in _names(job_type)}
    names = {file["path"]: os.path.basename(file["path"]) for file in found["files"]}
    own = {path: owners[name] for path, name in names.items() if name in owners}
    # What a run needs to its end: without its unit it has the time limit of systemd's own, and nothing tells of its end.
    used = [path for path, job_type in own.items() if unit(job_type, "service") in units["running"]]
    surplus = [path for path, job_type in own.items() if job_type not in units["jobs"]]
    marked = _marked(variables, found, units)
    removed = [path for path in surplus if path not in used or path.endswith(".timer")] + marked.pop("surplus")
    directories = [variables[f"timers_{kind}_directory"] for kind in ("unit", "config", "textfile")]
    surplus_units = [os.path.basename(path) for path in surplus if path.startswith(directories[0])]
    settings = own_settings_file(variables)
    is_used = variables["timers_state"] == "present" and not variables["timers_controller_config"]
    surplus_settings = [settings] if settings in names and not is_used else []
    stamps = [f"{_STAMPS}/stamp-{timer}" for timer in units["inactive"]]
    forgotten = [os.path.basename(path) for path in removed if path.endswith(".service")]
    return {
        "directories": [*filter(None, directories), units["state_directory"], _STAMPS],
        "names": [*owners, os.path.basename(settings)],
        "own": list(own),
        "stamps": [path for path in stamps if path in own],
        "stopped": [name for name in surplus_units if name.endswith(".timer")],
        "removed": removed,
        "removed_later": [name for name in surplus_units if name in units["running"]],
        "forgotten": [units["alert_instances"] if "@" in name else name for name in forgotten],
        **marked,
        "settings_file": settings if is_used else "",
        # A job that has begun may not have read it yet.
        "removed_settings": [] if units["running"] else surplus_settings,
        "kept_settings": surplus_settings if units["running"] else [],
        **_versions(variables, found, [*removed, *surplus_settings]),
    }


def _marked(variables: dict[str, Any], found: dict[str, Any], units: dict[str, Any]) -> dict[str, Any]:
    """The unit for alerts and the rotation of audit logs: which of them are whose, and which go."""
    logs = {job["variables"].get("opentalk_maintenance_audit_log") for job in units["jobs"].values()}
    rotated = sorted(filter(None, logs)) if int(variables["timers_audit_log_months"]) else []
    alerts = bool(variables["timers_alert_command"]) and variables["timers_state"] == "present"
    wanted = {units["alert_unit"]: alerts, _ROTATION: bool(rotated)}
    marks = dict(line.rsplit(":", 1) for line in found["marked"])
    return {
        "mark": _MARK,
        "marked_files": list(wanted),
        "rotation": _ROTATION,
        "rotated": rotated,
        "foreign": [path for path in wanted if wanted[path] and marks.get(path) == "0"],
        "surplus": [path for path in wanted if not wanted[path] and marks.get(path, "0") != "0"],
    }


def _names(job_type: str) -> list[str]:
    """The names of the files that the role, systemd and the service itself make for a job."""
    service, timer = unit(job_type, "service"), unit(job_type, "timer")
    own = [service, timer, f"stamp-{timer}", f"{job_type}.yml", f"opentalk_maintenance_{job_type}.prom"]
    return [*own, state_file(job_type)]


def _versions(variables: dict[str, Any], found: dict[str, Any], removed: list[str]) -> dict[str, Any]:
    """Packages and collection have directories named after what is in them, so that a running job keeps those it has."""
    directory, root = variables["timers_directory"], os.path.dirname(os.path.dirname(variables["role_path"]))
    files = {os.path.relpath(path, root): checksum for path, checksum in sorted(found["collection"].items())}
    venv = f"{directory}/venv-{_digest(variables['requirements'] + found['python'])}"
    collections = f"{directory}/collections-{_digest(' '.join([*files, *files.values()]))}"
    current = (venv, collections) if variables["timers_state"] == "present" else ()
    old = [file["path"] for file in found["versions"] if file["path"] not in current]
    # Whoever runs a job by hand uses the environment through this link, whose name stays the same.
    link, leads_to = f"{directory}/current", found["link"].get("lnk_target", "")
    link_goes = not current and _VENV.fullmatch(leads_to) is not None
    gone = {*removed, *old, *[link] * link_goes, f"{variables['timers_config_directory']}/ansible.cfg"}
    return {
        "venv": venv,
        "link": link,
        "link_goes": link_goes,
        "collections": collections,
        "programs": f"{collections}/ansible_collections/opentalk/maintenance/plugins/module_utils/timers",
        "collection_root": root,
        "collection_folders": [f"{root}/{folder}" for folder in ("plugins", "playbooks", "meta")],
        "old_versions": old,
        "emptied": [rest["item"] for rest in found["rest"] if gone.issuperset(file["path"] for file in rest["files"])],
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
