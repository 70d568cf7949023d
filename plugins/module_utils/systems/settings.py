# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's settings: its TOML file, overridden by environment variables, overridden by module options."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine.errors import ConfigurationError, MissingLibraryError

ENVIRONMENT_PREFIX = "OPENTALK_CTRL_"
ENVIRONMENT_SEPARATOR = "__"


@dataclass(frozen=True)
class ObjectStorageSettings:
    """Section ``[minio]``."""

    uri: str
    bucket: str
    access_key: str
    secret_key: str
    region: str
    force_path_style: bool


@dataclass(frozen=True)
class SharedFolderSettings:
    """Section ``[shared_folder]``."""

    provider: str
    url: str
    username: str
    password: str
    directory: str


class Settings:
    """The settings of the controller on this host.

    :param path: the settings file; None looks where the controller looks
    :param options: the module's options, of which ``database_url``, ``object_storage`` and ``shared_folder`` override
    :param environment: the process environment
    :raises ConfigurationError: the file cannot be read
    """

    def __init__(self, path: str | None, options: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self._path = Path(path) if path else _find(environment)
        self._options = options
        self._values = _load(self._path) if self._path else {}
        _override(self._values, environment)

    def database_url(self) -> str:
        """A libpq connection URI.

        :raises ConfigurationError: it is not set, or not a PostgreSQL URL
        """
        url = self._options.get("database_url") or self._text("database", "url", "database_url")
        if not re.match(r"postgres(ql)?://", url):
            raise ConfigurationError(
                f"The database URL ({self._where('database', 'url', 'database_url')}) must begin with postgres://."
            )
        return url

    def object_storage(self) -> ObjectStorageSettings:
        """:raises ConfigurationError: a setting is missing or wrong"""
        values = self._section("minio", "object_storage")
        uri = self._required(values, "minio", "uri", "object_storage")
        if not re.match(r"https?://[^/]", uri):
            raise ConfigurationError(
                f"The storage address ({self._where('minio', 'uri', 'object_storage')})"
                " must begin with http:// or https:// and name a host."
            )
        return ObjectStorageSettings(
            uri=uri,
            bucket=self._required(values, "minio", "bucket", "object_storage"),
            access_key=self._required(values, "minio", "access_key", "object_storage"),
            secret_key=self._required(values, "minio", "secret_key", "object_storage"),
            region=self._optional(values, "minio", "region", "object_storage") or "unknown",
            force_path_style=self._flag(values, "minio", "force_path_style", "object_storage", default=True),
        )

    def shared_folder(self) -> SharedFolderSettings | None:
        """The shared folder provider, or None where none is configured.

        :raises ConfigurationError: a setting is missing or wrong
        """
        values = self._section("shared_folder", "shared_folder", required=False)
        if not values:
            return None
        provider = self._required(values, "shared_folder", "provider", "shared_folder")
        if provider not in ("nextcloud", "opencloud"):
            raise ConfigurationError(
                f"The shared folder provider ({self._where('shared_folder', 'provider', 'shared_folder')})"
                " must be nextcloud or opencloud."
            )
        url = self._required(values, "shared_folder", "url", "shared_folder")
        if not re.match(r"https?://[^/]", url):
            raise ConfigurationError(
                f"The address of the shared folders ({self._where('shared_folder', 'url', 'shared_folder')})"
                " must begin with http:// or https:// and name a host."
            )
        return SharedFolderSettings(
            provider=provider,
            url=url,
            username=self._required(values, "shared_folder", "username", "shared_folder"),
            password=self._required(values, "shared_folder", "password", "shared_folder"),
            directory=self._optional(values, "shared_folder", "directory", "shared_folder"),
        )

    def _section(self, section: str, option: str, *, required: bool = True) -> dict[str, Any]:
        values = self._values.get(section, {})
        if not isinstance(values, dict):
            raise ConfigurationError(f"[{section}] in {self._source()} must be a section; correct the file.")
        overrides = {name: value for name, value in (self._options.get(option) or {}).items() if value is not None}
        merged = {**values, **overrides}
        if required and not merged:
            raise self._missing_section(section, option)
        return merged

    def _required(self, values: dict[str, Any], section: str, key: str, option: str) -> str:
        value = self._optional(values, section, key, option)
        if not value:
            raise ConfigurationError(
                f"The key {key} of section [{section}] is missing in {self._source()};"
                f" add it, or set {key} in the option {option}."
            )
        return value

    def _optional(self, values: dict[str, Any], section: str, key: str, option: str) -> str:
        value = values.get(key, "")
        if not isinstance(value, str):
            raise ConfigurationError(f"The setting {key} ({self._where(section, key, option)}) must be a string.")
        return value

    def _flag(self, values: dict[str, Any], section: str, key: str, option: str, *, default: bool) -> bool:
        value = values.get(key, default)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise ConfigurationError(f"The setting {key} ({self._where(section, key, option)}) must be true or false.")
        return value

    def _text(self, section: str, key: str, option: str) -> str:
        values = self._section(section, "", required=False)
        if not values:
            raise self._missing_section(section, option)
        value = values.get(key)
        if not isinstance(value, str) or not value:
            raise ConfigurationError(
                f"The key {key} of section [{section}] is missing or not a string in {self._source()};"
                f" correct it, or set the option {option}."
            )
        return value

    def _missing_section(self, section: str, option: str) -> ConfigurationError:
        if self._path is None:
            return ConfigurationError(
                f"No settings file of the controller was found, so the section [{section}] is missing;"
                f" name the file with the option controller_config, or set the option {option}."
            )
        return ConfigurationError(
            f"The section [{section}] is missing in {self._path}; add it, or set the option {option}."
        )

    def _source(self) -> str:
        return str(self._path) if self._path else "the environment (no settings file was found)"

    def _where(self, section: str, key: str, option: str) -> str:
        return f"option {option}, or {key} in section [{section}] of {self._source()}"


def _find(environment: Mapping[str, str]) -> Path | None:
    # The order of the controller's own search.
    candidates = [Path("controller.toml"), Path("config.toml")]
    home = environment.get("XDG_CONFIG_HOME")
    if not home and environment.get("HOME"):
        home = os.path.join(environment["HOME"], ".config")
    if home:
        candidates.append(Path(home, "opentalk", "controller.toml"))
    candidates.append(Path("/etc/opentalk/controller.toml"))
    for candidate in candidates:
        try:
            if candidate.is_file():
                return candidate
        except OSError:
            continue
    return None


def _load(path: Path) -> dict[str, Any]:
    toml = _toml_parser()
    try:
        return toml.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"The settings file {path} does not exist; set the option controller_config to the controller's file."
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"The settings file {path} cannot be read ({error.strerror}); correct the path or its permissions."
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"The settings file {path} is not UTF-8 text; correct the file.") from None
    except (toml.TOMLDecodeError, RecursionError, ValueError) as error:
        position = re.search(r"\(at (line \d+, column \d+|end of document)\)", str(error))
        raise ConfigurationError(
            f"The settings file {path} is not valid TOML (at {position[1] if position else 'an unknown place'});"
            " correct the file."
        ) from None


def _toml_parser() -> Any:
    try:
        import tomllib

        return tomllib
    except ImportError:  # Python 3.10
        pass
    try:
        import tomli

        return tomli
    except ImportError:
        raise MissingLibraryError("tomli", traceback.format_exc()) from None


def _override(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    for name, value in sorted(environment.items()):
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        *sections, key = name[len(ENVIRONMENT_PREFIX) :].lower().split(ENVIRONMENT_SEPARATOR)
        target = values
        for section in sections:
            inner = target.get(section)
            if not isinstance(inner, dict):
                inner = target[section] = {}
            target = inner
        target[key] = value
