# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parameters of every job, defined once as JSON Schemas.

The names, types, defaults and meanings are those of the OpenTalk controller's ``jobs execute`` command. Fields that
this collection adds carry ``"x-extension": true``. Option specs, the result of job_info and the validation of
inventory variables are all made from these schemas.
"""

from __future__ import annotations

from typing import Any

from .errors import ParameterError

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_FAIL_ON_SHARED_FOLDER_DELETION_ERROR = {
    "type": "boolean",
    "default": False,
    "description": "Whether a shared folder that cannot be deleted stops the job instead of being a warning.",
}

_JOBS: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "self_check": ("A simple self-check of the job execution system.", {}),
    "event_cleanup": (
        "Deletes events that ended at minimum a defined duration ago, with everything that belongs to them.",
        {
            "days_since_last_occurrence": {
                "type": "integer",
                "minimum": 1,
                "default": 30,
                "description": "The number of days that must have passed since the end of an event.",
            },
            "fail_on_shared_folder_deletion_error": _FAIL_ON_SHARED_FOLDER_DELETION_ERROR,
            "include_finished_series": {
                "type": "boolean",
                "default": False,
                "description": "Whether recurring events whose last occurrence ended that long ago are deleted too.",
                "x-extension": True,
            },
        },
    ),
    "user_cleanup": (
        "Deletes users that were disabled at minimum a defined duration ago, with everything that belongs to them.",
        {
            "days_since_user_has_been_disabled": {
                "type": "integer",
                "minimum": 0,
                "default": 30,
                "description": "The number of days that must have passed since the user was disabled.",
            },
            "fail_on_shared_folder_deletion_error": _FAIL_ON_SHARED_FOLDER_DELETION_ERROR,
        },
    ),
    "adhoc_event_cleanup": (
        "Deletes ad-hoc events a defined duration after they were created, with everything that belongs to them.",
        {
            "seconds_since_creation": {
                "type": "integer",
                "minimum": 0,
                "default": 86400,
                "description": "The number of seconds that must have passed since the event was created.",
            },
            "fail_on_shared_folder_deletion_error": _FAIL_ON_SHARED_FOLDER_DELETION_ERROR,
        },
    ),
    "invite_cleanup": (
        "Clears the permissions of inactive or expired invites.",
        {
            "expired_before": {
                "type": ["string", "null"],
                "default": None,
                "description": "ISO 8601 timestamp before which an invite must have expired; null is now.",
            },
            "delete_invites": {
                "type": "boolean",
                "default": False,
                "description": "Whether the invites themselves are deleted too.",
                "x-extension": True,
            },
        },
    ),
    "sync_storage_files": (
        "Synchronizes the sizes of assets in the database with the objects in the storage.",
        {
            "missing_storage_file_handling": {
                "type": "string",
                "enum": ["set_file_size_to_zero", "delete_asset_entry"],
                "default": "set_file_size_to_zero",
                "description": "What happens to an asset whose object is missing.",
            },
            "orphaned_objects": {
                "type": "string",
                "enum": ["report", "delete"],
                "default": "report",
                "description": "What happens to an object that no asset knows.",
                "x-extension": True,
            },
            "orphan_min_age": {
                "type": "integer",
                "minimum": 0,
                "default": 86400,
                "description": "The age in seconds below which an object that no asset knows is never deleted.",
                "x-extension": True,
            },
        },
    ),
    "room_cleanup": (
        "Deletes rooms that no event is associated with, with everything that belongs to them.",
        {"fail_on_shared_folder_deletion_error": _FAIL_ON_SHARED_FOLDER_DELETION_ERROR},
    ),
    "keycloak_account_sync": (
        "Synchronizes which users are disabled with the accounts in Keycloak.",
        {
            "keycloak_api_page_size": {
                "type": "integer",
                "minimum": 1,
                "maximum": 10000,
                "default": 100,
                "description": "The number of accounts that are requested at once.",
            },
            "dump_failed_responses": {
                "type": "boolean",
                "default": False,
                "description": "Whether status and body of a failed answer are logged, without secrets.",
            },
        },
    ),
}

JOB_TYPES = tuple(_JOBS)

_ARGUMENT_TYPES = {"integer": "int", "boolean": "bool", "string": "str"}


def description(job_type: str) -> str:
    """One sentence on what the job does."""
    return _JOBS[job_type][0]


def schema(job_type: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the job's parameter object."""
    summary, properties = _JOBS[job_type]
    return {
        "$schema": DIALECT,
        "title": job_type,
        "description": summary,
        "type": "object",
        "properties": {name: dict(field) for name, field in properties.items()},
        "additionalProperties": False,
    }


def default_parameters(job_type: str) -> dict[str, Any]:
    """The parameters and defaults that the controller's own job of that type has."""
    return {name: field["default"] for name, field in _JOBS[job_type][1].items() if not field.get("x-extension")}


def argument_spec(job_type: str) -> dict[str, dict[str, Any]]:
    """The job's parameters as an Ansible argument spec."""
    return {name: _argument(field) for name, field in _JOBS[job_type][1].items()}


def parameters(job_type: str, options: dict[str, Any]) -> dict[str, Any]:
    """The job's own parameters among the options of a module.

    :raises ParameterError: a number is out of the bounds that its schema sets
    """
    values = {name: options[name] for name in _JOBS[job_type][1]}
    for name, value in values.items():
        field = _JOBS[job_type][1][name]
        check_bounds(name, value, minimum=field.get("minimum"), maximum=field.get("maximum"))
    return values


def check_bounds(name: str, value: float | None, *, minimum: float | None = None, maximum: float | None = None) -> None:
    """:raises ParameterError: the value of that option is below the minimum or above the maximum"""
    if value is None:
        return
    if minimum is not None and value < minimum:
        raise ParameterError(f"The option {name} is {value}, but must be at least {minimum}.")
    if maximum is not None and value > maximum:
        raise ParameterError(f"The option {name} is {value}, but must be at most {maximum}.")


def _argument(field: dict[str, Any]) -> dict[str, Any]:
    types = field["type"] if isinstance(field["type"], list) else [field["type"]]
    # No parameter is a secret, also where Ansible guesses so from its name.
    argument: dict[str, Any] = {
        "type": next(_ARGUMENT_TYPES[name] for name in types if name != "null"),
        "no_log": False,
    }
    if field["default"] is not None:
        argument["default"] = field["default"]
    if "enum" in field:
        argument["choices"] = list(field["enum"])
    return argument
