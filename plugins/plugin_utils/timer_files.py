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


def decisions(
    variables: dict[str, Any], found: dict[str, Any], units: dict[str, Any], collection: dict[str, str]
) -> dict[str, Any]:
    """What is looked for, what is written, what is removed, and the directories of this version.

    :param found: what the module timers_info found on the host
    :param units: what timer_units has decided
    :param collection: the checksums of the collection's files, by their paths in it
    """
    owners = {name: job_type for job_type in SCHEDULED for name in _names(job_type)}
    own = {path: owners[name] for path in found["files"] if (name := os.path.basename(path)) in owners}
    # What a run needs to its end: without its unit it has the time limit of systemd's own, and nothing tells of its end.
    used = [path for path, job_type in own.items() if unit(job_type, "service") in units["running"]]
    surplus = [path for path, job_type in own.items() if job_type not in units["jobs"]]
    marked = _marked(variables, found, units)
    removed = [path for path in surplus if path not in used or path.endswith(".timer")] + marked.pop("surplus")
    directories = [variables[f"timers_{kind}_directory"] for kind in ("unit", "config", "textfile")]
    surplus_units = [os.path.basename(path) for path in surplus if path.startswith(directories[0])]
    settings = own_settings_file(variables)
    is_used = variables["timers_state"] == "present" and not variables["timers_controller_config"]
    surplus_settings = [settings] if settings in found["files"] and not is_used else []
    stamps = [f"{_STAMPS}/stamp-{timer}" for timer in units["inactive"]]
    forgotten = [os.path.basename(path) for path in removed if path.endswith(".service")]
    return {
        "directories": [*filter(None, directories), units["state_directory"], _STAMPS],
        "names": list(owners),
        "own": list(own),
        "stamps": [path for path in stamps if path in own],
        "stopped": [name for name in surplus_units if name.endswith(".timer")],
        "removed": removed,
        "removed_later": [name for name in surplus_units if name in units["running"]],
        "forgotten": [units["alert_instances"] if "@" in name else name for name in forgotten],
        **marked,
        "settings_file": settings,
        "settings": [_file(variables, "settings.toml.j2", settings)] if is_used else [],
        # A job that has begun may not have read it yet.
        "removed_settings": [] if units["running"] else surplus_settings,
        "kept_settings": surplus_settings if units["running"] else [],
        "written": _written(variables, units, marked) if variables["timers_state"] == "present" else [],
        **_versions(variables, found, [*removed, *surplus_settings], collection),
    }


def _written(variables: dict[str, Any], units: dict[str, Any], marked: dict[str, Any]) -> list[dict[str, Any]]:
    """What the role writes, each with its template, in the order in which it is written."""
    settings, units_in = variables["timers_config_directory"], variables["timers_unit_directory"]
    jobs = units["jobs"].items()
    alert = [("alert.service.j2", units["alert_unit"])] * bool(variables["timers_alert_command"])
    rotation = [("logrotate.j2", _ROTATION)] * (bool(marked["rotated"]) and marked["has_logrotate"])
    return [
        _file(variables, "ansible.cfg.j2", f"{settings}/ansible.cfg"),
        *(_file(variables, "variables.yml.j2", f"{settings}/{job_type}.yml", job_type) for job_type, _job in jobs),
        *(_file(variables, "job.service.j2", f"{units_in}/{job['service']}", job_type) for job_type, job in jobs),
        *(_file(variables, "job.timer.j2", f"{units_in}/{job['timer']}", job_type) for job_type, job in jobs),
        *(_file(variables, template, path) for template, path in alert + rotation),
    ]


def _file(variables: dict[str, Any], template: str, path: str, job_type: str = "") -> dict[str, Any]:
    """A file to write. The jobs read their settings, and systemd and logrotate read the rest."""
    is_setting = path.startswith(f"{variables['timers_config_directory']}/")
    return {
        "template": template,
        "path": path,
        "job": job_type,
        "is_unit": path.endswith((".service", ".timer")),
        "timer": os.path.basename(path) if path.endswith(".timer") else "",
        "owner": "root",
        "group": variables["timers_group"] if is_setting else "root",
        "mode": "0640" if is_setting else "0644",
    }


def _marked(variables: dict[str, Any], found: dict[str, Any], units: dict[str, Any]) -> dict[str, Any]:
    """The unit for alerts and the rotation of audit logs: which of them are whose, and which go."""
    logs = {job["variables"].get("opentalk_maintenance_audit_log") for job in units["jobs"].values()}
    rotated = sorted(filter(None, logs)) if int(variables["timers_audit_log_months"]) else []
    alerts = bool(variables["timers_alert_command"]) and variables["timers_state"] == "present"
    wanted = {units["alert_unit"]: alerts, _ROTATION: bool(rotated)}
    marks = found["marked"]
    return {
        "mark": _MARK,
        "marked_files": list(wanted),
        "rotated": rotated,
        "has_logrotate": os.path.dirname(_ROTATION) in found["files"],
        "foreign": [path for path in wanted if wanted[path] and not marks.get(path, True)],
        "surplus": [path for path in wanted if not wanted[path] and marks.get(path, False)],
    }


def _names(job_type: str) -> list[str]:
    """The names of the files that the role, systemd and the service itself make for a job."""
    service, timer = unit(job_type, "service"), unit(job_type, "timer")
    own = [service, timer, f"stamp-{timer}", f"{job_type}.yml", f"opentalk_maintenance_{job_type}.prom"]
    return [*own, state_file(job_type)]


def _versions(
    variables: dict[str, Any], found: dict[str, Any], removed: list[str], collection: dict[str, str]
) -> dict[str, Any]:
    """Packages and collection have directories named after what is in them, so that a running job keeps those it has."""
    directory, settings = variables["timers_directory"], variables["timers_config_directory"]
    files = dict(sorted(collection.items()))
    python = found["pythons"].get(variables["timers_python"], "")
    venv = f"{directory}/venv-{_digest(variables['requirements'] + python)}"
    collections = f"{directory}/collections-{_digest(' '.join([*files, *files.values()]))}"
    is_present = variables["timers_state"] == "present"
    complete = [path for path, is_complete in found["versions"].items() if is_complete]
    old = [path for path in found["versions"] if not (is_present and path in (venv, collections))]
    # Whoever runs a job by hand uses the environment through this link, whose name stays the same.
    link = f"{directory}/current"
    leads_to = found["files"].get(link, {}).get("target") or ""
    link_goes = not is_present and _VENV.fullmatch(leads_to) is not None
    gone = {*removed, *old, *[link] * link_goes, f"{settings}/ansible.cfg"}
    there = _is_directory(found, directory, "root", "0755")
    return {
        "has_python": bool(python),
        "venv": venv,
        "link": link,
        "link_goes": link_goes,
        "collections": collections,
        "programs": f"{collections}/ansible_collections/opentalk/maintenance/plugins/module_utils/timers",
        "has_settings_directory": _is_directory(found, settings, variables["timers_group"], "0750"),
        "has_venv": venv in complete,
        "has_environment": there and venv in complete and leads_to == os.path.basename(venv),
        "has_collection": collections in complete,
        "old_versions": old,
        "emptied": [path for path, entries in found["entries"].items() if gone.issuperset(entries)],
    }


def _is_directory(found: dict[str, Any], path: str, group: str, mode: str) -> bool:
    """Whether the directory is there as the role makes it."""
    facts = found["files"].get(path, {})
    return (facts.get("owner"), facts.get("group"), facts.get("mode")) == ("root", group, mode)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
