# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role timers wants to know of a host, and what it refuses of that."""

from __future__ import annotations

import os
import re
from typing import Any

_OLDEST_PYTHON = (3, 10)


def look_for(variables: dict[str, Any], decided: dict[str, Any]) -> dict[str, Any]:
    """The option of the module timers_info.

    :param decided: what the other parts have decided, before the host was looked at
    """
    jobs, is_present = decided["jobs"], variables["timers_state"] == "present"
    settings, versions = variables["timers_config_directory"], variables["timers_directory"]
    paths = [versions, settings, decided["link"], decided["settings_file"], f"{settings}/ansible.cfg"]
    rotation = [path for path in decided["marked_files"] if not path.endswith(".service")]
    return {
        # Which of them it is depends on the distribution, unless the inventory names one.
        "pythons": sorted({variables["timers_python"], *variables["platform_pythons"]}),
        "user": variables["timers_user"],
        "group": variables["timers_group"],
        "groups": decided["groups"],
        "uses": decided["uses"] if is_present else [],
        "calendars": {job_type: str(variables["timers_jobs"][job_type].get("on_calendar", "")) for job_type in jobs},
        "units": [*decided["all_services"], *decided["timers"], *decided["on_failure_units"]],
        "services": [f"{variables['timers_unit_directory']}/{name}" for name in decided["services"]],
        "directories": decided["directories"],
        "names": decided["names"],
        "paths": [*paths, *decided["marked_files"], *map(os.path.dirname, rotation)],
        "marked_files": decided["marked_files"],
        "mark": decided["mark"],
        "versions_directory": versions,
        "entries_of": [] if is_present else [versions, settings, decided["state_directory"]],
    }


def look_for_python(wanted: dict[str, Any]) -> dict[str, Any]:
    """The same for a host that gets an environment and no timers. It may have no systemd."""
    return {**wanted, "uses": [], "calendars": {}, "units": [], "services": [], "marked_files": []}


def python_problem(variables: dict[str, Any], found: dict[str, Any]) -> str:
    """A sentence if the Python is there, and too old."""
    version = found["pythons"].get(variables["timers_python"], "")
    if not version or tuple(map(int, version.split(".")[:2])) >= _OLDEST_PYTHON:
        return ""
    oldest = ".".join(map(str, _OLDEST_PYTHON))
    return f"{variables['timers_python']} is Python {version}; name one that is {oldest} or newer with timers_python."


def problems(variables: dict[str, Any], found: dict[str, Any], decided: dict[str, Any]) -> dict[str, Any]:
    """What is wrong on the host, one sentence each.

    :returns: ``refused``, which stops in any case, ``refused_for_now``, which a preview tells and goes on, because it may be
        mended before the role does its work, and ``refused_calendars``, which stops all hosts
    """
    return {
        "refused": [*filter(None, [python_problem(variables, found)]), *_foreign(decided)],
        "refused_for_now": [*_units(found, decided), *_groups(decided), *_uses(found, decided)],
        "refused_calendars": [
            f"timers_jobs.{job_type}.on_calendar: {problem}."
            for job_type, problem in found["calendars"].items()
            if problem
        ],
    }


def _foreign(decided: dict[str, Any]) -> list[str]:
    if not decided["foreign"]:
        return []
    return [
        f"{' and '.join(decided['foreign'])} is not a file of the role; rename it, or leave timers_alert_command empty or set"
        " timers_audit_log_months to 0."
    ]


def _units(found: dict[str, Any], decided: dict[str, Any]) -> list[str]:
    unknown = [name for name in decided["on_failure_units"] if name in found["units"]]
    unknown = [name for name in unknown if found["units"][name]["LoadState"] != "loaded"]
    return [
        f"timers_on_failure: systemd does not know the unit {name}, so nobody would be told that a job failed; install the unit"
        " first, or correct its name."
        for name in dict.fromkeys(re.sub(r"@[^@]*[.]", "@.", name) for name in unknown)
    ]


def _groups(decided: dict[str, Any]) -> list[str]:
    if not decided["missing_groups"]:
        return []
    return [
        f"The group {' and the group '.join(decided['missing_groups'])} is not there, and without it systemd starts no job; make"
        " it, or correct timers_settings_group, timers_group or timers_textfile_group. If the controller runs in a container,"
        " set timers_settings, or timers_environment_file and an empty timers_controller_config."
    ]


def _uses(found: dict[str, Any], decided: dict[str, Any]) -> list[str]:
    uses = {use["variable"]: use["problem"] for use in decided["uses"]}
    return [f"{name}: {uses[name]}" for name, can_use in found["tries"].items() if not can_use and name in uses]
