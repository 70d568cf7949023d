#!/usr/bin/python
# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sync_storage_files
short_description: Synchronize assets in the database with the objects in the storage
version_added: 1.0.0
description:
  - Lists the bucket once and compares every asset in the database with it. Sizes that differ are set to those of the
    objects. O(missing_storage_file_handling) decides about assets without an object.
  - Looks up a missing object once more before it changes the asset, because the object may have been uploaded since.
  - Counts and lists objects that have the key of an asset, but no asset. It deletes them only with
    O(orphaned_objects=delete), and only if they are old enough. It counts objects with any other key and leaves them alone.
  - Changes nothing and fails if the listing fails.
  - O(max_affected) and O(max_affected_percent) limit assets without an object and objects to be deleted. Corrected sizes do
    not count. The percentage is of all assets and, with O(orphaned_objects=delete), all objects without an asset.
  - Without O(max_affected) and O(max_affected_percent), refuses to delete more than 10 rows that are more than 20 percent of
    the assets, and more than 10 objects that are more than 20 percent of those that have an asset or are old enough to be
    deleted. Such a share may come from a copy of the database or of the bucket. The module warns if such a share of the
    sizes would be set to zero.
  - If no asset has an object in the bucket, the settings may name the wrong bucket or the wrong database. The module warns.
    It fails if something would be deleted because of it, unless O(max_affected) or O(max_affected_percent) is set.
  - In check mode the module shows exactly what a run would change, and writes nothing.
extends_documentation_fragment:
  - opentalk.maintenance.attributes
  - opentalk.maintenance.attributes.deletes
  - opentalk.maintenance.job
  - opentalk.maintenance.database
  - opentalk.maintenance.object_storage
  - opentalk.maintenance.deletion
  - opentalk.maintenance.audit
  - opentalk.maintenance.approval
options:
  missing_storage_file_handling:
    description: What happens to an asset whose object is missing from the storage.
    type: str
    choices:
      set_file_size_to_zero: Its size in the database is set to zero. An asset whose size is zero already stays as it is.
      delete_asset_entry: It is deleted from the database.
    default: set_file_size_to_zero
  orphaned_objects:
    description: What happens to an object that has the key of an asset, but no asset.
    type: str
    choices:
      report: It is counted and listed.
      delete: It is deleted with all its versions if it is older than O(orphan_min_age).
    default: report
  orphan_min_age:
    description:
      - The age in seconds below which an object is never deleted, by the clock of the storage server. An upload in progress
        has its object before its asset is in the database.
    type: int
    default: 86400
author:
  - The opentalk.maintenance authors (@opentalk)
seealso:
  - module: opentalk.maintenance.event_cleanup
"""

EXAMPLES = r"""
- name: Correct the sizes of assets
  opentalk.maintenance.sync_storage_files:
    controller_config: /etc/opentalk/controller.toml

- name: See which objects have no asset
  opentalk.maintenance.sync_storage_files:
    controller_config: /etc/opentalk/controller.toml
  check_mode: true
  register: job

- name: Delete assets without an object and objects without an asset, unless there are more than expected
  opentalk.maintenance.sync_storage_files:
    controller_config: /etc/opentalk/controller.toml
    missing_storage_file_handling: delete_asset_entry
    orphaned_objects: delete
    max_affected: 100
"""

RETURN = r"""
job_type:
  description: The job that ran.
  returned: always
  type: str
  sample: sync_storage_files
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
    - The assets and objects that could not be changed or deleted. The module fails if there are any.
  returned: unless the options or settings are wrong
  type: list
  elements: dict
  contains:
    kind:
      description: The kind, V(assets) or V(objects).
      type: str
      sample: objects
    id:
      description: The id of the asset, which is also in the key of its object.
      type: str
      sample: 3f8b6a1e-58a5-4d0c-8f6c-5f3f0f1b2c3d
    reason:
      description: Why it stays.
      type: str
      sample: the object storage refused to delete it (AccessDenied)
shared_folders_left_behind:
  description: Always empty, because this job touches no folders. All jobs return it.
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
    assets_resized:
      description: Assets whose size is corrected, as C(count), C(items) with sizes in bytes, and C(truncated).
      type: dict
      sample: {"count": 1, "items": [{"id": "3f8b6a1e-58a5-4d0c-8f6c-5f3f0f1b2c3d", "from": 10, "to": 12}], "truncated": false}
    assets_missing:
      description: Assets without an object that are changed or deleted, as C(count), C(ids), and C(truncated).
      type: dict
      sample: {"count": 1, "ids": ["a3c1de55-6f6e-4a86-b5a1-0f7e2f4f8f11"], "truncated": false}
    orphaned_objects:
      description:
        - Objects without an asset, by the id in their keys, as C(count), C(ids), C(truncated), and C(bytes).
        - With O(orphaned_objects=report) these are all of them, and they count as no change.
        - With O(orphaned_objects=delete) these are the ones that are deleted.
      type: dict
      sample: {"count": 1, "ids": ["77a9b2c5-0a51-4d0b-9a5e-1c8a3f5d2e10"], "truncated": false, "bytes": 16384}
    young_orphaned_objects:
      description: The objects that O(orphaned_objects=delete) leaves because they are younger than O(orphan_min_age).
      type: dict
    unknown_objects:
      description: The number and the bytes of objects that do not have the key of an asset. Their keys are not shown,
        because they may be anything.
      type: dict
      sample: {"count": 3, "bytes": 4096}
    rows_deleted:
      description: The number of deleted rows by table. Tables without any are left out.
      type: dict
      sample: {"assets": 1, "room_assets": 1}
    rows_updated:
      description: The number of changed rows by table.
      type: dict
      sample: {"assets": 2}
approval:
  description:
    - What a run needs to be held to this preview, for O(approved_plan). It has the ids of all roots, whatever O(report_limit) is.
    - It is not there if the database server is a standby server.
  returned: in check mode, unless the module fails or another run is in progress
  type: dict
  sample:
    job_type: sync_storage_files
    parameters: {"missing_storage_file_handling": "set_file_size_to_zero", "orphan_min_age": 86400, "orphaned_objects": "report"}
    database: "16384/7312345678901234567/00000001"
    snapshot: "81234:81234:"
    moment: "2026-11-27T20:00:00.123456+00:00"
    roots: {"missing": ["00000000-0000-4000-8000-000000000001"]}
    counts: {"assets_missing": 1}
done:
  description: The effects that are confirmed, in the same form as RV(plan). Empty in check mode.
  returned: unless the options or settings are wrong
  type: dict
  contains: *effects
"""

from ansible_collections.opentalk.maintenance.plugins.module_utils.engine import runner
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.sync_storage_files import SyncStorageFiles


def main() -> None:
    runner.main(SyncStorageFiles)


if __name__ == "__main__":
    main()
