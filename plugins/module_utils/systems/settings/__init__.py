# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's settings. Environment variables override its TOML file, and module options override both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...base.errors import ConfigurationError
from . import file, keycloak, object_storage, shared_folder
from .keycloak import KeycloakSettings
from .lookup import Lookup
from .object_storage import ObjectStorageSettings
from .shared_folder import SharedFolderSettings

__all__ = ["KeycloakSettings", "ObjectStorageSettings", "Settings", "SharedFolderSettings"]


class Settings:
    """The settings of the controller on this host.

    :param path: the settings file; None searches for it as the controller does
    :param options: the module's options; ``database_url``, ``object_storage``, ``shared_folder`` and ``keycloak``
        override settings
    :param environment: the process environment
    :ivar path: the settings file that is read, or None
    :ivar searched: the places where the file was looked for, as a list in words
    :raises ConfigurationError: the file cannot be read
    """

    def __init__(self, path: str | None, options: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self.path = Path(path) if path else file.find(environment)
        self.searched = file.searched(environment)
        values = file.load(self.path) if self.path else {}
        file.override(values, environment)
        self._lookup = Lookup(self.path, values, options, self.searched)

    def database_url(self) -> str:
        """The connection URI, or libpq's keywords and values.

        :raises ConfigurationError: it is not set, or is not a PostgreSQL URL
        """
        at = ("database", "url", "database_url")
        url = self._lookup.options.get("database_url") or self._lookup.text(*at)
        # libpq's other form is host=… dbname=….
        if not re.match(r"postgres(ql)?://|\s*\w+\s*=", url):
            raise ConfigurationError(f"The database URL ({self._lookup.where(*at)}) must begin with postgres://.")
        return url

    def object_storage(self) -> ObjectStorageSettings:
        """:raises ConfigurationError: a setting is missing or wrong"""
        return object_storage.read(self._lookup)

    def shared_folder(self) -> SharedFolderSettings | None:
        """The settings of the cloud, or None if there are none.

        :raises ConfigurationError: a setting is missing or wrong
        """
        return shared_folder.read(self._lookup)

    def names_keycloak(self) -> bool:
        """Whether anything is set that says where Keycloak's accounts are."""
        return keycloak.is_named(self._lookup)

    def required_shared_folder(self) -> SharedFolderSettings:
        """:raises ConfigurationError: a setting is missing or wrong"""
        return shared_folder.read_required(self._lookup)

    def keycloak(self) -> KeycloakSettings:
        """:raises ConfigurationError: a setting is missing or wrong"""
        return keycloak.read(self._lookup)
