#!/usr/bin/python
# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sync_shared_folders
short_description: Find shared folders of events that are gone
version_added: 1.1.0
description:
  - Lists the directory of the shared folders on Nextcloud or OpenCloud once, and compares it with the events in the database.
    A folder belongs to an event if its name is exactly C(opentalk-event-) and the id of the event in lower case.
  - Counts and lists shared folders whose event is not in the database. It deletes them only with
    O(orphaned_shared_folders=delete), and only if they are old enough. It leaves everything else in the directory alone.
  - Asks the database again right before each deletion, because the event may have come since.
  - Counts and lists the other way round shared folders that the database records, but that are not on the cloud. It changes
    nothing about these. A record goes with its event.
  - Changes nothing and fails if the directory cannot be listed, or if all of more than 10 recorded folders are missing.
  - O(max_affected) and O(max_affected_percent) limit the folders to be deleted. The percentage is of these and all shared
    folders that have an event.
  - Without O(max_affected) and O(max_affected_percent), refuses to delete more than 10 folders that are more than 20 percent of
    these, and any folder if no folder at all has an event. Such a share may come from a copy of the database or a wrong account.
  - In check mode the module shows exactly what a run would delete, and writes nothing.
extends_documentation_fragment:
  - opentalk.maintenance.attributes
  - opentalk.maintenance.attributes.deletes
  - opentalk.maintenance.job
  - opentalk.maintenance.database
  - opentalk.maintenance.shared_folder
  - opentalk.maintenance.shared_folder.handling
  - opentalk.maintenance.shared_folder.tls
  - opentalk.maintenance.deletion
  - opentalk.maintenance.audit
  - opentalk.maintenance.approval
options:
  orphaned_shared_folders:
    description: What happens to a shared folder that has no event.
    type: str
    choices:
      report: It is counted and listed.
      delete: It is deleted with its share links if it is older than O(orphan_min_age).
    default: report
  orphan_min_age:
    description:
      - The age in seconds below which a shared folder is never deleted, by the clock of the cloud. The age counts from the last
        change of the folder, or from its creation if that was later. A new folder is there before its event is in the database.
    type: int
    default: 86400
  previous_directories:
    description:
      - Earlier values of C(directory) in section C([shared_folder]) of the settings. Their shared folders are looked at, too.
      - V(/) is the root of the account, which is the directory if that setting is missing.
    type: list
    elements: str
    default: []
  fail_on_shared_folder_deletion_error:
    description:
      - Whether a shared folder that cannot be deleted stops the job and makes it fail. Otherwise it is a warning, and the next
        run tries again.
    type: bool
    default: false
author:
  - The opentalk.maintenance authors (@opentalk)
seealso:
  - module: opentalk.maintenance.event_cleanup
"""

EXAMPLES = r"""
- name: See which shared folders have no event
  opentalk.maintenance.sync_shared_folders:
    controller_config: /etc/opentalk/controller.toml
  register: job

- name: Delete them, also in the directory that the settings had before
  opentalk.maintenance.sync_shared_folders:
    controller_config: /etc/opentalk/controller.toml
    orphaned_shared_folders: delete
    previous_directories: [opentalk/old]
    max_affected: 100
"""

RETURN = r"""
job_type:
  description: The job that ran.
  returned: always
  type: str
  sample: sync_shared_folders
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
  description: The number of failures. RV(failures) lists at most O(report_limit) of them, but at least one.
  returned: unless the options or settings are wrong
  type: int
  sample: 0
failures:
  description:
    - Directories that are absent although the database records folders in them, and folders of O(approved_plan) that were
      changed since. The module fails if there are any.
  returned: unless the options or settings are wrong
  type: list
  elements: dict
  contains:
    kind:
      description: The kind, V(directories) or V(shared_folders).
      type: str
      sample: directories
    id:
      description: The path of the directory, or the id of the event.
      type: str
      sample: opentalk/old
    reason:
      description: What is wrong.
      type: str
      sample: "the cloud has no such directory, but the database records folders in it: 12"
shared_folders_left_behind:
  description: The shared folders that could not be deleted. The next run tries again.
  returned: unless the options or settings are wrong
  type: list
  elements: dict
  contains:
    event_id:
      description: The id in the name of the folder.
      type: str
      sample: 3f8b6a1e-58a5-4d0c-8f6c-5f3f0f1b2c3d
    provider:
      description: The kind of server, V(nextcloud) or V(opencloud).
      type: str
      sample: nextcloud
    path:
      description: The path of the folder.
      type: str
      sample: opentalk/meetings/opentalk-event-3f8b6a1e-58a5-4d0c-8f6c-5f3f0f1b2c3d
    shares:
      description: Always empty, because the database does not record the share links. The cloud knows those that are left.
      type: dict
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
    - Lists hold at most O(report_limit) entries. Counts are always complete.
  returned: unless the options or settings are wrong
  type: dict
  contains: &effects
    orphaned_shared_folders:
      description:
        - Shared folders that have no event and are older than O(orphan_min_age), as C(count), C(items) and C(truncated).
        - With O(orphaned_shared_folders=report) they count as no change. With O(orphaned_shared_folders=delete) they are deleted,
          and C(in_trash) of an entry says whether a copy may be in the trash bin of the cloud, see O(empty_trash).
      type: dict
      sample: &listing
        count: 1
        items:
          - event_id: 3f8b6a1e-58a5-4d0c-8f6c-5f3f0f1b2c3d
            provider: nextcloud
            path: opentalk/meetings/opentalk-event-3f8b6a1e-58a5-4d0c-8f6c-5f3f0f1b2c3d
        truncated: false
    young_orphaned_shared_folders:
      description: Shared folders that have no event and are younger than O(orphan_min_age). They stay.
      type: dict
      sample: *listing
    undated_orphaned_shared_folders:
      description: Shared folders that have no event, and of which the cloud tells no time. They stay.
      type: dict
      sample: *listing
    missing_shared_folders:
      description: Shared folders that the database records in the directories, but that are not on the cloud. The records stay.
      type: dict
      sample: *listing
    rows_deleted:
      description: Always empty. All jobs return it.
      type: dict
    rows_updated:
      description: Always empty. All jobs return it.
      type: dict
approval:
  description:
    - What a run needs to be held to this preview, for O(approved_plan). It has all folders to be deleted, with the times of their
      last change, whatever O(report_limit) is.
    - It is not there if the database server is a standby server.
  returned: in check mode, unless the module fails or another run is in progress
  type: dict
  sample:
    job_type: sync_shared_folders
    parameters:
      fail_on_shared_folder_deletion_error: false
      orphan_min_age: 86400
      orphaned_shared_folders: delete
      previous_directories: []
    database: "16384/7312345678901234567/00000001"
    snapshot: "81234:81234:"
    moment: "2026-11-27T20:00:00.123456+00:00"
    roots: {"shared_folders": ["00000000-0000-4000-8000-000000000001 2026-11-01T08:00:00+00:00"]}
    counts: {"orphaned_shared_folders": 1}
done:
  description: The effects that are confirmed, in the same form as RV(plan). Empty in check mode.
  returned: unless the options or settings are wrong
  type: dict
  contains: *effects
"""

from ansible_collections.opentalk.maintenance.plugins.module_utils.engine import runner
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.sync_shared_folders import SyncSharedFolders


def main() -> None:
    runner.main(SyncSharedFolders)


if __name__ == "__main__":
    main()
