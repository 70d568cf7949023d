# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role timers makes of each job: a service and a timer of systemd."""

from __future__ import annotations

import json
import os
import re
from typing import Any

# The registry imports no job: many tasks of the role load this file anew.
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import SCHEDULED
from ansible_collections.opentalk.maintenance.plugins.module_utils.timers.units import STATE_DIRECTORY, state_file, unit
from ansible_collections.opentalk.maintenance.plugins.plugin_utils.job_variables import variable

_LOG_DIRECTORY = "/var/log/opentalk-maintenance"
_ALERT = "opentalk-maintenance-alert@{}.service"
_RUNNING = ("activating", "active", "reloading", "deactivating")


def settings_file(variables: dict[str, Any]) -> str:
    """The settings file that the jobs read: the controller's own, or the one that the role writes where none is named."""
    return variables["timers_controller_config"] or own_settings_file(variables)


def own_settings_file(variables: dict[str, Any]) -> str:
    """Where the role writes ``timers_settings``."""
    return f"{variables['timers_config_directory']}/settings.toml"


def decisions(variables: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What is in the units, and what happens to them.

    :param variables: the role's variables by their names, see its vars
    :param found: what the module timers_info found on the host
    """
    present = variables["timers_state"] == "present"
    entries, command = (variables["timers_jobs"], variables["timers_alert_command"]) if present else ({}, [])
    enabled = {job_type: entry for job_type, entry in entries.items() if entry.get("enabled", True)}
    all_services = [unit(job_type, "service") for job_type in SCHEDULED]
    running = [name for name in all_services if _of_unit(found, name, "ActiveState") in _RUNNING]
    # A limit that a run already has counts only for as long as it runs.
    limits = {os.path.basename(path): limit for path, limit in found["limits"].items()}
    in_use = {name: limit for name, limit in limits.items() if name in running}
    jobs = {job_type: _job(job_type, entry, variables, in_use) for job_type, entry in enabled.items()}
    timers, services = [job["timer"] for job in jobs.values()], [job["service"] for job in jobs.values()]
    known = [name for name in timers if name in found["units"]]
    environment = sorted(variables["timers_environment"].items(), key=lambda pair: str(pair[0]).lower())
    return {
        "jobs": jobs,
        "timers": timers,
        "services": services,
        "all_services": all_services,
        "running": running,
        "lowered_later": [job for job in jobs.values() if job["limit"] < job["limit_in_unit"]],
        "inactive": [name for name in known if _of_unit(found, name, "ActiveState") != "active"],
        "disabled": [name for name in known if _of_unit(found, name, "UnitFileState") != "enabled"],
        "need_reload": [name for name in timers + services if _of_unit(found, name, "NeedDaemonReload") == "yes"],
        "state_directory": STATE_DIRECTORY,
        "alert_instances": _ALERT.format("*"),
        "alert_unit": f"{variables['timers_unit_directory']}/{_ALERT.format('')}",
        "alert_arguments": " ".join(_argument(text) for text in command),
        "on_failure_units": _on_failure_units(variables["timers_on_failure"], services),
        "environment": [json.dumps(f"{name}={value}").replace("%", "%%") for name, value in environment],
    }


def _of_unit(found: dict[str, Any], name: str, key: str) -> str:
    """The property of a unit. Empty before the host was looked at."""
    return str(found["units"].get(name, {}).get(key, ""))


def _on_failure_units(wanted: str, services: list[str]) -> list[str]:
    """The units that systemd must know, of which OnFailure= names one or more. Any instance stands for all of a template."""
    names = [re.sub(r"@.*(?=\.)", "@instance", name) for name in wanted.split()]
    return list(dict.fromkeys(_specified(name, service) for name in names for service in services))


def _specified(name: str, service: str) -> str:
    """The name without the specifiers of systemd, in the unit of a job."""
    stem = service.removesuffix(".service")
    values = {"%n": service, "%N": stem, "%p": stem, "%P": stem, "%%": "%"}
    return re.sub("%.", lambda found: values.get(found[0], found[0]), name)


def _argument(text: str) -> str:
    """An argument of a command in a unit."""
    return json.dumps(text, ensure_ascii=False).replace("%", "%%").replace("$", "$$")


def _job(job_type: str, entry: dict[str, Any], variables: dict[str, Any], in_use: dict[str, str]) -> dict[str, Any]:
    service, timeout, own = unit(job_type, "service"), entry.get("timeout", 3600), entry.get("parameters", {})
    limit = int(timeout) + int(variables["startup_allowance"])  # seconds until systemd ends the job
    kept = in_use.get(service, "")
    options = dict(sorted(entry.get("options", {}).items()))
    shared = {"controller_config": settings_file(variables), "timeout": timeout, **options}
    audit_directory = os.path.dirname(options.get("audit_log", ""))
    told = [variables["timers_on_failure"], _ALERT.format(job_type) if variables["timers_alert_command"] else ""]
    return {
        "service": service,
        "timer": unit(job_type, "timer"),
        "limit": limit,
        # While the job is running, its unit keeps a higher one.
        "limit_in_unit": max(limit, int(kept) if kept.isdecimal() else 0),
        "makes_log_directory": audit_directory == _LOG_DIRECTORY,
        "audit_directory": "" if audit_directory == _LOG_DIRECTORY else audit_directory,
        "on_failure": " ".join(filter(None, told)),
        "state_file": state_file(job_type),
        "variables": {variable(job_type, name): value for name, value in [*shared.items(), *sorted(own.items())]},
    }
