# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: night
short_description: The jobs of a night, in their order
version_added: 1.0.0
description:
  - Decides which jobs the playbook C(opentalk.maintenance.all_jobs) runs, by its variables C(all_jobs_jobs) and
    C(all_jobs_keep_going).
  - It checks the variables of all jobs first. It fails if one of them sets nothing or cannot be evaluated, so that nothing
    is deleted before the mistake is found.
options: {}
seealso:
  - plugin: opentalk.maintenance.job_options
    plugin_type: lookup
author:
  - The opentalk.maintenance authors (@opentalk)
"""

EXAMPLES = r"""
- name: Name the jobs of a night
  ansible.builtin.debug:
    var: lookup('opentalk.maintenance.night').jobs
"""

RETURN = r"""
_raw:
  description: A dictionary with C(jobs), the names of the jobs in their order, and C(keep_going), a boolean.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleLookupError, AnsibleUndefinedVariable
from ansible.plugins.lookup import LookupBase
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import ParameterError
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import night


class LookupModule(LookupBase):
    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """:raises AnsibleLookupError: a variable is wrong"""
        self.set_options(var_options=variables, direct=kwargs)
        if terms:
            raise AnsibleLookupError("The lookup opentalk.maintenance.night takes no terms.")
        try:
            return [night.decide(variables or {}, self._templar.template, AnsibleUndefinedVariable)]
        except ParameterError as error:
            raise AnsibleLookupError(str(error)) from None
