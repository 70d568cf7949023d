# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of the role timers."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOBS, SCHEDULED
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import timer_variables

from support.collection import ROOT

ROLE = ROOT / "roles" / "timers"
DAILY = {"on_calendar": "daily"}


def test_every_default_is_documented_as_it_is() -> None:
    specified = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    assert {name: spec["default"] for name, spec in specified.items()} == defaults
    readme = (ROLE / "README.md").read_text()
    assert [name for name in defaults if f"| `{name}` |" not in readme] == []


@pytest.mark.parametrize(
    "platform, python, package",
    [
        ("", "python3", "python3-venv"),  # before the host was looked at
        ("debian12", "python3", "python3-venv"),
        ("rhel8", "python3.11", "python3.11"),
        ("rhel9", "python3.11", "python3.11"),
        ("rhel10", "python3", "python3-venv"),
    ],
)
def test_python_is_new_enough_on_each_distribution(platform: str, python: str, package: str) -> None:
    given = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    template = jinja2.Environment().from_string(given["_timers_platform"])
    shown = template.render(_timers_platforms=given["_timers_platforms"], _timers_host={"platform": platform})
    assert ast.literal_eval(shown) == {"python": python, "packages": [package]}


def test_every_package_is_pinned() -> None:
    def names(path: Path) -> set[str]:
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        return {re.split(r"[=<>; ]", line)[0].lower() for line in lines}

    pinned = ROLE / "files" / "requirements.txt"
    assert names(ROOT / "requirements.txt") | {"ansible-core"} <= names(pinned)
    for line in pinned.read_text().splitlines():
        assert re.fullmatch(r'#.*|[\w-]+==[\w.]+(; python_version (<|>=) "3\.11")?', line), line


def test_every_field_of_a_job_is_a_variable_of_its_playbook() -> None:
    offered = set()
    for job in SCHEDULED:
        schema = timer_variables.job_schema(job)["properties"]
        fields = {*schema["parameters"]["properties"], *schema["options"]["properties"]}
        assert fields <= set(JOBS[job].variables().values())
        offered |= set(schema["options"]["properties"])
    readme = (ROLE / "README.md").read_text()
    assert [name for name in offered if f"`{name}`" not in readme] == []


@pytest.mark.parametrize(
    "jobs, problem",
    [
        ({"event_cleaner": DAILY}, r"timers_jobs.event_cleaner: there is no such job; the jobs are self_check, "),
        ({"user_erasure": DAILY}, "timers_jobs.user_erasure: no timer may start this job, because somebody must ask for each"),
        ({"self_check": {}}, "timers_jobs.self_check.on_calendar: it is missing."),
        ({"self_check": "daily"}, "timers_jobs.self_check: 'daily' is not of type 'object'."),
        ({"self_check": {**DAILY, "calendar": 1}}, "timers_jobs.self_check.calendar: there is no such field; "),
        ({"self_check": {**DAILY, "timeout": 0}}, "timers_jobs.self_check.timeout: 0 is less than the minimum of 1."),
        (
            {"event_cleanup": {**DAILY, "parameters": {"days_since_last_occurrence": 0}}},
            "timers_jobs.event_cleanup.parameters.days_since_last_occurrence: 0 is less than the minimum of 1.",
        ),
        (
            {"event_cleanup": {**DAILY, "parameters": {"days": 30}}},
            "timers_jobs.event_cleanup.parameters.days: there is no such field; the fields are days_since_last_occurrence,",
        ),
        (
            {"event_cleanup": {"enabled": False, "parameters": {"include_finished_series": "yes"}}},
            "timers_jobs.event_cleanup.parameters.include_finished_series: 'yes' is not of type 'boolean'.",
        ),
        (
            {"invite_cleanup": {**DAILY, "parameters": {"expired_before": yaml.safe_load("2026-01-01T00:00:00Z")}}},
            "timers_jobs.invite_cleanup.parameters.expired_before: YAML read this as a date; put it in quotes.",
        ),
        (
            {"user_cleanup": {**DAILY, "options": {"database_url": "postgres://u:planted@h/d"}}},
            "timers_jobs.user_cleanup.options.database_url: there is no such field; the fields are hide_duration,",
        ),
        (
            {"user_cleanup": {**DAILY, "options": {"max_affected_percent": 101}}},
            "timers_jobs.user_cleanup.options.max_affected_percent: 101 is greater than the maximum of 100.",
        ),
        (
            {"self_check": {**DAILY, "options": {"max_affected": 1}}},
            "timers_jobs.self_check.options.max_affected: there is no such field; the fields are hide_duration, validate_certs,",
        ),
        (
            {"invite_cleanup": {**DAILY, "options": {"ca_path": "/etc/ca.pem"}}},
            "timers_jobs.invite_cleanup.options.ca_path: there is no such field; ",
        ),
        (
            {"invite_cleanup": {**DAILY, "parameters": {"expired_before": "next week"}}},
            "timers_jobs.invite_cleanup.parameters.expired_before: The option expired_before must be a date or a timestamp",
        ),
        ({"self_check": {"on_calendar": "daily\n"}}, "timers_jobs.self_check.on_calendar: it must be one line."),
        (
            {"user_cleanup": {**DAILY, "options": {"ca_path": "ca.pem"}}},
            "timers_jobs.user_cleanup.options.ca_path: it must be an absolute path.",
        ),
        *[
            (
                {"user_cleanup": {**DAILY, "options": {"audit_log": path}}},
                "timers_jobs.user_cleanup.options.audit_log: it must be an absolute path without spaces, in a directory",
            )
            for path in (
                "audit.jsonl", "/audit.jsonl", "/var/../audit.jsonl", "/srv/my logs/audit", "/srv/%n/audit", "/srv/audit/",
                "/tmp/audit.jsonl", "/home/audit.jsonl", "/srv/audit.jsonl\n",
            )
        ],
    ],
)  # fmt: skip
def test_problem_is_named_with_job_field_and_reason(jobs: dict[str, Any], problem: str) -> None:
    (found,) = timer_variables.job_problems(jobs)
    assert found.startswith(problem) and "planted" not in found


@pytest.mark.parametrize(
    "jobs", [{}, {"user_cleanup": {"enabled": False}}, {"user_cleanup": {**DAILY, "enabled": False}}]
)
def test_role_without_an_enabled_job_is_refused(jobs: dict[str, Any]) -> None:
    (problem,) = timer_variables.state_problems(jobs)
    assert problem.startswith("timers_jobs enables no job") and "timers_state" in problem
    assert list(timer_variables.state_problems({**jobs, "self_check": DAILY})) == []


def test_mistyped_variable_of_the_role_is_named() -> None:
    known = ["timers_jobs", "timers_state"]
    names = ["timer_jobs", "timers_sate", "timers_colour", "timers_jobs", "timeout", "my_timers_x", "_timers_found"]
    assert list(timer_variables.name_problems(names, known)) == [
        "The variable timer_jobs sets nothing; did you mean timers_jobs?",
        "The variable timers_colour sets nothing; correct its name, or remove it.",
        "The variable timers_sate sets nothing; did you mean timers_state?",
    ]


def test_good_jobs_have_no_problems() -> None:
    jobs: dict[str, Any] = {job: {**DAILY, "parameters": JOBS[job].parameters.defaults()} for job in SCHEDULED}
    jobs["user_cleanup"] = {"enabled": False}
    options = {
        "max_affected": 0,
        "ca_path": "/etc/ssl/ca.pem",
        "audit_log": "/var/log/opentalk-maintenance/audit.jsonl",
    }
    jobs["event_cleanup"] |= {"timeout": 7200, "options": options}
    jobs["invite_cleanup"]["parameters"] = {"expired_before": "2026-01-31T12:00:00+01:00"}
    assert list(timer_variables.job_problems(jobs)) == []
    environment = {
        "HTTPS_PROXY": "http://proxy.example.org:3128", "no_proxy": "localhost,::1", "N": 1, "KEYCLOAK_REALM": "opentalk",
        "REQUESTS_CA_BUNDLE": "/etc/ssl/ca.pem",
    }  # fmt: skip
    assert list(timer_variables.environment_problems(environment)) == []


@pytest.mark.parametrize(
    "name, value",
    [
        ("OPENTALK_CTRL_DATABASE__URL", "planted"), ("PGPASSWORD", "planted"), ("OPENTALK_CTRL_MINIO__SECRET_KEY", "planted"),
        ("HTTPS_PROXY", "http://user:planted@proxy.example.org"), ("A NAME", "planted"), ("LINES", "planted\nplanted"),
        ("HTTPS_PROXY", "user:planted@proxy.example.org:3128"), ("SOURCE", "https://planted@example.org/"),
        ("OPENTALK_URL", "postgres://u:pla/nted@db"), ("OPENTALK_CONNECTION", "host=db password=planted"),
        ("API_KEY", "planted"), ("AWS_PRIVATE_KEY", "planted"), ("APIKEY", "planted"), ("PROXY_AUTHORIZATION", "planted"),
        (8080, "planted"), ("LIST", ["planted"]),
    ],
)  # fmt: skip
def test_environment_refuses_secrets_and_nonsense(name: Any, value: Any) -> None:
    (problem,) = timer_variables.environment_problems({name: value})
    assert problem.startswith(f"timers_environment.{name}: ") and "planted" not in problem
