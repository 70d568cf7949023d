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

from ...base import paths
from ...base.errors import ConfigurationError, MissingLibraryError

ENVIRONMENT_PREFIX = "opentalk_ctrl_"
# Either may stand between a section and a key.
_SEPARATORS = re.compile(r"__|\.")


def places(environment: Mapping[str, str]) -> list[Path]:
    """Where the settings file may be, in the order in which the controller searches."""
    candidates = [Path("config.toml"), Path("controller.toml")]
    home = environment.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(home):
        home = os.path.join(environment["HOME"], ".config") if environment.get("HOME") else ""
    if home:
        candidates.append(Path(home, "opentalk", "controller.toml"))
    return [*candidates, Path("/etc/opentalk/controller.toml")]


def searched(environment: Mapping[str, str]) -> str:
    """These places as a list in words, with whole paths as far as the working directory is known."""
    try:
        here = Path(paths.readable(os.getcwd()))
    except OSError:
        here = Path()
    return ", ".join(str(here / place) for place in places(environment))


def find(environment: Mapping[str, str]) -> Path | None:
    """The path of the settings file, or None if there is no file in any of the places."""
    for candidate in places(environment):
        try:
            if Path(paths.native(str(candidate))).is_file():
                return candidate
        except OSError:
            continue
    return None


def load(path: Path) -> dict[str, Any]:
    """The content of the settings file.

    :raises ConfigurationError: the file cannot be read, or is not valid
    """
    toml, place = toml_parser(), Path(paths.native(str(path)))
    try:
        if place.exists() and not place.is_file():
            # Reading a pipe or a device may never end.
            raise ConfigurationError(f"The settings file {path} is not a file; correct the path.")
        return toml.loads(place.read_bytes().decode("utf-8-sig"))
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
        raise ConfigurationError(
            f"The settings file {path} is not valid TOML ({_reason(error)}); correct the file{_advice(toml)}."
        ) from None


def _reason(error: Exception) -> str:
    # The parsers name keys and single characters, but no values.
    found = re.fullmatch(r"(.+) \(at (line \d+, column \d+|end of document)\)", str(error), re.DOTALL)
    return f"at {found[2]}: {found[1][0].lower()}{found[1][1:]}" if found else "at an unknown place"


def _advice(toml: Any) -> str:
    # The controller's parser knows TOML 1.1, tomllib knows it since Python 3.15, and tomli since version 2.4.
    return (
        "" if _reads_newest(toml) else ", or install the Python package tomli 2.4 or newer if it has syntax of TOML 1.1"
    )


def _reads_newest(toml: Any) -> bool:
    try:
        toml.loads("a = {\n}")
    except ValueError:
        return False
    return True


def toml_parser() -> Any:
    """The module that reads TOML.

    :raises MissingLibraryError: this Python has none, and tomli is not installed
    """
    try:
        import tomli

        return tomli
    except ImportError:
        pass
    try:
        import tomllib

        return tomllib
    except ImportError:  # Python 3.10
        raise MissingLibraryError("tomli", traceback.format_exc()) from None


def override(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Replace values of the file by those of environment variables, such as ``OPENTALK_CTRL_DATABASE__URL``.

    Like the controller, it takes upper and lower case, and a dot between the names as well.
    """
    for variable, value in sorted(environment.items()):
        name = variable.lower()
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        *sections, key = _SEPARATORS.split(name[len(ENVIRONMENT_PREFIX) :])
        target = values
        for section in sections:
            inner = target.get(section)
            if not isinstance(inner, dict):
                inner = target[section] = {}
            target = inner
        target[key] = value
