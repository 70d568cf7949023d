# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  approved_plan:
    description:
      - The RV(approval) of a preview (check mode) of the same job with the same parameters on the same database. It may come from
        a JSON file, and from another day.
      - The job decides by the moment of that preview, and touches nothing that the preview did not show. If any row that would go
        or be changed with a root came or was changed since, that root stays with all that goes with it. RV(failures) lists it,
        with the table, and the job fails in the end.
      - What is gone already makes no difference. You may remove ids from O(approved_plan.roots), whose roots stay then.
    type: dict
    suboptions:
      job_type:
        description: The job of the preview.
        type: str
        required: true
      parameters:
        description: The parameters of the job.
        type: dict
        required: true
      database:
        description: Tells the database from others, and from what it becomes after a restore.
        type: str
        required: true
      snapshot:
        description: What was committed in the database, as PostgreSQL's type pg_snapshot.
        type: str
        required: true
      moment:
        description: The moment by which the job decides, in ISO 8601 with a time zone.
        type: str
        required: true
      roots:
        description:
          - The ids of all roots by kind, whatever O(report_limit) is.
          - An object has the id in its key, a space, and the time of its last write. So has a shared folder, with the id in its
            name.
        type: dict
        required: true
      counts:
        description: The numbers of things by kind, for people.
        type: dict
        default: {}
  approved_by:
    description:
      - What the approval is known by, such as the number of a ticket. The audit log says it, if the run has O(approved_plan).
      - At most 64 letters, digits, and the characters C(.), C(_), C(/), C(#), C(:) and C(-). Give no names or mail addresses.
    type: str
    version_added: 1.1.0
"""
