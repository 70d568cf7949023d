# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The jobs: the name, the description, the options and the parameters of each.

The names, types, defaults and meanings of parameters are those of the OpenTalk controller's ``jobs execute`` command.
The class of a job is in the file with the job's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from ..base import options
from ..base.parameters import Parameters

# The prefix of variables that are for all jobs.
COMMON = "opentalk_maintenance"


@dataclass(frozen=True)
class Registration:
    """One job.

    :ivar options: the groups of options that only some jobs take
    :ivar scheduled: whether a timer may start it; otherwise somebody must ask for each run
    """

    parameters: Parameters
    options: tuple[dict[str, Any], ...]
    scheduled: bool = True

    def variables(self) -> dict[str, str]:
        """The playbooks' variables that set options of the job, with the option of each.

        If two variables set the same option, the later one wins.
        """
        own = {*self.parameters.properties, *options.APPROVAL, *options.PERSONS}
        found = {}
        for option in self.argument_spec():
            if option not in own:
                found[f"{COMMON}_{option}"] = option
            if option in own or option in options.SAFETY:
                found[f"{self.parameters.job_type}_{option}"] = option
        return found

    def with_variables(self, message: str) -> str:
        """A message in which the first mention of each option is followed by the playbooks' variable that sets it."""
        for variable, option in self.variables().items():
            message = re.sub(rf"\b(option {option})\b(?! \(variable)", rf"\1 (variable {variable})", message, count=1)
        return message

    def argument_spec(self) -> dict[str, Any]:
        """The options of the job's module."""
        return options.merge(options.SETTINGS_FILE, options.RUN, *self.options, self.parameters.argument_spec())


def _job(job_type: str, description: str, *groups: dict[str, Any], **parameters: dict[str, Any]) -> Registration:
    return Registration(Parameters(job_type, description, parameters), groups)


_ROWS = (options.DATABASE, options.REPORT, options.BATCHES, options.AUDIT, options.SAFETY)
_DELETED_ROWS = (*_ROWS, options.APPROVAL, options.INDEXES)
_DELETED_EVERYWHERE = (
    *_DELETED_ROWS,
    options.OBJECT_STORAGE,
    options.SHARED_FOLDER,
    options.SHARED_FOLDER_DELETION,
    options.OUTSIDE,
    options.TLS,
)

_FAIL_ON_SHARED_FOLDER_DELETION_ERROR = {
    "type": "boolean",
    "default": False,
    "description": "Whether a shared folder that cannot be deleted stops the job instead of being a warning.",
}

_REGISTRATIONS = (
    _job(
        "self_check",
        "A simple self-check of the job execution system.",
        options.DATABASE,
        options.OBJECT_STORAGE,
        options.SHARED_FOLDER,
        options.KEYCLOAK,
        options.TLS,
        connections={
            "type": "boolean",
            "default": False,
            "description": "Whether the packages, the settings and the servers that jobs need are looked at, too.",
            "x-extension": True,
        },
    ),
    _job(
        "event_cleanup",
        "Deletes events that ended at minimum a defined duration ago, with everything that belongs to them.",
        *_DELETED_EVERYWHERE,
        days_since_last_occurrence={
            "type": "integer",
            "minimum": 1,
            "default": 30,
            "description": "The number of days that must have passed since the end of an event.",
        },
        fail_on_shared_folder_deletion_error=_FAIL_ON_SHARED_FOLDER_DELETION_ERROR,
        include_finished_series={
            "type": "boolean",
            "default": False,
            "description": "Whether recurring events whose last occurrence ended that long ago are deleted too.",
            "x-extension": True,
        },
    ),
    _job(
        "user_cleanup",
        "Deletes users that were disabled at minimum a defined duration ago, with everything that belongs to them.",
        *_DELETED_EVERYWHERE,
        days_since_user_has_been_disabled={
            "type": "integer",
            "minimum": 0,
            "default": 30,
            "description": "The number of days that must have passed since the user was disabled.",
        },
        fail_on_shared_folder_deletion_error=_FAIL_ON_SHARED_FOLDER_DELETION_ERROR,
    ),
    replace(
        _job(
            "user_erasure",
            "Deletes the users that are named, now, with everything that belongs to them.",
            *_DELETED_EVERYWHERE,
            options.PERSONS,
            require_disabled={
                "type": "boolean",
                "default": True,
                "description": "Whether a user who is not disabled is refused.",
            },
            fail_on_unmatched={
                "type": "boolean",
                "default": True,
                "description": "Whether an entry that matches no user makes the job fail before it deletes anybody.",
            },
            fail_on_shared_folder_deletion_error=_FAIL_ON_SHARED_FOLDER_DELETION_ERROR,
        ),
        scheduled=False,
    ),
    _job(
        "adhoc_event_cleanup",
        "Deletes ad-hoc events a defined duration after they were created, with everything that belongs to them.",
        *_DELETED_EVERYWHERE,
        seconds_since_creation={
            "type": "integer",
            "minimum": 0,
            "default": 86400,
            "description": "The number of seconds that must have passed since the event was created.",
        },
        fail_on_shared_folder_deletion_error=_FAIL_ON_SHARED_FOLDER_DELETION_ERROR,
    ),
    _job(
        "invite_cleanup",
        "Clears the permissions of inactive or expired invites.",
        *_DELETED_ROWS,
        expired_before={
            "type": ["string", "null"],
            "default": None,
            "description": "ISO 8601 timestamp before which an invite must have expired; null is now.",
        },
        delete_invites={
            "type": "boolean",
            "default": False,
            "description": "Whether the invites themselves are deleted too.",
            "x-extension": True,
        },
    ),
    _job(
        "sync_storage_files",
        "Synchronizes the sizes of assets in the database with the objects in the storage.",
        *_ROWS,
        options.APPROVAL,
        options.OBJECT_STORAGE,
        options.OUTSIDE,
        options.TLS,
        missing_storage_file_handling={
            "type": "string",
            "enum": ["set_file_size_to_zero", "delete_asset_entry"],
            "default": "set_file_size_to_zero",
            "description": "What happens to an asset whose object is missing.",
        },
        orphaned_objects={
            "type": "string",
            "enum": ["report", "delete"],
            "default": "report",
            "description": "What happens to an object that no asset knows.",
            "x-extension": True,
        },
        orphan_min_age={
            "type": "integer",
            "minimum": 0,
            "default": 86400,
            "description": "The age in seconds below which nothing is deleted that an upload in progress may need.",
            "x-extension": True,
        },
        unlinked_assets={
            "type": "string",
            "enum": ["report", "delete"],
            "default": "report",
            "description": "What happens to an asset that no room has.",
            "x-extension": True,
        },
        unfinished_uploads={
            "type": "string",
            "enum": ["report", "abort"],
            "default": "report",
            "description": "What happens to an upload that was not completed.",
            "x-extension": True,
        },
        hidden_versions={
            "type": "string",
            "enum": ["report", "delete"],
            "default": "report",
            "description": "What happens to versions of objects that no asset knows, in a bucket that keeps versions.",
            "x-extension": True,
        },
    ),
    _job(
        "sync_shared_folders",
        "Finds shared folders of events that are gone, and shared folders in the database that are gone from the cloud.",
        *_ROWS,
        options.APPROVAL,
        options.SHARED_FOLDER,
        options.SHARED_FOLDER_DELETION,
        options.TLS,
        orphaned_shared_folders={
            "type": "string",
            "enum": ["report", "delete"],
            "default": "report",
            "description": "What happens to a shared folder that has no event.",
            "x-extension": True,
        },
        orphan_min_age={
            "type": "integer",
            "minimum": 0,
            "default": 86400,
            "description": "The age in seconds below which a shared folder that has no event is never deleted.",
            "x-extension": True,
        },
        previous_directories={
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "Earlier values of the setting directory, whose shared folders are looked at, too.",
            "x-extension": True,
        },
        fail_on_shared_folder_deletion_error={**_FAIL_ON_SHARED_FOLDER_DELETION_ERROR, "x-extension": True},
    ),
    _job(
        "room_cleanup",
        "Deletes rooms that no event is associated with, with everything that belongs to them.",
        *_DELETED_EVERYWHERE,
        fail_on_shared_folder_deletion_error=_FAIL_ON_SHARED_FOLDER_DELETION_ERROR,
    ),
    _job(
        "keycloak_account_sync",
        "Synchronizes which users are disabled with the accounts in Keycloak.",
        *_ROWS,
        options.KEYCLOAK,
        options.TLS,
        keycloak_api_page_size={
            "type": "integer",
            "minimum": 1,
            "maximum": 10000,
            "default": 100,
            "description": "The number of accounts that are requested at once.",
        },
        dump_failed_responses={
            "type": "boolean",
            "default": False,
            "description": "Whether status and body of a failed answer are logged, without secrets.",
        },
    ),
)

JOBS = {job.parameters.job_type: job for job in _REGISTRATIONS}
JOB_TYPES = tuple(JOBS)

# The jobs of a night in their order. docs/all-jobs.md says why it is this one.
NIGHT = (
    "self_check",
    "keycloak_account_sync",
    "event_cleanup",
    "adhoc_event_cleanup",
    "user_cleanup",
    "invite_cleanup",
    "room_cleanup",
    "sync_storage_files",
    "sync_shared_folders",
)
# The jobs that run only when somebody asks for them, and never in a night.
ON_REQUEST = tuple(job_type for job_type, job in JOBS.items() if not job.scheduled)
# The jobs that timers may start.
SCHEDULED = tuple(job_type for job_type, job in JOBS.items() if job.scheduled)
