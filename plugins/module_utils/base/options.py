# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Groups of options that jobs have besides their parameters. Each job takes the groups that it can use."""

from __future__ import annotations

import math
import os
import re
from typing import Any

from .errors import ParameterError
from .parameters import check_bounds
from .paths import native
from .text import without_credentials

SETTINGS_FILE: dict[str, Any] = {"controller_config": {"type": "path"}}

RUN: dict[str, Any] = {
    "timeout": {"type": "int", "default": 3600},
    "hide_duration": {"type": "bool", "default": False},
}

DATABASE: dict[str, Any] = {"database_url": {"type": "str", "no_log": True}}

OUTSIDE: dict[str, Any] = {"outside_timeout": {"type": "int", "default": 10}}

OBJECT_STORAGE: dict[str, Any] = {
    "object_storage": {
        "type": "dict",
        "options": {
            "uri": {"type": "str"},
            "bucket": {"type": "str"},
            "access_key": {"type": "str", "no_log": False},
            "secret_key": {"type": "str", "no_log": True},
            "region": {"type": "str"},
            "force_path_style": {"type": "bool"},
        },
    },
}

SHARED_FOLDER: dict[str, Any] = {
    "shared_folder": {
        "type": "dict",
        "options": {
            "provider": {"type": "str", "choices": ["nextcloud", "opencloud"]},
            "url": {"type": "str"},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "directory": {"type": "str"},
        },
    },
}

SHARED_FOLDER_DELETION: dict[str, Any] = {
    "shared_folder_requests": {"type": "int", "default": 4},
    "empty_trash": {"type": "bool", "default": False},
}

KEYCLOAK: dict[str, Any] = {
    "keycloak": {
        "type": "dict",
        "no_log": False,
        "options": {
            "authority": {"type": "str"},
            "api_base_url": {"type": "str"},
            "client_id": {"type": "str"},
            "client_secret": {"type": "str", "no_log": True},
            "external_id_user_attribute_name": {"type": "str"},
        },
    },
}

TLS: dict[str, Any] = {
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
}

REPORT: dict[str, Any] = {"report_limit": {"type": "int", "default": 1000}}

AUDIT: dict[str, Any] = {"audit_log": {"type": "path"}}

APPROVAL: dict[str, Any] = {
    "approved_plan": {
        "type": "dict",
        "options": {
            "job_type": {"type": "str", "required": True},
            "parameters": {"type": "dict", "required": True},
            "database": {"type": "str", "required": True},
            "snapshot": {"type": "str", "required": True},
            "moment": {"type": "str", "required": True},
            "roots": {"type": "dict", "required": True},
            "counts": {"type": "dict", "default": {}},
        },
    },
    "approved_by": {"type": "str"},
}

# Who shall be erased. Ansible takes the values of no_log out of all output, so user_ids lacks it: results and approvals have
# these ids. The lists themselves are never shown, in case somebody puts an address among the ids.
PERSONS: dict[str, Any] = {
    "user_ids": {"type": "list", "elements": "str", "no_log": False},
    "oidc_subs": {"type": "list", "elements": "str", "no_log": True},
    "emails": {"type": "list", "elements": "str", "no_log": True},
}

BATCHES: dict[str, Any] = {"batch_size": {"type": "int", "default": 1000}}

INDEXES: dict[str, Any] = {"temporary_indexes": {"type": "bool", "default": True}}

SAFETY: dict[str, Any] = {
    "max_affected": {"type": "int"},
    "max_affected_percent": {"type": "float"},
}

BOUNDS: dict[str, tuple[float, float | None]] = {
    "timeout": (1, 10**9),
    "report_limit": (0, 10**9),
    "batch_size": (1, 100_000),
    "outside_timeout": (1, 10**9),
    "shared_folder_requests": (1, 64),
    "max_affected": (0, None),
    "max_affected_percent": (0, 100),
}


# Suboptions with a login name, by the options that name a server. A login name is no secret, but can be a mail address.
NAMES: dict[str, tuple[str, ...]] = {"object_storage": ("access_key",), "shared_folder": ("username",), "keycloak": ()}
# Ansible shows this text in place of a secret.
NOT_SHOWN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
# No mail address and no full name fits. It goes into the audit log, which has no personal data.
_REFERENCE = re.compile(r"[A-Za-z0-9#][A-Za-z0-9._/#:-]{0,63}")


def merge(*groups: dict[str, Any]) -> dict[str, Any]:
    """One argument spec made of several groups."""
    return {name: spec for group in groups for name, spec in group.items()}


def presentable(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a module as they may be shown: without login names, persons to erase, and the ids of an approval.

    Addresses lose the name and the password in them.

    A million ids would be searched for secrets, logged and printed, so their number stands for them.
    """
    shown: dict[str, Any] = {name: NOT_SHOWN if name in PERSONS and value else value for name, value in options.items()}
    for group, names in NAMES.items():
        if isinstance(shown.get(group), dict):
            shown[group] = {
                name: NOT_SHOWN if name in names and value else _without_credentials(value)
                for name, value in shown[group].items()
            }
    approval = shown.get("approved_plan")
    if isinstance(approval, dict) and isinstance(approval.get("roots"), dict):
        numbers = {kind: len(ids) if isinstance(ids, list) else 0 for kind, ids in approval["roots"].items()}
        shown["approved_plan"] = {**approval, "roots": numbers}
    return shown


def _without_credentials(value: Any) -> Any:
    return without_credentials(value) if isinstance(value, str) else value


# A path that a unit takes as it is and a service sees: https://www.freedesktop.org/software/systemd/man/systemd.exec.html
def check(options: dict[str, Any]) -> None:
    """:raises ParameterError: a number is out of its bounds, or a path or a reference is not usable"""
    for name, (minimum, maximum) in BOUNDS.items():
        check_bounds(name, options.get(name), minimum=minimum, maximum=maximum)
    for name in ("controller_config", "ca_path", "audit_log"):
        _check_path(name, options.get(name))
    ca_path = options.get("ca_path")
    if ca_path and not os.path.isfile(native(ca_path)):
        raise ParameterError(f"The option ca_path names {ca_path}, which is not a file; correct the path.")
    reference = options.get("approved_by")
    if reference is not None and not _REFERENCE.fullmatch(reference):
        raise ParameterError(
            "The option approved_by must be a reference such as the number of a ticket, of at most 64 letters, digits and the"
            " characters . _ / # : - without spaces; correct its value."
        )
    percent = options.get("max_affected_percent")
    if percent is not None and math.isnan(percent):
        raise ParameterError("The option max_affected_percent must be a number from 0 to 100.")


def _check_path(name: str, path: str | None) -> None:
    try:
        valid = path is None or b"\0" not in path.encode()
    except UnicodeEncodeError:
        valid = False
    if not valid:
        raise ParameterError(f"The option {name} holds characters that no path can have; correct the path.")
