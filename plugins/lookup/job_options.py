# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: job_options
short_description: The options of a job from variables
version_added: 1.0.0
description:
  - Gathers the options that variables set for a job, as the playbooks of this collection do.
  - A parameter of the job has a variable with the job's name in front, such as C(event_cleanup_days_since_last_occurrence).
    So have the options C(approved_plan) and C(approved_by).
  - Every other option has a variable with C(opentalk_maintenance_) in front, such as C(opentalk_maintenance_controller_config).
    Options that only other jobs have are left out.
  - The limits C(max_affected) and C(max_affected_percent) have both. The one with the job's name wins.
  - The lookup fails if a variable begins with C(opentalk_maintenance_) or the job's name, and sets nothing. So a job does not
    delete with a default value because a name is mistyped.
options:
  _terms:
    description: The name of one job.
    type: list
    elements: str
    required: true
notes:
  - The result may have secrets in it. Do not print it.
seealso:
  - module: opentalk.maintenance.job_info
author:
  - The opentalk.maintenance authors (@opentalk)
"""

EXAMPLES = r"""
- name: Delete events with the options that variables set
  opentalk.maintenance.event_cleanup:
  module_defaults:
    group/opentalk.maintenance.jobs: "{{ lookup('opentalk.maintenance.job_options', 'event_cleanup') }}"
  run_once: true
"""

RETURN = r"""
_raw:
  description: A dictionary with the options that variables set.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleLookupError, AnsibleUndefinedVariable
from ansible.plugins.lookup import LookupBase
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import ParameterError
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import job_variables


class LookupModule(LookupBase):
    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """:raises AnsibleLookupError: there is not one job, or its variables are wrong"""
        self.set_options(var_options=variables, direct=kwargs)
        if len(terms) != 1:
            raise AnsibleLookupError("The lookup opentalk.maintenance.job_options takes the name of one job.")
        try:
            template = self._templar.template
            return [job_variables.gather(terms[0], variables or {}, template, AnsibleUndefinedVariable)]
        except ParameterError as error:
            raise AnsibleLookupError(str(error)) from None
