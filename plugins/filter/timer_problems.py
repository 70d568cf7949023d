# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: timer_problems
short_description: Check the variables of the role opentalk.maintenance.timers
version_added: 1.0.0
description:
  - Checks jobs against their JSON Schema, as the role C(opentalk.maintenance.timers) does before it touches a host.
  - Needs the Python package jsonschema, version 4 or newer, on the control node, unless there are no jobs to check. It also
    needs python-dateutil if C(expired_before) of C(invite_cleanup) is set.
positional: _input
options:
  _input:
    description:
      - The jobs, as in the role's variable C(timers_jobs).
      - Nothing (C(null)) leaves out all checks of jobs, also whether there is one.
    type: dict
    required: true
  environment:
    description: Environment variables, as in the role's variable C(timers_environment).
    type: dict
    default: {}
  variables:
    description: Further variables of the role by their names, as in the role's C(_timers_variables).
    type: dict
  names:
    description: The names of variables of the host, among which may be mistyped ones of the role.
    type: list
    elements: str
    default: []
  known:
    description: The names of the role's variables.
    type: list
    elements: str
    default: []
  settings:
    description: Settings of the controller, as in the role's variable C(timers_settings). Problems never show values.
    type: dict
    default: {}
author:
  - The opentalk.maintenance authors (@opentalk)
seealso:
  - module: opentalk.maintenance.job_info
"""

EXAMPLES = r"""
- name: Check jobs
  ansible.builtin.assert:
    that: timers_jobs | opentalk.maintenance.timer_problems == []
"""

RETURN = r"""
_value:
  description: The problems, one sentence each with job, field and reason. Empty if there are none.
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError


def timer_problems(
    jobs: dict[str, Any] | None,
    environment: dict[str, Any] | None = None,
    variables: dict[str, Any] | None = None,
    names: list[str] | None = None,
    known: list[str] | None = None,
    settings: Any = None,
) -> list[str]:
    """
    :returns: what is wrong with the variables of the role
    :raises AnsibleFilterError: jsonschema is not installed, or too old
    """
    # Not above: for every task that uses a filter of a collection, ansible-core loads all of its filters anew.
    from ansible_collections.opentalk.maintenance.plugins.plugin_utils import timer_settings
    from ansible_collections.opentalk.maintenance.plugins.plugin_utils import timer_variables as checks

    problems = [*checks.name_problems(names or [], known or [])]
    try:
        problems += checks.job_problems(jobs) if jobs is not None else []
        problems += checks.environment_problems(environment or {})
    except ImportError as error:
        raise AnsibleFilterError(
            "The Python package jsonschema is missing on the control node, or older than version 4;"
            " install version 4 or newer beside ansible-core."
        ) from error
    if variables is not None:
        problems += checks.state_problems(jobs) if jobs is not None else []
        problems += checks.setting_problems(variables, has_settings=bool(settings))
    return problems + ([*timer_settings.problems(settings)] if settings else [])


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"timer_problems": timer_problems}
