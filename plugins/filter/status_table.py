# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: status_table
short_description: Make one table of how the jobs of all hosts fare
version_added: 1.1.0
description:
  - Used by the playbook C(opentalk.maintenance.status), with what the module M(opentalk.maintenance.status_info) returned on
    each host.
  - A host that has no such result is not known, and that is a problem.
options:
  _input:
    description: What the module returned, by the name of the host.
    type: dict
    required: true
author:
  - The opentalk.maintenance authors (@opentalk)
seealso:
  - module: opentalk.maintenance.status_info
"""

EXAMPLES = r"""
- name: Show the table
  ansible.builtin.debug:
    msg: "{{ ({'alpha': status} | opentalk.maintenance.status_table).table }}"
"""

RETURN = r"""
_value:
  description: The lines of the C(table), and the C(problems), one sentence each.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.opentalk.maintenance.plugins.plugin_utils import status_table as tables


def status_table(found: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The table, and what is wrong."""
    return tables.overview(found)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"status_table": status_table}
