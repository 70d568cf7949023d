# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rotation that the role timers sets, with a real logrotate."""

from __future__ import annotations

import getpass
import grp
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jinja2
from ansible_collections.opentalk.maintenance.plugins.module_utils.record.audit import AuditLog

from support.collection import ROOT
from support.limits import HANGS
from support.real import missing

LOGROTATE = shutil.which("logrotate", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def rotate(folder: Path, *logs: Path) -> subprocess.CompletedProcess[str]:
    """Rotate the logs now, as the role's template says. Settings of the machine that come before are the worst for it."""
    templates = jinja2.Environment(loader=jinja2.FileSystemLoader(ROOT / "roles/timers/templates"), trim_blocks=True)
    templates.filters["comment"] = lambda text: f"# {text}"
    rotated = templates.get_template("logrotate.j2").render(
        ansible_managed="Made by Ansible.",
        _timers_decided={"mark": "# Mark", "rotated": [str(log) for log in logs]},
        timers_user=getpass.getuser(),
        timers_group=grp.getgrgid(os.getgid()).gr_name,
        timers_audit_log_months=48,
    )
    settings = folder / "logrotate.conf"
    settings.write_text(f"copytruncate\ncreate\ncompress\nweekly\nrotate 1\n{rotated}")
    settings.chmod(0o644)
    command = [LOGROTATE or "", "--force", f"--state={folder / 'state'}", str(settings)]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANGS, check=False)


def lines(*paths: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_rotation_in_the_middle_of_a_run_loses_no_line(tmp_path: Path) -> None:
    """The run that is in progress ends in the old file, the next one begins the new file."""
    if not LOGROTATE:
        missing("logrotate", "logrotate is not there")
    path, other = tmp_path / "audit.jsonl", tmp_path / "never-written.jsonl"
    log = AuditLog(str(path), "event_cleanup")
    log.batch().deleting({"events": ["1"]})
    rotated = rotate(tmp_path, path, other)
    assert (rotated.returncode, rotated.stderr) == (0, "")
    (old,) = tmp_path.glob("audit.jsonl-*")
    assert not path.exists() and old.stat().st_mode & 0o777 == 0o600
    log.batch().deleting({"events": ["2"]})
    log.ended("succeeded", {"events": 2}, 0)
    assert [line["event"] for line in lines(old)] == ["run_started", "deleting", "deleting", "run_ended"]

    AuditLog(str(path), "event_cleanup").ended("succeeded", {}, 0)
    assert path.stat().st_mode & 0o777 == 0o600
    # Another one on the same day would have the same name, and replaces nothing.
    before = lines(old, path)
    rotate(tmp_path, path, other)
    assert lines(old, path) == before
