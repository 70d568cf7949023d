# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: job_log
type: stdout
short_description: Print the log of a maintenance job and one summary line
version_added: 1.0.0
description:
  - Prints the log lines of the jobs of this collection as the controller's own jobs print them, and then a summary line. It
    prints nothing of Ansible's own output. The systemd units of the role C(opentalk.maintenance.timers) use it.
  - The lines carry their severity if standard output is the journal of systemd.
options:
  result_file:
    description: A file for the outcome of the run in JSON, the source of the metrics. By default no file is written.
    type: path
    env:
      - name: OPENTALK_MAINTENANCE_RESULT_FILE
author:
  - The opentalk.maintenance authors (@opentalk)
"""

import json
import os
import re
import sys
import time
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.text import one_line

# The journal's numbers for severities: https://www.freedesktop.org/software/systemd/man/sd-daemon.html
_SEVERITIES = {"ERROR": 3, "WARN": 4, "INFO": 6, "DEBUG": 7, "TRACE": 7}
_LEVEL = re.compile(rf"\[({'|'.join(_SEVERITIES)}) *\]")


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "opentalk.maintenance.job_log"

    def __init__(self) -> None:
        super().__init__()
        self._in_journal = _is_journal(sys.stdout)
        self._outcome: dict[str, Any] = {"started": time.time()}
        self._summary: tuple[str, str] | None = None

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._write()

    def v2_runner_on_ok(self, result: Any) -> None:
        self._job_ended(result._result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        # A job returns "skipped" while another run of it is in progress. Ansible takes that for a skipped task.
        self._job_ended(result._result, skipped=True)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            self._job_ended(result._result)
            self._failed(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._failed(result)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._summary = ("ERROR", "The playbook found no host to run on; correct the inventory or the limit.")

    v2_playbook_on_no_hosts_remaining = v2_playbook_on_no_hosts_matched

    def v2_playbook_on_stats(self, stats: Any) -> None:
        if self._summary:
            self._print(*self._summary)
        self._write()

    def _job_ended(self, values: dict[str, Any], *, skipped: bool = False) -> None:
        if "job_type" not in values:
            return
        for line in values.get("log", []):
            level = _LEVEL.match(line)
            self._print(level[1] if level else "INFO", line)
        done = values.get("done") or {}
        counts = {kind: value["count"] for kind, value in done.items() if "count" in value}
        further = {
            "failures": values.get("failure_count", 0),
            "shared_folders_left_behind": values.get("shared_folders_left_behind_count", 0),
        }
        self._outcome |= {"skipped": skipped, "counts": {**counts, **further}}
        if skipped:
            text = "skipped, because another run of this job is in progress"
        else:
            parts = [f"{kind} {count}" for kind, count in self._outcome["counts"].items() if count]
            text = f"finished, {', '.join(parts) or 'nothing was to be done'}"
        self._summary = ("INFO", f"{values['job_type']}: {text}")

    def _failed(self, result: Any) -> None:
        values = result._result
        job = values.get("job_type") or result._task.action.rpartition(".")[2]
        # Further lines could be a traceback with data that must not be in a log.
        reason = (str(values.get("msg") or "").strip().splitlines() or ["no reason was given"])[0]
        reason = one_line(reason)
        self._summary = ("ERROR", f"{job}: failed. {reason}")
        self._outcome["reason"] = reason

    def _print(self, level: str, text: str) -> None:
        self._display.display(f"<{_SEVERITIES[level]}>{text}" if self._in_journal else text)

    def _write(self) -> None:
        path = self.get_option("result_file")
        if path:
            with open(path, "w", encoding="utf-8") as file:
                json.dump(self._outcome, file)


def _is_journal(stream: Any) -> bool:
    """Whether a stream goes to the journal: JOURNAL_STREAM has the device and the inode of systemd's stream."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
