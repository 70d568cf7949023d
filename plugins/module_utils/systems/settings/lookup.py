# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checked values of the settings. Messages name the file, section, key and option of a wrong value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...base.errors import ConfigurationError

# As the controller reads them.
_FLAGS = {
    **dict.fromkeys(("1", "true", "on", "yes"), True),
    **dict.fromkeys(("0", "false", "off", "no"), False),
}


class Lookup:
    """The values of the settings file and the environment, and the options that override them.

    :param path: the settings file, or None if there is none
    :param values: the content of the file, overridden by the environment
    :param options: the module's options
    :param searched: the places where the file was looked for, for messages
    """

    def __init__(self, path: Path | None, values: Mapping[str, Any], options: Mapping[str, Any], searched: str) -> None:
        self._path = path
        self._values = values
        self.options = options
        self._searched = searched

    def section(self, section: str, option: str = "", *, required: bool = True) -> dict[str, Any]:
        """The values of a section, overridden by those of an option.

        :param section: the name of the section; a dot separates the names of an outer and an inner section
        :raises ConfigurationError: it is not a section, or has no value at all
        """
        values: Any = self._values
        for name in section.split("."):
            values = values.get(name, {})
            if not isinstance(values, dict):
                raise ConfigurationError(f"[{section}] in {self.source()} must be a section; correct the file.")
        merged = {**values, **self.overrides(option)}
        if required and not merged:
            raise self.missing_section(section, option)
        return merged

    def overrides(self, option: str) -> dict[str, Any]:
        """The values that an option with several keys sets."""
        return {name: value for name, value in (self.options.get(option) or {}).items() if value is not None}

    def required(self, values: Mapping[str, Any], section: str, key: str, option: str) -> str:
        """A value that must be a string and not empty.

        :raises ConfigurationError: it is missing or empty, or not a string
        """
        value = self.optional(values, section, key, option)
        if not value:
            raise ConfigurationError(
                f"The key {key} of section [{section}] is missing in {self.source()};"
                f" add it, or set {key} in the option {option}."
            )
        return value

    def optional(self, values: Mapping[str, Any], section: str, key: str, option: str) -> str:
        """A value as text; empty if it is missing.

        :raises ConfigurationError: it is neither a string nor a number nor a truth value
        """
        value = _text(values.get(key, ""))
        if value is None:
            raise ConfigurationError(f"The setting {key} ({self.where(section, key, option)}) must be a string.")
        try:
            value.encode()
        except UnicodeEncodeError:
            # The value is from an environment variable that is not UTF-8.
            raise ConfigurationError(
                f"The setting {key} ({self.where(section, key, option)}) is not UTF-8 text; correct it."
            ) from None
        return value

    def flag(self, values: Mapping[str, Any], section: str, key: str, option: str, *, default: bool) -> bool:
        """:raises ConfigurationError: the value is neither true nor false"""
        value = values.get(key, default)
        if isinstance(value, (bool, int, float)):
            return bool(value)
        flag = _FLAGS.get(value.lower()) if isinstance(value, str) else None
        if flag is None:
            raise ConfigurationError(f"The setting {key} ({self.where(section, key, option)}) must be true or false.")
        return flag

    def text(self, section: str, key: str, option: str) -> str:
        """A value that has an option of its own.

        :raises ConfigurationError: it is missing, or not a string
        """
        values = self.section(section, required=False)
        if not values:
            raise self.missing_section(section, option)
        value = _text(values.get(key))
        if not value:
            raise ConfigurationError(
                f"The key {key} of section [{section}] is missing or not a string in {self.source()};"
                f" correct it, or set the option {option}."
            )
        return value

    def check_address(self, url: str, what: str, section: str, key: str, option: str) -> None:
        """:raises ConfigurationError: the URL is not the address of a web server"""
        # An @ behind the host is the end of a password with a raw slash.
        if not is_address(url) or any("@" in part for part in urlsplit(url)[2:]):
            raise ConfigurationError(
                f"The address of {what} ({self.where(section, key, option)})"
                " must begin with http:// or https:// and name a host, with a valid port if there is one, and no @ behind them."
            )

    def missing_section(self, section: str, option: str) -> ConfigurationError:
        """The error to raise when a section is missing."""
        if self._path is None:
            return ConfigurationError(
                f"No settings file of the controller was found (looked for: {self._searched}), so the section"
                f" [{section}] is missing;"
                f" name the file with the option controller_config, or set the option {option}."
            )
        return ConfigurationError(
            f"The section [{section}] is missing in {self._path}; add it, or set the option {option}."
        )

    def source(self) -> str:
        """The source of the values, for messages."""
        return str(self._path) if self._path else "the environment (no settings file was found)"

    def where(self, section: str, key: str, option: str) -> str:
        """The places where a value can be set, for messages."""
        return f"option {option}, or {key} in section [{section}] of {self.source()}"


def is_address(url: str) -> bool:
    """Whether a URL has the form of the address of a web server."""
    try:
        # In a URL whose password has a raw "/", the first part of the password is no port.
        return bool(re.match(r"https?://[^/]", url, re.IGNORECASE)) and urlsplit(url).port != 0
    except ValueError:
        return False


def _text(value: Any) -> str | None:
    """A value where text is meant, as the controller reads it; None if it cannot be text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isfinite(value):
        digits = format(Decimal(repr(value)), "f")
        return digits.removesuffix(".0")
    return str(value) if isinstance(value, (str, int)) else None
