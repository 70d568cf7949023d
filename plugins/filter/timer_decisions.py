# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: timer_decisions
short_description: Decide what the role opentalk.maintenance.timers does on a host
version_added: 1.0.0
description: Used by the role C(opentalk.maintenance.timers), with C(_timers_variables) and C(_timers_found) of its vars.
positional: _input, found
options:
  _input:
    description: The variables of the role by their names, with what the role itself knows.
    type: dict
    required: true
  found:
    description: What was found on the host so far.
    type: dict
    required: true
author:
  - The opentalk.maintenance authors (@opentalk)
"""

EXAMPLES = r"""
- name: Name the timers that are started
  ansible.builtin.debug:
    var: (_timers_variables | opentalk.maintenance.timer_decisions(_timers_found)).inactive
"""

RETURN = r"""
_value:
  description: What is made, started, stopped, refused and removed, by name.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.opentalk.maintenance.plugins.plugin_utils import timer_accounts, timer_files, timer_units


def timer_decisions(variables: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What the parts of the role decide, by its name there."""
    units = timer_units.decisions(variables, found)
    accounts = timer_accounts.decisions(variables, found, units["jobs"])
    return {**units, **accounts, **timer_files.decisions(variables, found, units)}


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"timer_decisions": timer_decisions}
