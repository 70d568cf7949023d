# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's settings file, and the environment variables that override it."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...base.errors import ConfigurationError, MissingLibraryError

_ENVIRONMENT_PREFIX = "opentalk_ctrl_"
_ENVIRONMENT_SEPARATOR = re.compile(r"__|\.")


def find(environment: Mapping[str, str]) -> Path | None:
    """The path of the settings file; the order of the search is the controller's. None if there is no file."""
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


def load(path: Path) -> dict[str, Any]:
    """The content of the settings file.

    :raises ConfigurationError: the file cannot be read, or is not valid
    """
    toml = toml_parser()
    try:
        if path.exists() and not path.is_file():
            # Reading a pipe or a device may never end.
            raise ConfigurationError(f"The settings file {path} is not a file; correct the path.")
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


def toml_parser() -> Any:
    """The module that reads TOML.

    :raises MissingLibraryError: this Python has none, and tomli is not installed
    """
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


def override(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Replace values of the file by those of environment variables, such as ``OPENTALK_CTRL_DATABASE__URL``.

    Like the controller, it takes upper and lower case, and a dot between the names as well.
    """
    for variable, value in sorted(environment.items()):
        name = variable.lower()
        if not name.startswith(_ENVIRONMENT_PREFIX):
            continue
        *sections, key = _ENVIRONMENT_SEPARATOR.split(name[len(_ENVIRONMENT_PREFIX) :])
        target = values
        for section in sections:
            inner = target.get(section)
            if not isinstance(inner, dict):
                inner = target[section] = {}
            target = inner
        target[key] = value
