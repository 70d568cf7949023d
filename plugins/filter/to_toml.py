# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: to_toml
short_description: Write a dictionary as TOML
version_added: 1.0.0
description:
  - Used by the role C(opentalk.maintenance.timers), which writes the settings of the controller from its variable
    C(timers_settings).
positional: _input
options:
  _input:
    description: Text, booleans, numbers, lists and further dictionaries by their keys.
    type: dict
    required: true
author:
  - The opentalk.maintenance authors (@opentalk)
"""

EXAMPLES = r"""
- name: Write settings
  ansible.builtin.copy:
    content: "{{ {'database': {'url': database_url}} | opentalk.maintenance.to_toml }}"
    dest: /etc/opentalk/controller.toml
    mode: "0640"
  diff: false
  no_log: true
"""

RETURN = r"""
_value:
  description: The text of a TOML document, with a line break at its end.
  type: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError


def to_toml(values: Mapping[str, Any]) -> str:
    """:raises AnsibleFilterError: there is a value or a key that TOML does not have"""
    # Not above: for every task that uses a filter of a collection, ansible-core loads all of its filters anew.
    from ansible_collections.opentalk.maintenance.plugins.plugin_utils import toml_text

    if not isinstance(values, Mapping):
        raise AnsibleFilterError("A TOML document is made of a dictionary.")
    try:
        return toml_text.document(values)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"to_toml": to_toml}
