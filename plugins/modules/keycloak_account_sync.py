#!/usr/bin/python
# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: keycloak_account_sync
short_description: Disable and enable users after their accounts in Keycloak
version_added: 1.0.0
description:
  - Sets C(disabled_since) of every user whose account in Keycloak is missing or not enabled, and clears it for every user
    whose account is there and enabled. The job M(opentalk.maintenance.user_cleanup) deletes users some time after that.
  - Matches the C(oidc_sub) of a user with the id of the account, or with a user attribute.
  - Lists all accounts of the realm page by page. Keycloak's own count before and after must agree with the number of
    different accounts in the list. If it does not, the module reads the list once more. If it still does not, the module
    fails.
  - Lists all accounts once more if users are to be disabled, and does only what both lists say.
  - Changes nothing if there are no accounts at all, or if a page cannot be read. It also changes nothing if users would be
    disabled although no account has the attribute for the match.
  - Refuses to disable more than 10 users who are more than 20 percent of the enabled ones, unless O(max_affected) or
    O(max_affected_percent) is set. It refuses this in check mode, too.
  - In check mode the module shows exactly what a run would change, and writes nothing.
extends_documentation_fragment:
  - opentalk.maintenance.attributes
  - opentalk.maintenance.attributes.changes
  - opentalk.maintenance.job
  - opentalk.maintenance.database
  - opentalk.maintenance.keycloak
  - opentalk.maintenance.audit
options:
  keycloak_api_page_size:
    description:
      - The number of accounts that are requested at once, from 1 to 10000.
      - Large pages need fewer requests, so less can change meanwhile.
    type: int
    default: 100
  dump_failed_responses:
    description:
      - Whether status and body of each failed answer of Keycloak are written to the log.
      - The log shows only Keycloak's explanation of JSON, and only the text of HTML. It shows at most 2000 characters,
        without secrets, tokens, and mail addresses.
    type: bool
    default: false
  batch_size:
    description:
      - The largest number of users that are changed in one transaction, from 1 to 100000.
      - The job uses smaller batches if one would take longer than about half a second.
    type: int
    default: 1000
  report_limit:
    description:
      - The largest number of ids in each list of the result. Counts are always complete.
      - If the module fails, each list has at most five ids, because Ansible prints the whole result. All ids of a plan are in the
        result of a preview that is not refused.
    type: int
    default: 1000
  max_affected:
    description: The largest number of users that may be disabled. If there are more, nothing is changed and the module
      fails.
    type: int
  max_affected_percent:
    description:
      - The same as a percentage, from 0 to 100, of the users that are enabled.
      - V(100) allows any number.
    type: float
author:
  - The opentalk.maintenance authors (@opentalk)
seealso:
  - module: opentalk.maintenance.user_cleanup
  - module: opentalk.maintenance.job_info
"""

EXAMPLES = r"""
- name: Disable and enable users after their accounts in Keycloak
  opentalk.maintenance.keycloak_account_sync:
    controller_config: /etc/opentalk/controller.toml

- name: See who would be disabled or enabled
  opentalk.maintenance.keycloak_account_sync:
    controller_config: /etc/opentalk/controller.toml
  check_mode: true
  diff: true

- name: Disable many users after a department has left, with other credentials than the controller's
  opentalk.maintenance.keycloak_account_sync:
    controller_config: /etc/opentalk/controller.toml
    keycloak:
      client_id: maintenance
      client_secret: "{{ vault_maintenance_client_secret }}"
    keycloak_api_page_size: 1000
    max_affected_percent: 40
"""

RETURN = r"""
job_type:
  description: The job that ran.
  returned: always
  type: str
  sample: keycloak_account_sync
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
    - The users that could not be changed. The module fails if there are any.
  returned: unless the options or settings are wrong
  type: list
  elements: dict
  contains:
    kind:
      description: The table of the row.
      type: str
      sample: users
    id:
      description: The user's id.
      type: str
      sample: 3f8b6a1e-58a5-4d0c-8f6c-5f3f0f1b2c3d
    reason:
      description: The reason why the user stays as they are.
      type: str
      sample: another session holds a lock on it
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
    users_disabled:
      description: The users whose C(disabled_since) is set to the time of the run, as C(count), C(ids), and whether the
        ids are C(truncated).
      type: dict
      sample: {"count": 1, "ids": ["3f8b6a1e-58a5-4d0c-8f6c-5f3f0f1b2c3d"], "truncated": false}
    users_enabled:
      description: The users whose C(disabled_since) is cleared.
      type: dict
      sample: {"count": 0, "ids": [], "truncated": false}
    rows_deleted:
      description: Always empty. All jobs return it.
      type: dict
    rows_updated:
      description: The number of changed rows by table.
      type: dict
      sample: {"users": 1}
done:
  description: The effects that are confirmed, in the same form as RV(plan). Empty in check mode.
  returned: unless the options or settings are wrong
  type: dict
  contains: *effects
"""

from ansible_collections.opentalk.maintenance.plugins.module_utils.engine import runner
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.keycloak_account_sync import KeycloakAccountSync


def main() -> None:
    runner.main(KeycloakAccountSync)


if __name__ == "__main__":
    main()
