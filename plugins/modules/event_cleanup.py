#!/usr/bin/python
# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: event_cleanup
short_description: Delete events that ended a number of days ago
version_added: 1.0.0
description:
  - Deletes events that do not recur and ended at least O(days_since_last_occurrence) days ago, with everything that
    belongs to them. Its purpose is to erase personal data on time.
  - An event goes with its room and with all rows that reference one of the two. The room's assets go with their objects
    in the storage. The permissions for all of these go, too.
  - Events without a date are never deleted.
  - In check mode the module shows exactly what a run would delete, and writes nothing.
  - A batch is one transaction. It deletes rows first, then objects and shared folders, and commits last. What PostgreSQL
    refuses to delete stays with its objects, and the next run completes a run that was interrupted.
  - The shared folder of an event is deleted from Nextcloud or OpenCloud, its share links first.
    O(fail_on_shared_folder_deletion_error) decides what happens if that is impossible.
extends_documentation_fragment:
  - opentalk.maintenance.attributes
  - opentalk.maintenance.attributes.deletes
  - opentalk.maintenance.job
  - opentalk.maintenance.database
  - opentalk.maintenance.object_storage
  - opentalk.maintenance.object_storage.outside
  - opentalk.maintenance.shared_folder
  - opentalk.maintenance.shared_folder.handling
  - opentalk.maintenance.deletion
  - opentalk.maintenance.audit
  - opentalk.maintenance.approval
  - opentalk.maintenance.temporary_indexes
options:
  days_since_last_occurrence:
    description: The number of days that must have passed since the end of an event, at least 1.
    type: int
    default: 30
  fail_on_shared_folder_deletion_error:
    description:
      - Whether a shared folder that cannot be deleted stops the job. The event then stays.
      - Otherwise the module warns, deletes the event, and lists the folder in RV(shared_folders_left_behind).
    type: bool
    default: false
  include_finished_series:
    description:
      - Whether recurring events are deleted, too. Their rule must be finite (C(COUNT) or C(UNTIL)), and their last
        occurrence must have ended at least O(days_since_last_occurrence) days ago. The rule is expanded in the event's own
        time zone.
      - An event stays, with a warning, if its rule cannot be used. It also stays if an occurrence was moved to a later time.
      - This needs the Python package C(python-dateutil) and a time zone database on the host.
    type: bool
    default: false
author:
  - The opentalk.maintenance authors (@opentalk)
seealso:
  - module: opentalk.maintenance.job_info
"""

EXAMPLES = r"""
- name: Delete events that ended more than 60 days ago
  opentalk.maintenance.event_cleanup:
    controller_config: /etc/opentalk/controller.toml
    days_since_last_occurrence: 60
    max_affected_percent: 20

- name: See what would be deleted
  opentalk.maintenance.event_cleanup:
    controller_config: /etc/opentalk/controller.toml
  check_mode: true
  diff: true
  register: preview
"""

RETURN = r"""
job_type:
  description: The job that ran.
  returned: always
  type: str
  sample: event_cleanup
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
      sample: events
    id:
      description: The id of the row.
      type: str
      sample: 3f8b6a1e-58a5-4d0c-8f6c-5f3f0f1b2c3d
    reason:
      description: Why it stays.
      type: str
      sample: the object storage refused to delete it (AccessDenied)
shared_folders_left_behind:
  description:
    - The shared folders of deleted events that could not be deleted and must be removed by hand.
    - If the connection to the database broke in the commit, the reason says that nobody knows whether the event was deleted.
    - In check mode the list has the folders that can never be deleted, such as one outside the directory of the settings.
  returned: unless the options or settings are wrong
  type: list
  elements: dict
  contains:
    event_id:
      description: The id of the event that had the folder.
      type: str
      sample: 3f8b6a1e-58a5-4d0c-8f6c-5f3f0f1b2c3d
    provider:
      description: Where the folder is, V(nextcloud) or V(opencloud).
      type: str
      sample: nextcloud
    path:
      description: The path of the folder.
      type: str
      sample: opentalk/meetings/3f8b6a1e-58a5-4d0c-8f6c-5f3f0f1b2c3d
    shares:
      description: The ids of its share links.
      type: dict
      sample: {"write": "17", "read": "18"}
    reason:
      description: Why it could not be deleted.
      type: str
      sample: the server answered every time with status 423
shared_folders_left_behind_count:
  description: The number of these shared folders. If the module fails, RV(shared_folders_left_behind) has five at most.
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
    events:
      description: The events, as C(count), C(ids), and whether the ids are C(truncated).
      type: dict
      sample: {"count": 1, "ids": ["3f8b6a1e-58a5-4d0c-8f6c-5f3f0f1b2c3d"], "truncated": false}
    events_of_other_users:
      description: Empty. M(opentalk.maintenance.user_cleanup) lists events here that other users created.
      type: dict
    users:
      description: Empty. M(opentalk.maintenance.user_cleanup) lists the users here.
      type: dict
    rooms:
      description: The rooms of these events.
      type: dict
    invites:
      description: The invites to these rooms.
      type: dict
    assets:
      description: The assets of these rooms, with their size in C(bytes). Their objects are deleted from the storage.
      type: dict
    shared_folders:
      description:
        - The shared folders of these events, as C(count), C(items) and C(truncated).
        - An entry has C(event_id), C(provider), C(path) and C(in_trash). The last one says whether a copy may be in the trash
          bin of the cloud, see O(empty_trash).
      type: dict
    temporary_indexes:
      description:
        - The indexes that O(temporary_indexes) builds for this run, as C(count), C(items) with table and columns, and
          C(truncated). They count as no change, because the run drops them at its end.
      type: dict
      sample: {"count": 1, "items": [{"table": "invites", "columns": ["room"]}], "truncated": false}
    rows_deleted:
      description: The number of deleted rows by table. Tables without any are left out.
      type: dict
      sample: {"events": 1, "invites": 3, "rooms": 1}
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
    job_type: event_cleanup
    parameters:
      days_since_last_occurrence: 30
      fail_on_shared_folder_deletion_error: false
      include_finished_series: false
    database: "16384/7312345678901234567/00000001"
    snapshot: "81234:81234:"
    moment: "2026-11-27T20:00:00.123456+00:00"
    roots: {"events": ["00000000-0000-4000-8000-000000000001"]}
    counts: {"events": 1, "rooms": 1}
done:
  description: The effects that are confirmed, in the same form as RV(plan). Empty in check mode.
  returned: unless the options or settings are wrong
  type: dict
  contains: *effects
"""

from ansible_collections.opentalk.maintenance.plugins.module_utils.engine import runner
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.event_cleanup import EventCleanup


def main() -> None:
    runner.main(EventCleanup)


if __name__ == "__main__":
    main()
