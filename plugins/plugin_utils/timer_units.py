# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role timers makes of each job: a service and a timer of systemd."""

from __future__ import annotations

import json
import os
from typing import Any

# The registry imports no job: almost every task of the role loads this file anew.
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import SCHEDULED
from ansible_collections.opentalk.maintenance.plugins.plugin_utils.job_variables import variable

_LOG_DIRECTORY = "/var/log/opentalk-maintenance"


def unit(job_type: str, kind: str) -> str:
    """The name of the job's unit of that kind, service or timer."""
    return f"opentalk-maintenance-{job_type.replace('_', '-')}.{kind}"


def decisions(variables: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What is in the units, and what happens to them.

    :param variables: the role's variables by their names, see its vars
    :param found: what was found on the host so far, see there
    """
    entries = variables["timers_jobs"] if variables["timers_state"] == "present" else {}
    enabled = {job_type: entry for job_type, entry in entries.items() if entry.get("enabled", True)}
    jobs = {job_type: _job(job_type, entry, variables, found["limits"]) for job_type, entry in enabled.items()}
    timers, services = [job["timer"] for job in jobs.values()], [job["service"] for job in jobs.values()]
    running = [line.split()[0] for line in found["running"]]
    environment = sorted(variables["timers_environment"].items(), key=lambda pair: str(pair[0]).lower())
    return {
        "jobs": jobs,
        "timers": timers,
        "units": timers + services,
        "all_services": [unit(job_type, "service") for job_type in SCHEDULED],
        "running": running,
        "running_units": [f"{variables['timers_unit_directory']}/{name}" for name in services if name in running],
        "lowered_later": [job for job in jobs.values() if job["limit"] < job["limit_in_unit"]],
        "inactive": [timer for timer, state in zip(timers, found["active"], strict=False) if state != "active"],
        "environment": [json.dumps(f"{name}={value}").replace("%", "%%") for name, value in environment],
    }


def _job(job_type: str, entry: dict[str, Any], variables: dict[str, Any], limits: list[str]) -> dict[str, Any]:
    service, timeout, own = unit(job_type, "service"), entry.get("timeout", 3600), entry.get("parameters", {})
    limit = int(timeout) + int(variables["startup_allowance"])  # seconds until systemd ends the job
    in_use = [line.rpartition("=")[2] for line in limits if f"/{service}:" in line]
    options = dict(sorted(entry.get("options", {}).items()))
    shared = {"controller_config": variables["timers_controller_config"], "timeout": timeout, **options}
    audit_directory = os.path.dirname(options.get("audit_log", ""))
    return {
        "service": service,
        "timer": unit(job_type, "timer"),
        "limit": limit,
        # While the job is running, its unit keeps a higher one.
        "limit_in_unit": max([limit, *(int(seconds) for seconds in in_use if seconds.isdecimal())]),
        "makes_log_directory": audit_directory == _LOG_DIRECTORY,
        "audit_directory": "" if audit_directory == _LOG_DIRECTORY else audit_directory,
        "variables": {variable(job_type, name): value for name, value in [*shared.items(), *sorted(own.items())]},
    }
