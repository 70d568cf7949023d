# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: timer_decisions
short_description: Decide what the role opentalk.maintenance.timers does on a host
version_added: 1.0.0
description: Used by the role C(opentalk.maintenance.timers), with C(_timers_variables) of its vars and what the module
  M(opentalk.maintenance.timers_info) found.
positional: _input, found
options:
  _input:
    description: The variables of the role by their names, with what the role itself knows.
    type: dict
    required: true
  found:
    description: The result of M(opentalk.maintenance.timers_info). Empty before the host was looked at.
    type: dict
    default: {}
author:
  - The opentalk.maintenance authors (@opentalk)
"""

EXAMPLES = r"""
- name: Name the timers that are started
  ansible.builtin.debug:
    var: (_timers_variables | opentalk.maintenance.timer_decisions(_timers_host)).inactive
"""

RETURN = r"""
_value:
  description: What is made, started, stopped, refused and removed, by name.
  type: dict
"""

import os
from collections.abc import Callable
from typing import Any

from ansible_collections.opentalk.maintenance.plugins.plugin_utils import (
    timer_accounts,
    timer_collection,
    timer_files,
    timer_findings,
    timer_units,
)

# What the module timers_info returns, where nothing was found.
NOTHING: dict[str, Any] = {
    "pythons": {},
    "user": {"exists": False, "groups": [], "comment": ""},
    "groups": {},
    "tries": {},
    "calendars": {},
    "units": {},
    "files": {},
    "marked": {},
    "limits": {},
    "versions": {},
    "entries": {},
}


def timer_decisions(variables: dict[str, Any], found: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the parts of the role decide, by its name there."""
    found = {**NOTHING, **(found or {})}
    root = os.path.dirname(os.path.dirname(variables["role_path"]))
    collection = timer_collection.checksums(root)
    units = timer_units.decisions(variables, found)
    decided = {**units, **timer_accounts.decisions(variables, found, units["jobs"])}
    decided |= timer_files.decisions(variables, found, units, collection)
    decided |= {"collection_root": root, "collection_files": list(collection)}
    wanted = timer_findings.look_for(variables, decided)
    decided |= {"look_for": wanted, "look_for_python": timer_findings.look_for_python(wanted)}
    decided["python_problem"] = timer_findings.python_problem(variables, found)
    return decided | timer_findings.problems(variables, found, decided)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"timer_decisions": timer_decisions}
