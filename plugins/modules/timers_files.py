#!/usr/bin/python
# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: timers_files
short_description: Write the files of the role timers
version_added: 2.0.0
description:
  - Writes all files that the role C(opentalk.maintenance.timers) has rendered for a host, in one go. The module
    M(ansible.builtin.template) would take a third of a second of the host's processor for each of them.
  - A file takes the place of the one before in one step. A link is replaced, and what it leads to is left alone.
extends_documentation_fragment:
  - opentalk.maintenance.attributes
attributes:
  check_mode:
    support: full
    details: A group that is not there yet is not compared.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  files:
    description: The files, in the order in which they are written.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where the file is. Its directory must be there.
        type: path
        required: true
      content:
        description: What is in the file.
        type: str
        required: true
      owner:
        description: The name of the user who owns it.
        type: str
        required: true
      group:
        description: The name of its group.
        type: str
        required: true
      mode:
        description: Its mode, in octal.
        type: str
        required: true
author:
  - The opentalk.maintenance authors (@opentalk)
seealso:
  - module: opentalk.maintenance.timers_info
    description: The module that looks which files are there.
  - plugin: opentalk.maintenance.differing_files
    plugin_type: lookup
    description: The lookup that renders the files that differ.
"""

EXAMPLES = r"""
- name: Write the files that differ
  opentalk.maintenance.timers_files:
    files: "{{ query('opentalk.maintenance.differing_files', *_timers_decided.written, found=_timers_host.files) }}"
  vars:
    # The host's log would have the content of the files.
    ansible_no_target_syslog: true
"""

RETURN = r"""
written:
  description: The files that were written or whose owner, group or mode was changed, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/opentalk-maintenance-event-cleanup.timer]
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opentalk.maintenance.plugins.module_utils.timers import host

_TEXT = {"type": "str", "required": True}
_FILE = {"path": {"type": "path", "required": True}, "content": _TEXT, "owner": _TEXT, "group": _TEXT, "mode": _TEXT}
OPTIONS = {"files": {"type": "list", "elements": "dict", "required": True, "options": _FILE}}


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    written, diffs = [], []
    for file in module.params["files"]:
        content, attributes = _write(module, file["path"], file["content"]), _set_attributes(module, file)
        if content or attributes:
            written.append(file["path"])
            headers = {"before_header": file["path"], "after_header": file["path"]}
            diffs.append({**headers, **(content or attributes)})
    module.exit_json(changed=bool(written), written=written, diff=diffs if module._diff else [])


def _write(module: AnsibleModule, path: str, content: str) -> dict[str, Any]:
    """Write the file if its content differs, and return both contents."""
    is_file = os.path.isfile(path) and not os.path.islink(path)
    before, after = Path(path).read_bytes() if is_file else b"", content.encode()
    if is_file and before == after:
        return {}
    if not module.check_mode:
        descriptor, name = tempfile.mkstemp(dir=module.tmpdir)
        with os.fdopen(descriptor, "wb") as file:
            file.write(after)
        module.atomic_move(name, path)
    return {"before": before.decode(errors="replace"), "after": content}


def _set_attributes(module: AnsibleModule, file: dict[str, Any]) -> dict[str, Any]:
    """Set owner, group and mode where they differ, and return what they were and are."""
    wanted = {name: file[name] for name in ("path", "owner", "group", "mode")}
    if module.check_mode and host.gid(file["group"]) is None:
        wanted["group"] = None
    diff: dict[str, Any] = {}
    module.set_fs_attributes_if_different(module.load_file_common_arguments(wanted), False, diff, expand=False)
    return diff


if __name__ == "__main__":
    main()
