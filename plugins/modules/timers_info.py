#!/usr/bin/python
# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: timers_info
short_description: Tell the role timers what is on a host
version_added: 2.0.0
description:
  - Looks at everything that the role C(opentalk.maintenance.timers) must know of a host, in one go. The role decides by that what
    it does, and does nothing where nothing differs.
  - It needs root, because it tries files with the user and the groups of the jobs.
extends_documentation_fragment:
  - opentalk.maintenance.attributes
  - opentalk.maintenance.attributes.never_changes
options:
  look_for:
    description: What the role wants to know.
    type: dict
    required: true
    suboptions:
      pythons:
        description: Programs whose version of Python is asked for.
        type: list
        elements: str
        required: true
      user:
        description: The user of the jobs.
        type: str
        required: true
      group:
        description: The group of that user.
        type: str
        required: true
      groups:
        description: Groups whose numbers are asked for.
        type: list
        elements: str
        required: true
      uses:
        description: Files that the jobs use, each with C(variable), the variable that names it, and C(test), a command for it.
        type: list
        elements: dict
        required: true
      calendars:
        description: The calendars of systemd to check, by the names of their jobs.
        type: dict
        required: true
      units:
        description: Units of systemd.
        type: list
        elements: str
        required: true
      services:
        description: The files of services whose time limits are asked for.
        type: list
        elements: path
        required: true
      directories:
        description: Directories in which files with O(look_for.names) are looked for.
        type: list
        elements: path
        required: true
      names:
        description: The names of these files.
        type: list
        elements: str
        required: true
      paths:
        description: Further files, links and directories.
        type: list
        elements: path
        required: true
      marked_files:
        description: Files that are looked through for O(look_for.mark).
        type: list
        elements: path
        required: true
      mark:
        description: What is in the role's own files.
        type: str
        required: true
      versions_directory:
        description: The directory of environments and collections.
        type: path
        required: true
      entries_of:
        description: Directories whose whole content is asked for.
        type: list
        elements: path
        required: true
author:
  - The opentalk.maintenance authors (@opentalk)
seealso:
  - module: opentalk.maintenance.status_info
    description: The module to look how the timers of a host fare.
"""

EXAMPLES = r"""
- name: Look at the host as the role does
  opentalk.maintenance.timers_info:
    look_for: "{{ _timers_decisions.look_for }}"
  register: _timers_host
"""

RETURN = r"""
platform:
  description: The distribution and its major version. Relatives of RHEL have its name.
  returned: success
  type: str
  sample: debian12
pythons:
  description: The version of each Python. Empty if it is not there.
  returned: success
  type: dict
  sample: {python3: 3.11.2, python3.11: 3.11.2}
user:
  description: The user of the jobs, with V(exists), the numbers of its V(groups), and its V(comment).
  returned: success
  type: dict
  sample: {exists: true, groups: ["994"], comment: Made by opentalk.maintenance.timers}
groups:
  description: The number of each group, or null where there is none.
  returned: success
  type: dict
  sample: {opentalk: "995", opentalk-maintenance: "994"}
tries:
  description: Whether the jobs may use a file, by the variable that names it.
  returned: success
  type: dict
  sample: {timers_controller_config: true}
calendars:
  description: Why systemd does not understand the calendar of a job. Empty where it does.
  returned: success
  type: dict
  sample: {event_cleanup: ""}
units:
  description: Properties of each unit, as systemd names them.
  returned: success
  type: dict
  sample:
    opentalk-maintenance-event-cleanup.timer:
      Id: opentalk-maintenance-event-cleanup.timer
      LoadState: loaded
      ActiveState: active
      UnitFileState: enabled
      NeedDaemonReload: "no"
files:
  description: Mode, owner, group, SHA-256 and target of the files, links and directories that are there.
  returned: success
  type: dict
  sample:
    /etc/opentalk-maintenance: {mode: "0750", owner: root, group: opentalk-maintenance, sha256: null, target: null}
marked:
  description: Whether the mark is in a file, for those that are there.
  returned: success
  type: dict
  sample: {/etc/logrotate.d/opentalk-maintenance: true}
limits:
  description: The time limit in the file of a service, for those that are there.
  returned: success
  type: dict
  sample: {/etc/systemd/system/opentalk-maintenance-event-cleanup.service: "3720"}
versions:
  description: The environments and collections that are there, and whether each is complete.
  returned: success
  type: dict
  sample: {/opt/opentalk-maintenance/venv-514e0683a535: true}
entries:
  description: The paths in the directories whose content was asked for.
  returned: success
  type: dict
  sample: {/opt/opentalk-maintenance: [/opt/opentalk-maintenance/current, /opt/opentalk-maintenance/venv-514e0683a535]}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opentalk.maintenance.plugins.module_utils.timers import host

_TEXT = {"type": "str", "required": True}
_PATH = {"type": "path", "required": True}
_TEXTS = {"type": "list", "elements": "str", "required": True}
_PATHS = {"type": "list", "elements": "path", "required": True}
_LOOK_FOR = {
    "pythons": _TEXTS,
    "user": _TEXT,
    "group": _TEXT,
    "groups": _TEXTS,
    "uses": {"type": "list", "elements": "dict", "required": True},
    "calendars": {"type": "dict", "required": True},
    "units": _TEXTS,
    "services": _PATHS,
    "directories": _PATHS,
    "names": _TEXTS,
    "paths": _PATHS,
    "marked_files": _PATHS,
    "mark": _TEXT,
    "versions_directory": _PATH,
    "entries_of": _PATHS,
}
OPTIONS = {"look_for": {"type": "dict", "required": True, "options": _LOOK_FOR}}


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        found = host.look(
            module.params["look_for"], lambda command: module.run_command(command, handle_exceptions=False)
        )
    except host.HostUnknown as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
