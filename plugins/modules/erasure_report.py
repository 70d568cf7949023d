#!/usr/bin/python
# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is the documentation. The work is done by the action plugin of the same name, on the control node.

from __future__ import annotations

DOCUMENTATION = r"""
module: erasure_report
short_description: Write a report of what was erased
version_added: 1.1.0
description:
  - Makes one report of the audit logs of all hosts, as read by M(opentalk.maintenance.audit_log_info), and writes it on the
    control node as HTML, CSV and JSON. The files C(erasure-report.html), C(erasure-report.csv) and C(erasure-report.json)
    have mode C(0600).
  - The report says what was erased on which day, what failed and when it was made good, what was left behind, whether the
    periods were kept, and by which approvals. It has ids, but no names, addresses, or titles.
  - The playbook C(opentalk.maintenance.erasure_report) reads and writes in one go.
  - If a host or a file is missing, or lines are damaged, the report says so in its head, and the module fails after it has
    written the report.
attributes:
  action:
    description: Runs on the control node, as an action plugin.
    support: full
  check_mode:
    description: Can run in C(check_mode) and return the changed status prediction without modifying the target.
    support: full
  diff_mode:
    description: Returns details on what has changed, or would change in C(check_mode), when in diff mode.
    support: none
  idempotent:
    description: When run twice in a row without changes in between, the second run changes nothing.
    support: none
    details: The report says when it was made.
options:
  logs:
    description:
      - The results of M(opentalk.maintenance.audit_log_info) by host, also those of hosts that failed or are unreachable.
    type: dict
    required: true
  lookups:
    description: The results of the same module with the option C(looked_for), by host, if several hosts have logs.
    type: dict
    default: {}
  from:
    description: The beginning of the period, as it was given to M(opentalk.maintenance.audit_log_info).
    type: str
    required: true
  until:
    description: The end of the period.
    type: str
    required: true
  deletion_window:
    description: The days that a job has to delete what is due.
    type: int
    default: 2
  directory:
    description: The directory on the control node. It is made if it is missing.
    type: path
    required: true
  report_limit:
    description: The most entries of each list of single things. All are counted.
    type: int
    default: 1000
  allow_incomplete:
    description: Whether a report that lacks a part of the evidence is a success.
    type: bool
    default: false
author:
  - The opentalk.maintenance authors (@opentalk)
seealso:
  - module: opentalk.maintenance.audit_log_info
"""

EXAMPLES = r"""
- name: Sum up the audit log of a host
  opentalk.maintenance.audit_log_info:
    paths:
      - /var/log/opentalk-maintenance/audit.log
    from: "2026-10-01"
    until: "2026-11-01"
  register: audit_log

- name: Write the report of this host
  opentalk.maintenance.erasure_report:
    logs: "{{ {inventory_hostname: audit_log} }}"
    from: "2026-10-01"
    until: "2026-11-01"
    directory: reports/2026-10
"""

RETURN = r"""
complete:
  description: Whether all audit logs were read, and no line of the period is damaged.
  returned: success
  type: bool
totals:
  description: The numbers of things that were erased, failed, were not made good, were left behind, or were erased late.
  returned: success
  type: dict
paths:
  description: The files.
  returned: success
  type: list
  elements: str
"""
