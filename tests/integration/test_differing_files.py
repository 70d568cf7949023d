# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role timers writes is written again where it differs in any way, and nothing else is."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import ansible
from support.limits import HANGS

LISTS = ("groups", "uses", "units", "services", "directories", "names", "pythons", "marked_files", "entries_of")


def _playbook(written: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Looks, and writes what differs, as the role does."""
    wanted: dict[str, Any] = {name: [] for name in LISTS} | {
        "calendars": {},
        "mark": "#",
        "versions_directory": "/nowhere",
    }
    wanted |= {"user": "root", "group": "root", "paths": [file["path"] for file in written]}
    write = {name: f"{{{{ item.{name} }}}}" for name in ("owner", "group", "mode")}
    return [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                "ansible_python_interpreter": sys.executable,
                "written": written,
            },
            "tasks": [
                {"opentalk.maintenance.timers_info": {"look_for": wanted}, "register": "there"},
                {
                    "ansible.builtin.template": {"src": "{{ item.template }}", "dest": "{{ item.path }}", **write},
                    "loop": "{{ query('opentalk.maintenance.differing_files', *written, found=there.files) }}",
                    "loop_control": {"label": "{{ item.path }}"},
                },
            ],
        }
    ]


def test_only_what_differs_is_written(tmp_path: Path, collections_path: str) -> None:
    template = "{{ ansible_managed | comment }}\n{% if item.job %}\njob: {{ item.job }}\n{% endif %}\n\nend: \\ ü\n"
    owner, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    files = [tmp_path / "first.yml", tmp_path / "second.yml"]
    (tmp_path / "file.yml.j2").write_text(template)
    common = {"template": "file.yml.j2", "owner": owner, "group": group, "mode": "0640"}
    written = [{**common, "path": str(file), "job": file.stem} for file in files]
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(json.dumps(_playbook(written)))

    def play() -> list[str]:
        """The paths that were written."""
        played = subprocess.run(
            [ansible.program(), "-i", "localhost,", "-c", "local", str(playbook)],
            env=ansible.environment(collections_path),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANGS, check=False,
        )  # fmt: skip
        assert played.returncode == 0, played.stdout + played.stderr
        return re.findall(r"^changed: \[localhost\] => \(item=(.+)\)$", played.stdout, re.MULTILINE)

    assert play() == [str(file) for file in files]
    first, second = (file.read_text() for file in files)
    assert first == "#\n# Ansible managed\n#\njob: first\n\nend: \\ ü\n"
    assert play() == []

    changes: list[Callable[[Path], object]] = [
        lambda file: file.write_text(first + " "),
        lambda file: file.chmod(0o644),
        lambda file: file.unlink(),
    ]
    if os.geteuid() == 0:
        changes.append(lambda file: os.chown(file, 65534, -1))
        changes.append(lambda file: os.chown(file, -1, 65534))
    for change in changes:
        before = files[1].stat().st_ctime_ns
        change(files[0])
        assert play() == [str(files[0])]
        facts = files[0].stat()
        assert (files[0].read_text(), facts.st_mode & 0o7777) == (first, 0o640)
        assert (facts.st_uid, facts.st_gid) == (os.getuid(), os.getgid())
        assert files[1].stat().st_ctime_ns == before and files[1].read_text() == second
