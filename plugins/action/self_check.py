# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How all jobs start: as any module does, but with the Python that prepare_hosts has installed, where it is there."""

from __future__ import annotations

import shlex
from typing import Any

from ansible import constants
from ansible.plugins.action.normal import ActionModule as NormalAction

_DIRECTORY = "/opt/opentalk-maintenance"
_DISCOVERY = ("", "auto", "auto_silent", "auto_legacy", "auto_legacy_silent")


class ActionModule(NormalAction):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        everything, delegated = dict(task_vars or {}), self._task.delegate_to
        if not delegated:
            everything.update(self._python(everything["inventory_hostname"], everything))
        else:
            of_others = everything["ansible_delegated_vars"]
            own = {**of_others[delegated], **self._python(delegated, of_others[delegated])}
            everything["ansible_delegated_vars"] = {**of_others, delegated: own}
        return super().run(tmp, everything)

    def _python(self, host: str, variables: dict[str, Any]) -> dict[str, str]:
        """The variable that names the Python of the host, or nothing if Ansible shall choose."""
        path = self._value(variables.get("opentalk_maintenance_python"))
        if not path and not self._is_named(host, variables):
            path = self._prepared(variables)
            # Who runs Ansible on the host itself has installed the packages for this Python.
            if not path and host == "localhost" and self._connection.transport == "local":
                path = variables["ansible_playbook_python"]
        return {"ansible_python_interpreter": path} if path else {}

    def _is_named(self, host: str, variables: dict[str, Any]) -> bool:
        """Whether inventory, settings or command line say which Python it is."""
        named = self._value(constants.config.get_config_value("INTERPRETER_PYTHON", variables=variables))
        # Ansible itself gives this one to a localhost that the inventory does not have.
        given = host not in variables["groups"]["all"] and named == variables["ansible_playbook_python"]
        return named not in _DISCOVERY and not given

    def _prepared(self, variables: dict[str, Any]) -> str:
        """The Python that is at the place of prepare_hosts, or nothing."""
        path = f"{self._value(variables.get('timers_directory')) or _DIRECTORY}/current/bin/python"
        found = self._low_level_execute_command(f"test -x {shlex.quote(path)}")
        return path if found["rc"] == 0 else ""

    def _value(self, template: Any) -> str:
        return str(self._templar.template(template) or "").strip()
