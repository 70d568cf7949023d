#!/usr/bin/python
# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: invite_cleanup
short_description: Clear the permissions of inactive or expired invites
version_added: 1.0.0
description:
  - Deletes the permissions of invites that are not active, or that expired before O(expired_before). The invites stay,
    unless O(delete_invites=true).
  - Up to migration 65 of the controller's database, permissions are rows of the table C(casbin_rule). From 66 on they
    follow from the invites themselves. Then there is nothing to clear, and the log says so.
  - In check mode the module shows exactly what a run would delete, and writes nothing.
extends_documentation_fragment:
  - opentalk.maintenance.attributes
  - opentalk.maintenance.attributes.deletes
  - opentalk.maintenance.job
  - opentalk.maintenance.database
  - opentalk.maintenance.deletion
  - opentalk.maintenance.audit
  - opentalk.maintenance.approval
  - opentalk.maintenance.temporary_indexes
options:
  expired_before:
    description:
      - A date or timestamp in ISO 8601, such as V(2026-01-31) or V(2026-01-31T12:00:00+01:00). An invite counts as
        expired when its expiration lies before it. Without an offset the timestamp is in UTC.
      - Without it, the clock of the database server counts.
      - The module warns of a timestamp in the future, because invites that are still valid lose their permissions.
      - This needs the Python package C(python-dateutil) on the host.
    type: str
  delete_invites:
    description: Whether the invites themselves are deleted, too.
    type: bool
    default: false
author:
  - The opentalk.maintenance authors (@opentalk)
seealso:
  - module: opentalk.maintenance.job_info
"""

EXAMPLES = r"""
- name: Clear the permissions of all invites that are expired or inactive
  opentalk.maintenance.invite_cleanup:
    controller_config: /etc/opentalk/controller.toml

- name: See which invites expired before this year
  opentalk.maintenance.invite_cleanup:
    controller_config: /etc/opentalk/controller.toml
    expired_before: "2026-01-01T00:00:00+01:00"
    delete_invites: true
  check_mode: true
  diff: true
"""

RETURN = r"""
job_type:
  description: The job that ran.
  returned: always
  type: str
  sample: invite_cleanup
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
  description: Whether nothing was done because another run of the same job was in progress.
  returned: unless the options or settings are wrong
  type: bool
failure_count:
  description: The number of failures. RV(failures) has the first five of them, and the journal of the host has all.
  returned: unless the options or settings are wrong
  type: int
  sample: 0
failures:
  description:
    - The rows that could not be deleted and so stay in the database. The module fails if there are any.
  returned: unless the options or settings are wrong
  type: list
  elements: dict
  contains:
    kind:
      description: The table of the row.
      type: str
      sample: invites
    id:
      description: The id of the row.
      type: str
      sample: 3f8b6a1e-58a5-4d0c-8f6c-5f3f0f1b2c3d
    reason:
      description: Why it stays.
      type: str
      sample: another session holds a lock on it
shared_folders_left_behind:
  description: Always empty, because invites have no folders. All jobs return it.
  returned: unless the options or settings are wrong
  type: list
  elements: dict
shared_folders_left_behind_count:
  description: Always 0. All jobs return it.
  returned: unless the options or settings are wrong
  type: int
  sample: 0
plan:
  description:
    - The plan, which is what the run set out to do. In check mode it is what a run would do.
    - Lists hold at most O(report_limit) entries, and at most five if the module fails. Counts are always complete.
  returned: unless the options or settings are wrong
  type: dict
  contains: &effects
    invites:
      description:
        - The invites that lose permissions, as C(count), C(ids), and whether the ids are C(truncated).
        - With O(delete_invites=true) the invites that are deleted.
      type: dict
      sample: {"count": 1, "ids": ["3f8b6a1e-58a5-4d0c-8f6c-5f3f0f1b2c3d"], "truncated": false}
    temporary_indexes:
      description:
        - The indexes that O(temporary_indexes) builds for this run, as C(count), C(items) with table and columns, and
          C(truncated). They count as no change, because the run drops them at its end.
      type: dict
      sample: {"count": 1, "items": [{"table": "invites", "columns": ["room"]}], "truncated": false}
    rows_deleted:
      description: The number of deleted rows by table. Tables without any are left out.
      type: dict
      sample: {"casbin_rule": 4}
    rows_updated:
      description: The number of rows by table that stay and lose a reference to a deleted row.
      type: dict
approval:
  description:
    - What a run needs to be held to this preview, for O(approved_plan). It has the ids of all roots, whatever O(report_limit) is.
    - It is not there if the database server is a standby server.
  returned: in check mode, unless the module fails or another run is in progress
  type: dict
  sample:
    job_type: invite_cleanup
    parameters: {"delete_invites": false, "expired_before": null}
    database: "16384/7312345678901234567/00000001"
    snapshot: "81234:81234:"
    moment: "2026-11-27T20:00:00.123456+00:00"
    roots: {"invites": ["00000000-0000-4000-8000-000000000001"]}
    counts: {"invites": 1}
done:
  description: The effects that are confirmed, in the same form as RV(plan). Empty in check mode.
  returned: unless the options or settings are wrong
  type: dict
  contains: *effects
"""

from ansible_collections.opentalk.maintenance.plugins.module_utils.engine import runner
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.invite_cleanup import InviteCleanup


def main() -> None:
    runner.main(InviteCleanup)


if __name__ == "__main__":
    main()
