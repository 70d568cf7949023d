# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules for Prometheus and the dashboard for Grafana that the collection brings."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.opentalk.maintenance.plugins.module_utils.timers.run_metrics import HELP, PREFIX

from support.collection import ROOT
from support.limits import HANGS
from support.real import missing

FILES = ROOT / "roles" / "timers" / "files"
RULES = FILES / "opentalk-maintenance.rules.yml"
DASHBOARD = FILES / "opentalk-maintenance.dashboard.json"
CASES = ROOT / "tests" / "support" / "alerts.yml"
GUIDE = (ROOT / "docs" / "operators-guide.md").read_text()


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return group["rules"]


def panels() -> list[dict[str, Any]]:
    return json.loads(DASHBOARD.read_text())["panels"]


def expressions() -> dict[str, str]:
    shown = {panel["title"]: panel["targets"][0]["expr"] for panel in panels()}
    return {**{rule["alert"]: rule["expr"] for rule in rules()}, **shown}


def promtool(*arguments: object) -> None:
    program = shutil.which("promtool")
    if program is None:
        missing("prometheus", "promtool is not there")
    played = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=HANGS, check=False)
    assert played.returncode == 0, played.stdout + played.stderr


def test_alerts_fire_when_they_should() -> None:
    promtool("test", "rules", CASES)


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    tests = yaml.safe_load(CASES.read_text())["tests"]
    cases = {(case["alertname"], bool(case.get("exp_alerts"))) for test in tests for case in test["alert_rule_test"]}
    assert cases == {(rule["alert"], fires) for rule in rules() for fires in (True, False)}


def test_every_alert_says_what_to_do_and_is_in_the_guide() -> None:
    for rule in rules():
        assert set(rule["annotations"]) == {"summary", "description"} and rule["labels"]["severity"]
    documented = re.findall(r"^\| `(OpenTalk\w+)` \|", GUIDE, re.MULTILINE)
    assert documented == [rule["alert"] for rule in rules()]


def test_every_metric_that_is_asked_for_is_written() -> None:
    for where, expression in expressions().items():
        asked = re.findall(rf"\b{PREFIX}(\w+)", expression)
        assert asked and set(asked) <= HELP.keys(), where


def test_guide_keeps_installations_apart(tmp_path: Path) -> None:
    """Its command changes every grouping, and the alerts of an installation without the label stay as they were."""
    (command,) = re.findall(r"^\$ (sed -i .*) opentalk-maintenance\.\*$", GUIDE, re.MULTILINE)
    groupings = [len(re.findall(r"\b(?:by|on) \(", path.read_text())) for path in (RULES, DASHBOARD)]
    copies = [Path(shutil.copy(path, tmp_path)) for path in (RULES, DASHBOARD)]
    subprocess.run([*shlex.split(command), *copies], check=True)
    assert [path.read_text().count(" (environment, job_type") for path in copies] == groupings
    cases = tmp_path / "cases.yml"
    cases.write_text(CASES.read_text().replace(f"../../{RULES.relative_to(ROOT)}", RULES.name))
    promtool("test", "rules", cases)


def test_expressions_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    asked = [{"record": f"panel:{panel['id']}", "expr": panel["targets"][0]["expr"]} for panel in panels()]
    path = tmp_path / "dashboard.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": asked}]}))
    promtool("check", "rules", path)


def test_panels_are_complete() -> None:
    found = panels()
    assert len({panel["id"] for panel in found}) == len({panel["title"] for panel in found}) == len(found)
    for panel in found:
        assert panel["type"] in ("stat", "state-timeline", "timeseries") and panel["description"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        (target,) = panel["targets"]
        assert target["expr"] and target["refId"] and target["datasource"]["uid"] == "${datasource}"
