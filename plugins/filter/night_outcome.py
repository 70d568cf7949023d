# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: night_outcome
short_description: Tell in one line what became of a job
version_added: 1.0.0
description: Used by the playbook C(opentalk.maintenance.all_jobs) for its summary.
positional: _input, job_type, check_mode
options:
  _input:
    description: What the module of the job returned. Empty if the job was not started.
    type: dict
    required: true
  job_type:
    description: The name of the job.
    type: str
    required: true
  check_mode:
    description: Whether it was a preview.
    type: bool
    required: true
author:
  - The opentalk.maintenance authors (@opentalk)
"""

EXAMPLES = r"""
- name: Tell what became of a job
  ansible.builtin.debug:
    msg: "{{ (job | opentalk.maintenance.night_outcome('event_cleanup', ansible_check_mode)).text }}"
"""

RETURN = r"""
_value:
  description: The name of the C(job), its C(status), and a line of C(text) with the numbers of things or the reason.
  type: dict
"""

from collections.abc import Callable
from typing import Any


def night_outcome(result: dict[str, Any], job_type: str, check_mode: bool) -> dict[str, str]:
    """What became of a job: ``job``, ``status`` and ``text``."""
    # Not above: for every task that uses a filter of a collection, ansible-core loads all of its filters anew.
    from ansible_collections.opentalk.maintenance.plugins.plugin_utils import night

    return night.outcome(result, job_type, check_mode)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"night_outcome": night_outcome}
