# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role timers asks a host for, as far as it needs no systemd and no other user."""

from __future__ import annotations

import ast
import grp
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.timers import host

from support.collection import ROOT
from support.modules import run_module


def looked(run: Any = None, **wanted: Any) -> dict[str, Any]:
    """What is found, where nothing else is asked for."""
    nothing: dict[str, Any] = dict.fromkeys(
        (
            "pythons",
            "groups",
            "uses",
            "units",
            "services",
            "directories",
            "names",
            "paths",
            "marked_files",
            "entries_of",
        ),
        [],
    )
    nothing |= {"calendars": {}, "user": "nobody-made-this", "group": "nobody-made-this", "mark": "# mine"}
    return host.look({**nothing, "versions_directory": "/nowhere", **wanted}, run or (lambda command: (0, "", "")))


def test_files_have_their_facts(tmp_path: Path) -> None:
    file, link, other = tmp_path / "job.yml", tmp_path / "current", tmp_path / "others.yml"
    file.write_text("a")
    other.write_text("b")
    file.chmod(0o640)
    link.symlink_to("nowhere")
    found = looked(directories=[str(tmp_path), "/nowhere"], names=["job.yml"], paths=[str(link), "/nowhere/x"])["files"]
    assert found.keys() == {str(file), str(link)}
    digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    owner, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    assert found[str(file)] == {"mode": "0640", "owner": owner, "group": group, "sha256": digest, "target": None}
    assert (found[str(link)]["target"], found[str(link)]["sha256"]) == ("nowhere", None)


def test_marks_limits_versions_and_entries(tmp_path: Path) -> None:
    mine, others, gone = (tmp_path / name for name in ("mine", "others", "gone"))
    mine.write_text("# mine\nTimeoutStartSec=720\n")
    others.write_text("TimeoutStartSec=\n")
    complete, begun = tmp_path / "venv-0123456789ab", tmp_path / "collections-0123456789ab"
    for folder in (complete, begun, tmp_path / "venv-of-somebody"):
        folder.mkdir()
    (complete / "complete").touch()
    paths = [str(path) for path in (mine, others, gone)]
    found = looked(
        marked_files=paths, services=paths, versions_directory=str(tmp_path), entries_of=[str(complete), "/nowhere"]
    )
    assert found["marked"] == {str(mine): True, str(others): False}
    assert found["limits"] == {str(mine): "720", str(others): ""}
    assert found["versions"] == {str(complete): True, str(begun): False}
    assert found["entries"] == {str(complete): [f"{complete}/complete"], "/nowhere": []}


def test_files_are_tried_as_nobody_before_the_account_is_made() -> None:
    wanted, nobody = {"user": "jobs", "group": "jobs"}, {"exists": False, "groups": []}
    groups = {"opentalk": "990", "jobs": None, "exporter": "985"}
    nobodys = ["setpriv", "--reuid", "65534", "--regid", "65534", "--groups"]
    assert host.as_the_jobs(wanted, nobody, groups) == [*nobodys, "990,985", "--"]
    assert host.as_the_jobs(wanted, nobody, {}) == [*nobodys, "65534", "--"]
    there = {"exists": True, "groups": ["980", "981"]}
    jobs = ["setpriv", "--reuid", "jobs", "--regid", "980", "--groups", "990,980,985,981", "--"]
    assert host.as_the_jobs(wanted, there, {**groups, "jobs": "980"}) == jobs


def test_units_are_told_apart_by_their_order() -> None:
    output = "Id=a.timer\nActiveState=active\n\nId=real.service\nActiveState=inactive\n"
    found = looked(lambda command: (0, output, ""), units=["a.timer", "alias.service"])["units"]
    assert found["a.timer"]["ActiveState"] == "active" and found["alias.service"]["Id"] == "real.service"
    with pytest.raises(host.HostUnknown, match="systemd does not tell of its units: no bus"):
        looked(lambda command: (1, "", "no bus\n"), units=["a.timer"])


def test_programs_that_are_not_there_are_named() -> None:
    def run(command: list[str]) -> tuple[int, str, str]:
        raise OSError

    found = looked(run, pythons=["python9"], calendars={"self_check": "daily"}, groups=["nobody-made-this"])
    assert found["pythons"] == {"python9": ""} and found["groups"] == {"nobody-made-this": None}
    assert found["calendars"] == {"self_check": "systemd-analyze is not there"}
    with pytest.raises(host.HostUnknown, match="setpriv is not there; install util-linux"):
        looked(run, uses=[{"variable": "timers_controller_config", "test": ["test"]}])
    with pytest.raises(host.HostUnknown, match="systemctl is not there"):
        looked(run, units=["a.timer"])


@pytest.mark.parametrize(
    ("release", "platform"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "debian12"),
        ('ID="almalinux"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n', "rhel9"),
        ('ID="ol"\nID_LIKE="fedora"\nVERSION_ID="8.10"\n', "rhel8"),
        ('# A comment = x\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', "ubuntu24"),
        ("ID=arch\n", "arch"),
    ],
)
def test_relatives_of_rhel_have_its_name(release: str, platform: str) -> None:
    assert host.platform_of(release) == platform


def test_module_answers_for_this_machine_in_check_mode_too(tmp_path: Path) -> None:
    """Without systemd, as the playbook prepare_hosts asks."""
    (tmp_path / "venv-0123456789ab").mkdir()
    texts = ("groups", "uses", "units", "services", "directories", "names", "paths", "marked_files", "entries_of")
    wanted: dict[str, Any] = {name: [] for name in texts} | {"calendars": {}, "mark": "# mine"}
    wanted |= {"user": "root", "group": "root", "pythons": ["python3"], "versions_directory": str(tmp_path)}
    found = run_module("timers_info", look_for=wanted)
    assert found == run_module("timers_info", look_for=wanted, check_mode=True) and found["changed"] is False
    assert found["versions"] == {f"{tmp_path}/venv-0123456789ab": False} and found["user"]["exists"]
    assert found["platform"] and tuple(map(int, found["pythons"]["python3"].split("."))) >= (3, 10)
    del wanted["user"]
    refused = run_module("timers_info", look_for=wanted)
    assert refused["failed"] and "user found in look_for" in refused["msg"]


def test_it_runs_with_the_python_of_rhel_9() -> None:
    """Other modules run with the Python of the jobs; this one comes before it."""
    for path in ("module_utils/timers/host.py", "modules/timers_info.py"):
        ast.parse((ROOT / "plugins" / path).read_text(), feature_version=(3, 9))
