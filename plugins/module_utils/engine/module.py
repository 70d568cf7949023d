# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's module class, with two corrections: it shows no login names, and an infinite number is a user's error."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.validation import check_type_int

from ..base.errors import ParameterError
from ..base.options import without_names
from ..base.text import one_line

Spec = dict[str, dict[str, Any]]


class JobModule(AnsibleModule):
    """The module of a job, with check mode.

    The names in :data:`.options.NAMES` are neither in ``invocation`` nor in the line that Ansible writes to the journal.
    ``no_log`` is no way to do this: it would also cut the same word out of all other output, such as the paths of folders
    that somebody must remove by hand. These paths often begin with it.
    """

    params: dict[str, Any]

    def _log_invocation(self) -> None:
        shown, self.params = self.params, _loggable(without_names(self.params))
        try:
            super()._log_invocation()
        finally:
            self.params = shown

    def _return_formatted(self, kwargs: dict[str, Any]) -> None:
        kwargs.setdefault("invocation", {"module_args": without_names(self.params)})
        super()._return_formatted(kwargs)


def job_module(spec: Spec) -> tuple[JobModule, ParameterError | None]:
    """Read the options. If Ansible refuses one, it ends the process with a message.

    :returns: the module, and an error if a number is infinite, which Ansible does not refuse; the options are unusable then
    """
    try:
        return JobModule(argument_spec=spec, supports_check_mode=True), None
    except OverflowError:
        unchecked = {
            name: {**field, "type": "raw"} if field["type"] == "int" else field for name, field in spec.items()
        }
        module = JobModule(argument_spec=unchecked, supports_check_mode=True)
        names = ", ".join(name for name in spec if spec[name]["type"] == "int" and _is_infinite(module.params[name]))
        return module, ParameterError(f"The option {names} is infinite, but must be a whole number.")


def _loggable(options: dict[str, Any]) -> dict[str, Any]:
    # Ansible cannot log text that cannot be encoded. A later check refuses such text.
    return {name: one_line(value) if isinstance(value, str) else value for name, value in options.items()}


def _is_infinite(value: Any) -> bool:
    try:
        check_type_int(0 if value is None else value)
    except OverflowError:
        return True
    except TypeError:
        pass
    return False
