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
  - Counts and lists assets that no room has, uploads that were not completed, and versions of objects that no asset knows, if
    they are older than O(orphan_min_age). It deletes them only with O(unlinked_assets=delete), O(unfinished_uploads=abort) and
    O(hidden_versions=delete).
  - Changes nothing and fails if the listing of the objects fails. If it has no right to look for uploads, versions or links, it
    warns and goes on without. It fails in the end if it was to delete these things.
  - O(max_affected) and O(max_affected_percent) limit assets without an object and everything to be deleted or aborted. Corrected
    sizes do not count. The percentage is of all assets, with O(orphaned_objects=delete) all objects without an asset, and the
    uploads to be aborted and keys whose versions are to be deleted.
  - Without O(max_affected) and O(max_affected_percent), refuses to delete more than 10 rows that are more than 20 percent of
    the assets, and more than 10 objects that are more than 20 percent of those that have an asset or are old enough to be
    deleted. The same is true for uploads and for keys with hidden versions, each as a share of themselves and the objects that
    have an asset. Such a share may come from a copy of the database or of the bucket. The module warns if such a share of the
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
  - opentalk.maintenance.object_storage.outside
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
      - It is also the least age of assets that no room has, by the clock of the database server, of the last part of an upload
        that was not completed, and of what happened last to a key with hidden versions.
    type: int
    default: 86400
  unlinked_assets:
    description: What happens to an asset that no room has, and to which no row of another table refers.
    type: str
    choices:
      report: It is counted and listed.
      delete: Its row and its object are deleted.
    default: report
  unfinished_uploads:
    description: What happens to an upload with the key of an asset that was not completed. No listing of objects shows its parts.
    type: str
    choices:
      report: It is counted and listed.
      abort: It is aborted, which deletes its parts.
    default: report
  hidden_versions:
    description:
      - What happens to versions that no listing of objects shows, in a bucket that keeps versions. These are the ones below
        delete markers and behind current objects, of keys that no asset knows.
    type: str
    choices:
      report: They are counted and listed by the ids in their keys.
      delete: They are deleted, and then the delete markers that hide them.
    default: report
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
    - What could not be changed, deleted or looked at. The module fails if there are any.
  returned: unless the options or settings are wrong
  type: list
  elements: dict
  contains:
    kind:
      description: The kind, V(assets), V(objects), V(versions) or V(uploads).
      type: str
      sample: objects
    id:
      description: The id of the asset, which is also in the key of its object. If a right is missing, the name of the bucket
        or of the table.
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
    unlinked_assets:
      description:
        - Assets that no room has, as C(count), C(ids), C(truncated), and the C(bytes) of their objects. With V(report) they count
          as no change. This is also true for the next two kinds.
        - C(complete) says whether the job had all rights to look for them.
      type: dict
      sample: &searched
        {"count": 1, "ids": ["5b0c9a52-77c4-4a83-9d3e-0c8d7a5e4f21"], "truncated": false, "bytes": 9231, "complete": true}
    unfinished_uploads:
      description: Uploads that were not completed, by the id in their keys, with the C(bytes) of their parts. Several uploads can
        have the same id.
      type: dict
      sample: *searched
    hidden_versions:
      description: Keys with hidden versions, by the id in them, with the C(bytes) of these versions.
      type: dict
      sample: *searched
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
    parameters: {"missing_storage_file_handling": "set_file_size_to_zero", "orphan_min_age": 86400, "orphaned_objects": "report",
                 "unlinked_assets": "report", "unfinished_uploads": "report", "hidden_versions": "report"}
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
