# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of the shared folders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...base.errors import ConfigurationError
from .lookup import Lookup

# The section and the option have the same name.
_NAME = "shared_folder"


@dataclass(frozen=True)
class SharedFolderSettings:
    """Section ``[shared_folder]``."""

    provider: str
    url: str
    username: str
    password: str
    directory: str


def read(lookup: Lookup) -> SharedFolderSettings | None:
    """The settings of the cloud, or None if there are none.

    :raises ConfigurationError: a setting is missing or wrong
    """
    values = lookup.section(_NAME, _NAME, required=False)
    return _settings(lookup, values) if values else None


def read_required(lookup: Lookup) -> SharedFolderSettings:
    """The settings of the cloud.

    :raises ConfigurationError: there are none, or a setting is missing or wrong
    """
    return _settings(lookup, lookup.section(_NAME, _NAME))


def _settings(lookup: Lookup, values: dict[str, Any]) -> SharedFolderSettings:
    provider = lookup.required(values, _NAME, "provider", _NAME)
    if provider not in ("nextcloud", "opencloud"):
        raise ConfigurationError(
            f"The shared folder provider ({lookup.where(_NAME, 'provider', _NAME)}) must be nextcloud or opencloud."
        )
    url = lookup.required(values, _NAME, "url", _NAME)
    lookup.check_address(url, "the shared folders", _NAME, "url", _NAME)
    return SharedFolderSettings(
        provider=provider,
        url=url,
        username=lookup.required(values, _NAME, "username", _NAME),
        password=_password(lookup, values),
        directory=lookup.optional(values, _NAME, "directory", _NAME),
    )


def _password(lookup: Lookup, values: dict[str, Any]) -> str:
    # The controller takes an empty one, but not a missing one.
    if "password" in values:
        return lookup.optional(values, _NAME, "password", _NAME)
    return lookup.required(values, _NAME, "password", _NAME)
