#!/usr/bin/python
# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: self_check
short_description: Check that jobs can be executed
version_added: 1.0.0
description:
  - Prints log messages of every severity and changes nothing.
  - With O(connections=true), the module also looks at everything that the other jobs need, and names all faults at once.
  - Use it to verify that jobs can be executed on a host.
extends_documentation_fragment:
  - opentalk.maintenance.attributes
  - opentalk.maintenance.attributes.never_changes
  - opentalk.maintenance.job
  - opentalk.maintenance.database
  - opentalk.maintenance.object_storage
  - opentalk.maintenance.shared_folder
  - opentalk.maintenance.keycloak
options:
  connections:
    description:
      - Whether the module looks at the Python packages, the settings, the database, the bucket, the cloud and Keycloak.
      - It only reads. It checks that the database user may delete, and that nothing in the database would keep the jobs from
        it.
      - The module fails if one of them does not work.
    type: bool
    default: false
author:
  - The opentalk.maintenance authors (@opentalk)
seealso:
  - module: opentalk.maintenance.job_info
"""

EXAMPLES = r"""
- name: Check that jobs can be executed
  opentalk.maintenance.self_check:
    hide_duration: true
  register: check

- name: Look at everything that the other jobs need
  opentalk.maintenance.self_check:
    connections: true

- name: Show what the job logged
  ansible.builtin.debug:
    var: check.log
"""

RETURN = r"""
connections:
  description: What the module found out about each thing that jobs need.
  returned: with O(connections=true), unless the options or settings are wrong
  type: list
  elements: dict
  contains:
    name:
      description: The thing.
      type: str
      sample: database
    status:
      description: V(ok), V(failed), or V(not set) if only some jobs need it and the settings say nothing about it.
      type: str
      sample: ok
    details:
      description: A clause about what works, or a sentence about what does not.
      type: str
      sample: PostgreSQL 15.18, migration 67, all rights on 26 tables
job_type:
  description: The job that ran.
  returned: always
  type: str
  sample: self_check
log:
  description: The lines of the job's log, in the format of the controller's own jobs.
  returned: always
  type: list
  elements: str
  sample: ["[INFO ] Starting job execution", "[INFO ] Loading parameters"]
duration:
  description: The duration of the job in seconds.
  returned: unless the options or settings are wrong, or O(hide_duration=true)
  type: float
  sample: 0.412
skipped:
  description: Always false, because this job needs no lock. All jobs return it.
  returned: unless the options or settings are wrong
  type: bool
failure_count:
  description: Always 0. All jobs return it.
  returned: unless the options or settings are wrong
  type: int
  sample: 0
failures:
  description: Always empty. All jobs return it.
  returned: unless the options or settings are wrong
  type: list
  elements: dict
shared_folders_left_behind:
  description: Always empty. All jobs return it.
  returned: unless the options or settings are wrong
  type: list
  elements: dict
shared_folders_left_behind_count:
  description: Always 0. All jobs return it.
  returned: unless the options or settings are wrong
  type: int
  sample: 0
plan:
  description: Always without effects, because nothing is changed. All jobs return it.
  returned: unless the options or settings are wrong
  type: dict
  contains: &effects
    rows_deleted:
      description: Always empty.
      type: dict
    rows_updated:
      description: Always empty.
      type: dict
done:
  description: The same as RV(plan).
  returned: unless the options or settings are wrong
  type: dict
  contains: *effects
"""

from ansible_collections.opentalk.maintenance.plugins.module_utils.engine import runner
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.self_check import SelfCheck


def main() -> None:
    runner.main(SelfCheck)


if __name__ == "__main__":
    main()
