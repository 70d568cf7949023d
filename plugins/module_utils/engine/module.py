# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's module class, with corrections: it shows neither login names nor characters that steer a terminal,
and refuses an infinite number with a sentence.
"""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.validation import check_type_int

from ..base.options import PERSONS, presentable
from ..base.text import one_line, visible

# Characters that a name or an address has at least, so that Ansible looks for it in all output.
SHORT = 6
# Values of a result that have several lines.
_WITH_LINES = ("diff", "exception")


class JobModule(AnsibleModule):
    """The module of a job, with check mode.

    The names in :data:`.options.NAMES`, the persons in :data:`.options.PERSONS` and the ids of an approval are neither in
    ``invocation`` nor in the line that Ansible writes to the journal. ``no_log`` is no way to do this for login names and ids: it
    would also cut the same word out of all other output, such as the paths of folders that somebody must remove by hand. These
    paths often begin with it.
    """

    params: dict[str, Any]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        # Ansible would take such a short text out of every sentence and out of the ids of an approval.
        named = (entry for name in PERSONS for entry in self.params.get(name) or [])
        self.no_log_values.difference_update(entry for entry in named if len(entry) < SHORT)

    def _load_params(self) -> None:
        super()._load_params()
        for name, field in self.argument_spec.items():
            try:
                check_type_int(self.params.get(name) if field["type"] == "int" else 0)
            except TypeError:
                pass
            except OverflowError:
                # Ansible 2.18 and newer refuse a word with a sentence, but have none for an infinite number.
                self.params[name] = "infinite"

    def _log_invocation(self) -> None:
        shown, self.params = self.params, _loggable(presentable(self.params))
        try:
            super()._log_invocation()
        finally:
            self.params = shown

    def warn(self, warning: str, **arguments: Any) -> None:
        super().warn(one_line(warning), **arguments)

    def _return_formatted(self, kwargs: dict[str, Any]) -> None:
        kwargs.setdefault("invocation", {"module_args": presentable(self.params)})
        # Ansible prints a result as it is. What is in an approval must come back unchanged, and is checked then.
        shown = {
            name: value if name == "approval" else visible(value, lines=name in _WITH_LINES)
            for name, value in kwargs.items()
        }
        super()._return_formatted(shown)


def _loggable(options: dict[str, Any]) -> dict[str, Any]:
    # Ansible cannot log text that cannot be encoded. A later check refuses such text.
    return {name: one_line(value) if isinstance(value, str) else value for name, value in options.items()}
