# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: differing_files
short_description: Render the files of the role opentalk.maintenance.timers that differ from their templates
version_added: 2.0.0
description:
  - Renders templates on the control node, and compares them with what the module M(opentalk.maintenance.timers_info) found on the
    host. So a host gets no file that is already as it shall be.
  - A template has its entry as C(item), as in a loop of a task.
options:
  _terms:
    description: The files, each with C(template), C(path), C(owner), C(group) and C(mode).
    type: list
    elements: dict
    required: true
  found:
    description: The result C(files) of the module M(opentalk.maintenance.timers_info).
    type: dict
    required: true
author:
  - The opentalk.maintenance authors (@opentalk)
"""

EXAMPLES = r"""
- name: Write the files that differ
  opentalk.maintenance.timers_files:
    files: "{{ query('opentalk.maintenance.differing_files', *_timers_decided.written, found=_timers_host.files) }}"
"""

RETURN = r"""
_raw:
  description: The files that are not there, or have another content, owner, group or mode. Each has its C(path), C(content),
    C(owner), C(group) and C(mode).
  type: list
  elements: dict
"""

import hashlib
from typing import Any

from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

_ATTRIBUTES = ("owner", "group", "mode")


class LookupModule(LookupBase):
    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        found = self.get_option("found")
        rendered = [self._rendered(entry, variables or {}) for entry in terms]
        return [file for file in rendered if _differs(file, found.get(file["path"], {}))]

    def _rendered(self, entry: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        template = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        (content,) = template.run([entry["template"]], variables, template_vars={"item": entry})
        return {"content": str(content), **{name: entry[name] for name in ("path", *_ATTRIBUTES)}}


def _differs(file: dict[str, Any], found: dict[str, Any]) -> bool:
    digest = hashlib.sha256(file["content"].encode()).hexdigest()
    return digest != found.get("sha256") or any(file[name] != found.get(name) for name in _ATTRIBUTES)
