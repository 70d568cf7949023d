# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook erasure_report, on audit logs that jobs wrote on two hosts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import ansible
from support.cloud_server import CloudServer
from support.limits import HANGS
from support.snapshot import parsed
from support.world import World

KINDS = ("events", "rooms", "users", "invites", "assets")


def play(collections: str, folder: Path, **variables: Any) -> tuple[int, str]:
    """Play the playbook with the inventory of the folder. Return the exit code and the output."""
    played = subprocess.run(
        [ansible.program(), "opentalk.maintenance.erasure_report", "-i", "hosts", "-e", json.dumps(variables)],
        env=ansible.environment(collections, ANSIBLE_NOCOLOR="1"), cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=HANGS, check=False,
    )  # fmt: skip
    return played.returncode, played.stdout


def test_report_of_what_jobs_did(
    open_world: Callable[..., World], open_cloud: Callable[..., CloudServer], collections_path: str, tmp_path: Path
) -> None:
    """One host cannot delete an object and leaves a folder, the other one makes the first good."""
    world, cloud = open_world(67), open_cloud()
    world.fill(events=440, users=60)
    world.share_folders_on(cloud)
    before = parsed(world.rows())
    victim = world.run("event_cleanup", check_mode=True)["plan"]["assets"]["ids"][0]
    world.proxy.refuse_keys({f"assets/{victim}": "AccessDenied"})
    logs = [tmp_path / f"{host}.log" for host in ("a", "b")]
    assert world.run("event_cleanup", audit_log=str(logs[0]))["failed"]
    world.proxy.clear_faults()
    world.query("UPDATE event_shared_folders SET path = '/elsewhere/title-' || event_id")
    left: set[str] = set()
    for module in ("event_cleanup", "user_cleanup"):
        run = world.run(module, audit_log=str(logs[1]))
        assert run["changed"] and not run.get("failed"), run.get("msg")
        left |= {folder["event_id"] for folder in run["shared_folders_left_behind"]}
    local = f"ansible_connection=local ansible_python_interpreter={sys.executable}"
    hosts = [f"{path.stem} {local} opentalk_maintenance_audit_log={path}\n" for path in logs]
    inventory = tmp_path / "hosts"
    inventory.write_text("".join(hosts))
    variables = {
        "opentalk_maintenance_hosts": "all",
        "erasure_report_from": "2020-01-01",
        "erasure_report_directory": "made",
    }

    code, printed = play(collections_path, tmp_path, **variables)
    assert code == 0, printed
    report = json.loads((tmp_path / "made" / "erasure-report.json").read_text())
    after = parsed(world.rows())
    gone = {kind: len({row["id"] for row in before[kind]} - {row["id"] for row in after[kind]}) for kind in KINDS}
    erased: Counter[str] = Counter()
    for entry in report["days"]:
        erased.update(entry["erased"])
    assert {kind: erased[kind] for kind in KINDS} == gone and report["complete"]
    assert erased["objects"] == gone["assets"] and report["totals"]["not_made_good"] == 0
    failures = {(thing["kind"], thing["id"]): thing for thing in report["failures"]["listed"]}
    assert failures["objects", victim]["state"] == failures["assets", victim]["state"] == "made good"
    assert left and left <= {thing["id"] for thing in report["left_behind"]["listed"]}
    rules = {rule["job"]: rule["periods"] for rule in report["rules"]}
    assert rules["event_cleanup"] == rules["user_cleanup"] == [{"retention": "30 days", "standard_deletion": "32 days"}]
    assert {(entry["job"], entry["kind"]) for entry in report["retention"]} >= {
        ("event_cleanup", "events"),
        ("user_cleanup", "users"),
    }
    assert all(entry["early"] == 0 for entry in report["retention"])
    files = {path.name: path.read_text() for path in (tmp_path / "made").iterdir()}
    assert set(files) == {"erasure-report.html", "erasure-report.csv", "erasure-report.json"}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "made").iterdir())
    assert victim in files["erasure-report.html"]
    assert not any(word in text for text in files.values() for word in ("elsewhere", "title-"))

    # A host that is not there, and a line that is cut.
    inventory.write_text("".join([*hosts, "c ansible_host=127.0.0.1 ansible_port=1\n"]))
    with logs[0].open("a") as file:
        file.write('{"time": "20')
    code, printed = play(collections_path, tmp_path, **variables)
    assert code != 0 and "The report is incomplete" in printed, printed
    page = (tmp_path / "made" / "erasure-report.html").read_text()
    lacking = json.loads((tmp_path / "made" / "erasure-report.json").read_text())
    assert [problem["host"] for problem in lacking["problems"]] == ["c"] and "lacks a part of the evidence" in page
    assert [(line["host"], line["file"]) for line in lacking["damaged_lines"]["listed"]] == [("a", str(logs[0]))]
    assert lacking["days"] == report["days"]
    code, printed = play(collections_path, tmp_path, **variables, erasure_report_allow_incomplete=True)
    assert code == 0, printed


def test_playbook_wants_a_period_and_a_log(collections_path: str, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n")
    code, printed = play(collections_path, tmp_path)
    assert code != 0 and "Set erasure_report_from" in printed and not (tmp_path / "erasure-report").exists()
    logs = [str(tmp_path / "none.log")]
    code, printed = play(collections_path, tmp_path, erasure_report_from="2026-07-01", erasure_report_audit_logs=logs)
    assert code != 0 and "no such file" in (tmp_path / "erasure-report" / "erasure-report.html").read_text(), printed
