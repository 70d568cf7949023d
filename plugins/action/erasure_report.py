# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module erasure_report, which works on the control node."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.opentalk.maintenance.plugins.module_utils.evidence import moments
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import erasure_report, erasure_report_formats
from ansible_collections.opentalk.maintenance.plugins.plugin_utils.erasure_report_scope import Scope


class ActionModule(ActionBase):
    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """:raises AnsibleActionFail: an option is wrong, or a file cannot be written"""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(erasure_report.OPTIONS)
        try:
            begin, end = moments.period(options["from"], options["until"])
        except ValueError as error:
            raise AnsibleActionFail(str(error)) from None
        scope = Scope(begin, end, options["deletion_window"], options["report_limit"])
        # As text and back, they are plain values, which Ansible's own types are not.
        logs, lookups = json.loads(json.dumps([options["logs"], options["lookups"]]))
        report = erasure_report.make(logs, lookups, scope)
        contents = {
            "html": erasure_report_formats.as_html(report),
            "csv": erasure_report_formats.as_csv(report),
            "json": erasure_report_formats.as_json(report),
        }
        paths = [os.path.join(options["directory"], f"erasure-report.{ending}") for ending in contents]
        if not self._task.check_mode:
            try:
                os.makedirs(options["directory"], mode=0o700, exist_ok=True)
                for path, content in zip(paths, contents.values(), strict=True):
                    _write(path, content)
            except OSError as error:
                raise AnsibleActionFail(
                    f"The report cannot be written to {options['directory']} ({error.strerror}); correct the option directory."
                ) from None
        result.update(changed=True, complete=report["complete"], totals=report["totals"], paths=paths)
        if not (report["complete"] or options["allow_incomplete"]):
            result.update(
                failed=True,
                msg="The report is incomplete: a host or a file is missing, or lines are damaged. Its head says which. Mend that,"
                " or set allow_incomplete.",
            )
        return result


def _write(path: str, content: str) -> None:
    """Write a file at once, for its owner only."""
    with tempfile.NamedTemporaryFile(
        "w", dir=os.path.dirname(path) or ".", prefix=".erasure-report-", encoding="utf-8", newline="", delete=False
    ) as file:
        file.write(content)
    os.replace(file.name, path)
