#!/usr/bin/python
# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: status_info
short_description: Tell how the jobs fare that timers start on a host
version_added: 1.1.0
description:
  - Tells of each job that has a timer of the role C(opentalk.maintenance.timers) on the host when it ran, how that ended, when it
    runs next, and whether it is overdue.
  - It asks systemd, and reads the files that runs leave in C(/var/lib/opentalk-maintenance). It needs root for these files.
  - One host does the work of a job, and the others are skipped. The playbook C(opentalk.maintenance.status) compares all hosts.
requirements:
  - busctl of systemd 240 or newer, and D-Bus
extends_documentation_fragment:
  - opentalk.maintenance.attributes
  - opentalk.maintenance.attributes.never_changes
options: {}
author:
  - The opentalk.maintenance authors (@opentalk)
seealso:
  - module: opentalk.maintenance.job_info
"""

EXAMPLES = r"""
- name: Look how the jobs fare
  opentalk.maintenance.status_info:
  become: true
  register: status

- name: Fail if a job failed or is overdue
  ansible.builtin.assert:
    that: status.problems | length == 0
    fail_msg: "{{ status.problems | join(' ') }}"
"""

RETURN = r"""
time:
  description: When the host was asked. All times are in UTC.
  returned: success
  type: str
  sample: "2026-11-27T06:10:00Z"
overdue:
  description: Whether any job is overdue.
  returned: success
  type: bool
  sample: false
problems:
  description: A sentence for each job that failed, is overdue, or has a timer that does not run. There is one, too, if no job has
    a timer.
  returned: success
  type: list
  elements: str
  sample: []
jobs:
  description: The jobs that have a timer.
  returned: success
  type: list
  elements: dict
  contains:
    job:
      description: The name of the job.
      type: str
    enabled:
      description: Whether the timer is active, and starts at boot.
      type: bool
    running:
      description: Whether the job is running now.
      type: bool
    last_run:
      description: When the last run ended. Null if there was none.
      type: str
    result:
      description: How it ended, V(success), V(skipped) or V(failed). It is skipped while another host does the work. Null if
        there was none.
      type: str
    reason:
      description: Why it failed, without ids. Null if it did not.
      type: str
    last_success:
      description: When a run on this host last did the work. Null if none did.
      type: str
    next_run:
      description: When the timer starts the job next. Null if it does not.
      type: str
    since:
      description: When the role last wrote the units of the job.
      type: str
    overdue_after:
      description: The seconds after a run in which the next one must have ended by the job's calendar. Null if it runs only once.
      type: int
    overdue:
      description:
        - Whether no run has succeeded or was skipped on this host for that long.
        - Before the first run, the time counts from C(since).
      type: bool
    shared_folders_left_behind:
      description: The shared folders that runs on this host left behind, until somebody sets the number to 0.
      type: int
  sample:
    - job: event_cleanup
      enabled: true
      running: false
      last_run: "2026-11-27T03:02:11Z"
      result: success
      reason: null
      last_success: "2026-11-27T03:02:11Z"
      next_run: "2026-11-28T03:02:04Z"
      since: "2026-11-20T14:31:40Z"
      overdue_after: 91020
      overdue: false
      shared_folders_left_behind: 0
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opentalk.maintenance.plugins.module_utils.timers import status


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    now = time.time()
    try:
        jobs = status.jobs(lambda command: module.run_command(command, handle_exceptions=False), now)
    except status.StatusUnknown as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        time=status.moment(now),
        jobs=jobs,
        overdue=any(job["overdue"] for job in jobs),
        problems=status.problems(jobs),
    )


if __name__ == "__main__":
    main()
