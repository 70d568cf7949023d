# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who the jobs of the role timers run as, and which files they must be able to use."""

from __future__ import annotations

from typing import Any


def decisions(variables: dict[str, Any], found: dict[str, Any], jobs: dict[str, Any]) -> dict[str, Any]:
    """Which groups there must be, and what is tried on the host as the user that the jobs will be.

    :param found: what the module timers_info found on the host
    :param jobs: what timer_units has decided
    """
    group = variables["timers_group"]
    # A file that the role writes has the group of the jobs.
    wanted = [*([variables["timers_settings_group"]] if variables["timers_controller_config"] else []), group]
    if variables["timers_textfile_directory"]:
        wanted.append(variables["timers_textfile_group"])
    groups = list(dict.fromkeys(wanted))
    there = [name for name, gid in found["groups"].items() if gid is not None]
    made = [group] if group == variables["timers_user"] and not found["user"]["exists"] else []
    return {
        "groups": groups,
        "missing_groups": [name for name in groups if name not in [*there, *made]],
        "has_group": group in there,
        "has_account": found["user"]["exists"],
        "made_account": found["user"]["comment"] == variables["account_comment"],
        "supplementary_groups": [name for name in groups if name != group],
        "uses": _uses(variables, jobs),
    }


def _uses(variables: dict[str, Any], jobs: dict[str, Any]) -> list[dict[str, Any]]:
    """The variables that name files, each with a test on the host and what is wrong where it fails."""
    user, options = variables["timers_user"], {job_type: f"timers_jobs.{job_type}.options" for job_type in jobs}
    ca_paths = {
        f"{options[name]}.ca_path": job["variables"].get("opentalk_maintenance_ca_path") for name, job in jobs.items()
    }
    audited = {f"{options[name]}.audit_log": job["audit_directory"] for name, job in jobs.items()}
    read = {"timers_controller_config": variables["timers_controller_config"], **ca_paths}
    written = {"timers_textfile_directory": variables["timers_textfile_directory"], **audited}
    unreadable = (
        f"is not there, or cannot be read by {user} through the group {variables['timers_settings_group']};"
        " correct the path, the group, or the modes of the file and of the directories above it."
    )
    unwritable = (
        f"is not there, or {user} cannot write into it;"
        " make it, or correct the path, or owner, group and mode of the directory."
    )
    in_container = (
        " If the controller runs in a container, set timers_settings, or timers_environment_file and an empty"
        " timers_controller_config."
    )
    hints = {"timers_controller_config": in_container}
    programs = variables["timers_alert_command"][:1]
    return (
        [
            {
                "variable": "timers_alert_command",
                "test": ["test", "-f", path, "-a", "-x", path],
                "problem": f"the program {path} is not there, or {user} cannot run it; install it, or correct its path.",
            }
            for path in programs
        ]
        + [
            {
                "variable": name,
                "test": ["test", "-f", path, "-a", "-r", path],
                "problem": f"{path} {unreadable}{hints.get(name, '')}",
            }
            for name, path in read.items()
            if path
        ]
        + [
            {
                "variable": name,
                "test": ["test", "-d", path, "-a", "-w", path, "-a", "-x", path],
                "problem": f"the directory {path} {unwritable}",
            }
            for name, path in written.items()
            if path
        ]
    )
