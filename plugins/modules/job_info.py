#!/usr/bin/python
# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: job_info
short_description: Describe the maintenance jobs and their parameters
version_added: 1.0.0
description:
  - Returns the description, the default parameters and the JSON Schema of one maintenance job or of all.
  - The names and defaults are those of the OpenTalk controller's own jobs. Further fields of this collection
    carry C(x-extension) in the schema, and are not among the default parameters.
extends_documentation_fragment:
  - opentalk.maintenance.attributes
  - opentalk.maintenance.attributes.never_changes
options:
  job_type:
    description: The job to describe. Without it all jobs are described.
    type: str
    choices:
      - self_check
      - event_cleanup
      - user_cleanup
      - user_erasure
      - adhoc_event_cleanup
      - invite_cleanup
      - sync_storage_files
      - sync_shared_folders
      - room_cleanup
      - keycloak_account_sync
author:
  - The opentalk.maintenance authors (@opentalk)
seealso:
  - module: opentalk.maintenance.event_cleanup
"""

EXAMPLES = r"""
- name: Show the default parameters of a job
  opentalk.maintenance.job_info:
    job_type: event_cleanup
  register: info

- name: Show them
  ansible.builtin.debug:
    var: info.jobs.event_cleanup.default_parameters
"""

RETURN = r"""
jobs:
  description: The jobs, by their type.
  returned: always
  type: dict
  contains:
    description:
      description: What the job does, in one sentence.
      type: str
    default_parameters:
      description: The parameters and defaults of the controller's own job.
      type: dict
    schema:
      description: The JSON Schema (draft 2020-12) of the job's parameter object.
      type: dict
  sample:
    event_cleanup:
      default_parameters:
        days_since_last_occurrence: 30
        fail_on_shared_folder_deletion_error: false
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOB_TYPES, JOBS


def main() -> None:
    module = AnsibleModule(
        argument_spec={"job_type": {"type": "str", "choices": list(JOB_TYPES)}},
        supports_check_mode=True,
    )
    wanted = module.params["job_type"]
    module.exit_json(
        changed=False,
        jobs={
            job_type: {
                "description": job.parameters.description,
                "default_parameters": job.parameters.defaults(),
                "schema": job.parameters.schema(),
            }
            for job_type, job in JOBS.items()
            if wanted in (None, job_type)
        },
    )


if __name__ == "__main__":
    main()
