# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role timers writes is written again where it differs in any way, and nothing else is."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import stat
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
                    "opentalk.maintenance.timers_files": {
                        "files": "{{ query('opentalk.maintenance.differing_files', *written, found=there.files) }}"
                    },
                    "register": "files",
                },
                {"ansible.builtin.debug": {"msg": "written: {{ item }}"}, "loop": "{{ files.written }}"},
            ],
        }
    ]


def _replace_by_link(file: Path) -> None:
    """To another file with the same content, which must stay as it is."""
    other = file.with_suffix(".other")
    file.rename(other)
    file.symlink_to(other)


# What happens to a file, by its name.
CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda file: file.write_text(file.read_text() + " "),
    "mode": lambda file: file.chmod(0o644),
    "gone": lambda file: file.unlink(),
    "link": _replace_by_link,
}
if os.geteuid() == 0:
    CHANGES["owner"] = lambda file: os.chown(file, 65534, -1)
    CHANGES["group"] = lambda file: os.chown(file, -1, 65534)


def _state(file: Path) -> tuple[str, int] | None:
    """Its content, and when it was last changed in any way."""
    return (file.read_text(), file.lstat().st_ctime_ns) if file.exists() else None


def test_only_what_differs_is_written(tmp_path: Path, collections_path: str) -> None:
    template = "{{ ansible_managed | comment }}\n{% if item.job %}\njob: {{ item.job }}\n{% endif %}\n\nend: \\ ü\n"
    owner, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    changing, same = [tmp_path / name for name in CHANGES], tmp_path / "same"
    files = [*changing, same]
    (tmp_path / "file.yml.j2").write_text(template)
    common = {"template": "file.yml.j2", "owner": owner, "group": group, "mode": "0640"}
    written = [{**common, "path": str(file), "job": file.stem} for file in files]
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(json.dumps(_playbook(written)))

    def play(*options: str) -> tuple[list[str], list[str]]:
        """The paths that were written, and those in the diff."""
        played = subprocess.run(
            [ansible.program(), "-i", "localhost,", "-c", "local", *options, str(playbook)],
            env=ansible.environment(collections_path),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANGS, check=False,
        )  # fmt: skip
        assert played.returncode == 0, played.stdout + played.stderr
        shown = re.findall(r"^\+\+\+ after: (.+)$", played.stdout, re.MULTILINE)
        return re.findall(r'"msg": "written: (.+)"$', played.stdout, re.MULTILINE), shown

    everything = list(map(str, files))
    assert play("--check", "--diff") == (everything, everything)
    assert not any(file.exists() for file in files)
    assert play() == (everything, [])
    contents = {file: f"#\n# Ansible managed\n#\njob: {file.stem}\n\nend: \\ ü\n" for file in files}
    assert {file: file.read_text() for file in files} == contents
    assert play() == ([], [])

    for file, change in zip(changing, CHANGES.values(), strict=True):
        change(file)
    states, differing = [_state(file) for file in files], list(map(str, changing))
    assert play("--check", "--diff") == (differing, differing)
    assert [_state(file) for file in files] == states
    assert play() == (differing, [])
    for file in files:
        facts = file.lstat()
        assert stat.S_ISREG(facts.st_mode) and file.read_text() == contents[file]
        assert (stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid) == (0o640, os.getuid(), os.getgid())
    assert _state(same) == states[-1]
    assert (tmp_path / "link.other").read_text() == contents[tmp_path / "link"]
