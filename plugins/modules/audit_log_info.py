#!/usr/bin/python
# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_log_info
short_description: Sum up the audit logs of one host
version_added: 1.1.0
description:
  - Reads the audit logs that the jobs write on a host, with the files that logrotate made of them, and returns sums of each run.
    Of single things it returns only those that were not deleted when it was their turn.
  - The playbook C(opentalk.maintenance.erasure_report) makes a report of the results of all hosts.
  - A line that is in several files, because a file was copied, counts once.
extends_documentation_fragment:
  - opentalk.maintenance.attributes
  - opentalk.maintenance.attributes.never_changes
options:
  paths:
    description:
      - The audit logs. Files that logrotate made are found beside them, such as C(audit.log.1), C(audit.log.2.gz) and
        C(audit.log-20261101.xz). They may be compressed with gzip, bzip2 or xz.
    type: list
    elements: path
    required: true
  from:
    description:
      - The beginning of the period, a date or a timestamp in ISO 8601. Without an offset it is in UTC.
    type: str
    required: true
  until:
    description: The end of the period. It is not part of it.
    type: str
    required: true
  deletion_window:
    description: The days that a job has to delete what is due.
    type: int
    default: 2
  looked_for:
    description: Things of which RV(found) is to say when they were deleted, as in RV(open_ids) of another host.
    type: list
    elements: str
    default: []
author:
  - The opentalk.maintenance authors (@opentalk)
seealso:
  - module: opentalk.maintenance.erasure_report
"""

EXAMPLES = r"""
- name: Sum up what was erased in a month
  opentalk.maintenance.audit_log_info:
    paths:
      - /var/log/opentalk-maintenance/audit.log
    from: "2026-10-01"
    until: "2026-11-01"
  register: audit_log
"""

RETURN = r"""
runs:
  description: The runs with lines in the period or after it.
  returned: success
  type: list
  elements: dict
  contains:
    run:
      description: The id of the run.
      type: str
    job:
      description: The job.
      type: str
    host:
      description: The name that the host has for itself.
      type: str
    started:
      description: When it started.
      type: str
    ended:
      description: When it ended; null if it died or is in progress.
      type: str
    status:
      description: C(succeeded), C(failed), C(skipped), or C(no end).
      type: str
    failures:
      description: The number of things that stayed.
      type: int
    parameters:
      description: The job's parameters; null if the log lacks them.
      type: dict
    approval:
      description: The moment and the reference of the approval that the run was held to, or null.
      type: dict
    days:
      description: By day, the numbers of deleted things by kind and of deleted rows by table, within the period.
      type: dict
    retention:
      description: By kind, how long after they were due things were deleted.
      type: dict
unfinished:
  description: Things that were not deleted when it was their turn, with the time of their deletion if it came later.
  returned: success
  type: list
  elements: dict
open_ids:
  description: Those of them whose deletion this host does not know of, as kind and id.
  returned: success
  type: list
  elements: str
found:
  description: When the things of O(looked_for) were deleted, as far as this host did it.
  returned: success
  type: dict
files:
  description: The files with the numbers of their lines, the damaged and the repeated ones, and the times of the first and last.
  returned: success
  type: list
  elements: dict
damaged_lines:
  description: File and number of up to 1000 damaged lines that may be of the period.
  returned: success
  type: list
  elements: dict
damaged_count:
  description: The number of all damaged lines.
  returned: success
  type: int
problems:
  description: Files that are missing, or cannot be read, or not to their end.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opentalk.maintenance.plugins.module_utils.evidence import moments, reading

OPTIONS = {
    "paths": {"type": "list", "elements": "path", "required": True},
    "from": {"type": "str", "required": True},
    "until": {"type": "str", "required": True},
    "deletion_window": {"type": "int", "default": 2},
    "looked_for": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    options = module.params
    try:
        begin, end = moments.period(options["from"], options["until"])
    except ValueError as error:
        module.fail_json(msg=str(error))
    reader = reading.Reader(begin, end, 86400 * options["deletion_window"], options["looked_for"])
    reader.read(options["paths"])
    module.exit_json(changed=False, **reader.result())


if __name__ == "__main__":
    main()
