# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible prints of a job with a big plan that is refused or fails."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.opentalk.maintenance.plugins.module_utils.record.effects import LISTED_AFTER_FAILURE

from support import ansible
from support.limits import HANGS
from support.snapshot import counts, removed
from support.world import World

# A person can read a line of so many characters: a screen or two. It grew with the plan once, to 150,000.
LONGEST = 8_000


def test_failed_job_with_a_big_plan_prints_short_lines(
    open_world: Callable[..., World], collections_path: str, tmp_path: Path
) -> None:
    """Counts stay exact. What the lists leave out is in the audit log."""
    world = open_world()
    world.fill(events=1500, users=10)
    audit = tmp_path / "audit.jsonl"
    settings = {f"opentalk_maintenance_{name}": value for name, value in world.options.items()}

    def play(**variables: Any) -> tuple[str, dict[str, Any]]:
        """What is printed, and the result in it."""
        played = subprocess.run(
            [
                ansible.program(), "opentalk.maintenance.event_cleanup", "-i", "localhost,", "-c", "local", "--diff",
                "-e", json.dumps({**settings, **variables}),
            ],
            env=ansible.environment(collections_path, COLUMNS="120", ANSIBLE_NOCOLOR="1"), cwd=tmp_path,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=HANGS, check=False,
        )  # fmt: skip
        assert played.returncode == 2, played.stdout
        assert max(map(len, played.stdout.splitlines())) < LONGEST
        (line,) = (line for line in played.stdout.splitlines() if "FAILED! => " in line)
        result: dict[str, Any] = json.loads(line.partition("FAILED! => ")[2])
        return played.stdout, result

    before = world.rows()
    planned = world.run("event_cleanup", check_mode=True, report_limit=10_000)["plan"]
    assert planned["events"]["count"] > 500
    printed, refused = play(event_cleanup_max_affected=7)
    assert f"would touch {planned['events']['count']}, but max_affected allows 7" in printed
    for kind, listing in planned.items():
        if "truncated" in listing:
            key = "ids" if "ids" in listing else "items"
            ids = listing[key]
            short = {**listing, key: ids[:LISTED_AFTER_FAILURE], "truncated": len(ids) > LISTED_AFTER_FAILURE}
            assert refused["plan"][kind] == short
        else:
            assert refused["plan"][kind] == listing
    left_out = sum(
        listing["count"] - LISTED_AFTER_FAILURE
        for listing in planned.values()
        if listing.get("count", 0) > LISTED_AFTER_FAILURE
    )
    assert f"{left_out} entries are left out" in " ".join(refused["log"]) and world.rows() == before

    world.proxy.refuse_keys(dict.fromkeys(world.objects(), "AccessDenied"))
    printed, failed = play(opentalk_maintenance_audit_log=str(audit))
    world.proxy.clear_faults()
    gone = counts(removed(before, world.rows()))
    assert failed["done"]["rows_deleted"] == gone and failed["done"]["events"]["count"] == gone["events"] > 250
    assert len(failed["failures"]) == LISTED_AFTER_FAILURE and f"{failed['failure_count']} things stay" in printed
    stay = set(planned["events"]["ids"]) & world.ids("events")
    assert failed["failure_count"] == len(stay) + planned["assets"]["count"] > 100
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    announced = {line["id"] for line in lines if line["event"] == "deleting" and line["kind"] == "events"}
    assert set(planned["events"]["ids"]) - stay <= announced
