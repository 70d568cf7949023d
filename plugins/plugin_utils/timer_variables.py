# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may be in the variables of the role timers, beyond what its argument specs can say."""

from __future__ import annotations

import datetime
import difflib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.opentalk.maintenance.plugins.module_utils.base import moments, options
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import (
    MissingLibraryError,
    ParameterError,
)
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.parameters import DIALECT
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOBS, SCHEDULED

_SCHEMA_TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string", "path": "string"}
_UNIT_PATH = r"^(?!/(home|root|run/user|tmp|var/tmp|dev|proc|sys)/)(/(?!\.{1,2}(/|$))[\w.@+-]+){2,}$(?!\n)"
_PATTERNS: dict[str, tuple[str, str]] = {
    "audit_log": (
        _UNIT_PATH,
        "must be an absolute path without spaces, in a directory that is not the root directory and that a service sees,"
        " thus not below /home, /root, /run/user, /tmp, /var/tmp, /dev, /proc or /sys",
    ),
    "ca_path": (r"^/[^\n]+$(?!\n)", "must be an absolute path"),
}
_MOMENTS = {"invite_cleanup": "expired_before"}
_DIRECTORY = re.compile(r"(/(?!\.{1,2}(/|$))[\w.@+-]+)+")
_HIDDEN = re.compile(r"/(home|root|run/user|tmp|var/tmp|dev|proc|sys)/")
_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|KEYS?(?![A-Z])|AUTH(?!ORITY)|DATABASE__URL|DSN", re.IGNORECASE)
# What comes before an @ in an address, also in one without a scheme, and settings such as those of libpq.
_SECRET_VALUE = re.compile(r":\S*@|(pass(word|wd)?|pwd|secret|token|key)\s*=", re.IGNORECASE)


def job_schema(job_type: str) -> dict[str, Any]:
    """The JSON Schema of one entry of ``timers_jobs``."""
    return {
        "$schema": DIALECT,
        "type": "object",
        "properties": {
            "enabled": {"type": "boolean", "default": True},
            "on_calendar": {
                "type": "string",
                "minLength": 1,
                "pattern": r"^[^\n]*$(?!\n)",
                "description": "must be one line",
            },
            "timeout": {"type": "integer", "minimum": 1, "maximum": 10**9, "default": 3600},
            "parameters": JOBS[job_type].parameters.schema(),
            "options": option_schema(*JOBS[job_type].options),
        },
        "additionalProperties": False,
        "if": {"properties": {"enabled": {"const": True}}},
        "then": {"required": ["on_calendar"]},
    }


def option_schema(*groups: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of the options that may be set for a job of a timer: no secrets, no parameters.

    :param groups: the option groups of the job
    """
    unattended = options.merge(
        options.RUN,
        options.TLS,
        options.REPORT,
        options.AUDIT,
        options.BATCHES,
        options.INDEXES,
        options.SAFETY,
        options.SHARED_FOLDER_DELETION,
        options.OUTSIDE,
    )
    del unattended["timeout"]  # timers have a field of its own for it: the time limit of the unit depends on it
    taken = options.merge(options.RUN, *groups)
    properties = {}
    for name, spec in unattended.items():
        if name in taken:
            minimum, maximum = options.BOUNDS.get(name, (None, None))
            pattern, description = _PATTERNS.get(name, (None, None))
            field = {
                "type": _SCHEMA_TYPES[spec["type"]],
                "minimum": minimum,
                "maximum": maximum,
                "pattern": pattern,
                "description": description,
            }
            properties[name] = {key: value for key, value in field.items() if value is not None}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def job_problems(jobs: dict[str, Any]) -> Iterator[str]:
    """A sentence for every mistake in ``timers_jobs``, with job, field and reason."""
    from jsonschema import Draft202012Validator  # where it is missing, the filter says so

    for job_type, entry in jobs.items():
        if job_type in JOBS and not JOBS[job_type].scheduled:
            yield f"timers_jobs.{job_type}: no timer may start this job, because somebody must ask for each run; remove it."
            continue
        if job_type not in SCHEDULED:
            yield f"timers_jobs.{job_type}: there is no such job; the jobs are {', '.join(SCHEDULED)}."
            continue
        validator = Draft202012Validator(job_schema(job_type))
        for error in sorted(validator.iter_errors(entry), key=lambda error: [str(part) for part in error.path]):
            path = ".".join(["timers_jobs", job_type, *map(str, error.absolute_path)])
            yield from _sentences(path, error)
        yield from _moment_problems(job_type, entry)


def state_problems(jobs: Mapping[str, Any]) -> Iterator[str]:
    """A sentence if no job is enabled. The role would remove all timers of the hosts, perhaps because a name is mistyped."""
    if not any(isinstance(entry, Mapping) and entry.get("enabled", True) for entry in jobs.values()):
        yield (
            "timers_jobs enables no job, so all timers would be removed; name the jobs in timers_jobs, or set timers_state to"
            " absent if the timers shall go."
        )


def name_problems(names: Iterable[str], known: Collection[str]) -> Iterator[str]:
    """A sentence for every variable that looks like one of the role, and is none.

    :param names: the names of variables
    :param known: the names of the role's variables
    """
    by_ending = {name.removeprefix("timers_"): name for name in known}
    for name in sorted(set(names).difference(known)):
        if prefix := re.match("timers?_", name):
            similar = difflib.get_close_matches(name.removeprefix(prefix[0]), by_ending, n=1)
            advice = f"did you mean {by_ending[similar[0]]}?" if similar else "correct its name, or remove it."
            yield f"The variable {name} sets nothing; {advice}"


def environment_problems(environment: dict[str, Any]) -> Iterator[str]:
    """A sentence for every variable of ``timers_environment`` that is none or that may hold a secret."""
    for name, value in environment.items():
        where = f"timers_environment.{name}"
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            yield f"{where}: this is not the name of an environment variable."
        elif not isinstance(value, (str, int, float)) or "\n" in str(value):
            yield f"{where}: the value must be one line of text."
        elif _SECRET_NAME.search(name) or _SECRET_VALUE.search(str(value)):
            yield (
                f"{where}: this looks like a secret, which anyone on the host could read in the unit;"
                " put it into the controller's settings file."
            )


def setting_problems(variables: Mapping[str, Any], *, has_settings: bool = False) -> Iterator[str]:
    """A sentence for every other variable that is wrong whatever the hosts are like.

    :param has_settings: whether ``timers_settings`` is set, which is not among these variables because it has secrets
    """
    names = [f"timers_{kind}directory" for kind in ("", "config_", "unit_", "textfile_")]
    settings_file, wheelhouse = variables["timers_controller_config"], variables["timers_wheelhouse"]
    for name in ("timers_randomized_delay", "timers_audit_log_months"):
        if int(variables[name]) < 0:
            yield f"{name} must not be negative."
    if int(variables["timers_nice"]) not in range(20):
        yield "timers_nice must be from 0 to 19."
    yield from _command_problems(variables["timers_alert_command"])
    if not all(_DIRECTORY.fullmatch(variables[name]) for name in names if variables[name]):
        yield f"{', '.join(names[:-1])} and {names[-1]} must be absolute paths without spaces, and without a slash at the end."
    yield from _source_problems(settings_file, variables["timers_environment_file"], has_settings)
    if settings_file and (not settings_file.startswith("/") or _HIDDEN.match(settings_file)):
        yield (
            "timers_controller_config must be an absolute path that a service sees, thus not below /home, /root,"
            " /run/user, /tmp, /var/tmp, /dev, /proc or /sys."
        )
    if settings_file and not os.path.relpath(settings_file, variables["timers_config_directory"]).startswith("../"):
        yield (
            "timers_config_directory must be a directory of the role's own, whose owner and mode it sets, but the"
            " controller's settings file is in it."
        )
    if not variables["requirements"]:
        yield "timers_requirements names no file on the control node."
    if wheelhouse and not os.path.isdir(os.path.expanduser(wheelhouse)):
        yield "timers_wheelhouse names no directory on the control node."


def _command_problems(command: list[str]) -> Iterator[str]:
    if command and not command[0].startswith("/"):
        yield "timers_alert_command must begin with the absolute path of a program."
    if not all(text.isprintable() for text in command):
        yield "timers_alert_command must have arguments of one line each."
    if any(_SECRET_VALUE.search(text) for text in command):
        yield (
            "timers_alert_command: this looks like a secret, which anyone on the host could read in the unit;"
            " put it into a file that the program reads."
        )


def _source_problems(settings_file: str, environment_file: str, has_settings: bool) -> Iterator[str]:
    if has_settings and settings_file:
        yield (
            "timers_settings and timers_controller_config are both set, and the jobs read one settings file; remove one of"
            " the two variables."
        )
    if not (settings_file or has_settings or environment_file):
        yield (
            "timers_controller_config is empty, and there are neither timers_settings nor a timers_environment_file, so the"
            " jobs would have no settings; set one of them."
        )
    if environment_file and not _DIRECTORY.fullmatch(environment_file):
        yield "timers_environment_file must be an absolute path without spaces."


def _moment_problems(job_type: str, entry: Any) -> Iterator[str]:
    name = _MOMENTS.get(job_type, "")
    given = entry.get("parameters") if isinstance(entry, dict) else None
    text = given.get(name) if isinstance(given, dict) else None
    if isinstance(text, str):
        path = f"timers_jobs.{job_type}.parameters.{name}"
        try:
            moments.parse(name, text)
        except ParameterError as error:
            yield f"{path}: {error}"
        except MissingLibraryError:
            yield f"{path}: the Python package python-dateutil, which checks it, is missing on the control node; install it."


def _sentences(path: str, error: Any) -> Iterator[str]:
    if error.validator == "additionalProperties":
        known = ", ".join(error.schema["properties"]) or "none"
        for name in error.instance:
            if name not in error.schema["properties"]:
                yield f"{path}.{name}: there is no such field; the fields are {known}."
    elif error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance:
                yield f"{path}.{name}: it is missing."
    elif error.validator == "type" and isinstance(error.instance, datetime.date):
        yield f"{path}: YAML read this as a date; put it in quotes."
    elif error.validator == "pattern":
        yield f"{path}: it {error.schema['description']}."
    else:
        yield f"{path}: {error.message}."
