# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""self_check and job_info against the controller's documentation, and the schemas against the option specs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOB_TYPES, JOBS

from support.modules import run_module
from support.upstream import SELF_CHECK

DEFAULTS: dict[str, dict[str, Any]] = {
    "self_check": {},
    "event_cleanup": {"days_since_last_occurrence": 30, "fail_on_shared_folder_deletion_error": False},
    "user_cleanup": {"days_since_user_has_been_disabled": 30, "fail_on_shared_folder_deletion_error": False},
    "adhoc_event_cleanup": {"fail_on_shared_folder_deletion_error": False, "seconds_since_creation": 86400},
    "invite_cleanup": {"expired_before": None},
    "sync_storage_files": {"missing_storage_file_handling": "set_file_size_to_zero"},
    "room_cleanup": {"fail_on_shared_folder_deletion_error": False},
    "keycloak_account_sync": {"keycloak_api_page_size": 100, "dump_failed_responses": False},
}


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("check_mode", [False, True])
def test_self_check_prints_what_the_controller_prints(check_mode: bool) -> None:
    result = run_module("self_check", hide_duration=True, check_mode=check_mode)
    assert "\n".join(result["log"]) + "\n" == SELF_CHECK
    assert not result["changed"] and "duration" not in result
    timed = run_module("self_check", check_mode=check_mode)
    assert timed["log"][:-1] == result["log"]
    assert timed["log"][-1].startswith("[INFO ] Duration: ") and timed["duration"] >= 0


def test_job_info_has_every_job_of_the_controller() -> None:
    jobs = run_module("job_info")["jobs"]
    assert {name: jobs[name]["default_parameters"] for name in DEFAULTS} == DEFAULTS
    for name, job in jobs.items():
        jsonschema.Draft202012Validator.check_schema(job["schema"])
        validator = jsonschema.Draft202012Validator(job["schema"])
        validator.validate(job["default_parameters"])
        assert not validator.is_valid({**job["default_parameters"], "unknown": 1})
        assert run_module("job_info", job_type=name)["jobs"] == {name: job}


@pytest.mark.parametrize(
    ("job", "wrong"),
    [
        ("event_cleanup", {"days_since_last_occurrence": 0}),
        ("user_cleanup", {"days_since_user_has_been_disabled": -1}),
        ("adhoc_event_cleanup", {"seconds_since_creation": "1"}),
        ("sync_storage_files", {"missing_storage_file_handling": "ignore"}),
        ("keycloak_account_sync", {"keycloak_api_page_size": 10001}),
        ("invite_cleanup", {"expired_before": 5}),
    ],
)
def test_schemas_refuse_what_is_out_of_bounds(job: str, wrong: dict[str, Any]) -> None:
    assert not jsonschema.Draft202012Validator(JOBS[job].parameters.schema()).is_valid(wrong)


@pytest.mark.parametrize("job", JOB_TYPES)
def test_option_specs_agree_with_schemas(job: str) -> None:
    spec = JOBS[job].argument_spec()
    for name, field in JOBS[job].parameters.schema()["properties"].items():
        assert spec[name].get("default") == field["default"]
        assert spec[name].get("choices") == field.get("enum")
