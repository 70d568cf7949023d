# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parameters of a job, defined once as the properties of a JSON Schema.

The option specs, the result of job_info and the validation of inventory variables are made from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import ParameterError

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ARGUMENT_TYPES = {"integer": "int", "boolean": "bool", "string": "str", "array": "list"}


@dataclass(frozen=True)
class Parameters:
    """The parameters of one job.

    :ivar job_type: the job's name
    :ivar description: one sentence on what the job does
    :ivar properties: the JSON Schema of each parameter; ``x-extension`` marks one that only this collection has
    """

    job_type: str
    description: str
    properties: dict[str, dict[str, Any]]

    def schema(self) -> dict[str, Any]:
        """The JSON Schema (draft 2020-12) of the parameter object."""
        return {
            "$schema": DIALECT,
            "title": self.job_type,
            "description": self.description,
            "type": "object",
            "properties": {name: dict(field) for name, field in self.properties.items()},
            "additionalProperties": False,
        }

    def defaults(self) -> dict[str, Any]:
        """The parameters and defaults of the controller's own job."""
        return {name: field["default"] for name, field in self.properties.items() if not field.get("x-extension")}

    def argument_spec(self) -> dict[str, dict[str, Any]]:
        """The parameters as an Ansible argument spec."""
        return {name: _argument(field) for name, field in self.properties.items()}

    def values(self, options: dict[str, Any]) -> dict[str, Any]:
        """The parameters among the options of a module.

        :raises ParameterError: a number is out of the bounds of its schema
        """
        values = {name: options[name] for name in self.properties}
        for name, value in values.items():
            field = self.properties[name]
            check_bounds(name, value, minimum=field.get("minimum"), maximum=field.get("maximum"))
        return values


def check_bounds(name: str, value: float | None, *, minimum: float | None = None, maximum: float | None = None) -> None:
    """:raises ParameterError: the option's value is below the minimum or above the maximum"""
    if value is None:
        return
    if minimum is not None and value < minimum:
        raise ParameterError(f"The option {name} is {value}, but must be at least {minimum}.")
    if maximum is not None and value > maximum:
        raise ParameterError(f"The option {name} is {value}, but must be at most {maximum}.")


def _argument(field: dict[str, Any]) -> dict[str, Any]:
    types = field["type"] if isinstance(field["type"], list) else [field["type"]]
    # No parameter is a secret, but Ansible would take some for one because of their names.
    argument: dict[str, Any] = {
        "type": next(_ARGUMENT_TYPES[name] for name in types if name != "null"),
        "no_log": False,
    }
    if field["default"] is not None:
        argument["default"] = field["default"]
    if "items" in field:
        argument["elements"] = _ARGUMENT_TYPES[field["items"]["type"]]
    if "enum" in field:
        argument["choices"] = list(field["enum"])
    return argument
