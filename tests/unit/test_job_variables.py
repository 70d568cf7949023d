# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of the playbooks: which option each of them sets, and which are refused."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import ParameterError
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOB_TYPES, JOBS
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import job_variables

from support.messages import is_sentence

# Further options that have a variable with the name of the job.
OWN = ("approved_plan", "approved_by", "max_affected", "max_affected_percent", "user_ids", "oidc_subs", "emails")


class UndefinedError(Exception):
    """Takes the place of Ansible's: with its controller in this process, modules of other tests would warn in another way."""


OMIT = "a text that stands for nothing"


def gather(job: str, **variables: Any) -> dict[str, Any]:
    """The options with these variables, beside others that every host has."""
    host = {"ansible_host": "{{ x }}", "omit": OMIT}
    return job_variables.gather(job, {**host, **variables}, lambda value: value, UndefinedError)


@pytest.mark.parametrize("job", JOB_TYPES)
def test_every_option_has_a_variable(job: str) -> None:
    spec, parameters = JOBS[job].argument_spec(), JOBS[job].parameters.properties
    values = {job_variables.variable(job, option): f"the {option}" for option in spec}
    assert gather(job, **values) == {option: f"the {option}" for option in spec}
    for option in spec:
        has_job = option in parameters or option in OWN
        assert f"{job if has_job else 'opentalk_maintenance'}_{option}" in values


def test_limits_may_be_those_of_all_jobs() -> None:
    both = {"opentalk_maintenance_max_affected": 5, "opentalk_maintenance_max_affected_percent": 50}
    assert gather("event_cleanup", **both) == {"max_affected": 5, "max_affected_percent": 50}
    own = {"max_affected": 7, "max_affected_percent": 50}
    assert gather("event_cleanup", event_cleanup_max_affected=7, **both) == own
    assert gather("event_cleanup", event_cleanup_max_affected=None, **both)["max_affected"] is None
    assert gather("event_cleanup", event_cleanup_max_affected=OMIT, **both)["max_affected"] == 5


@pytest.mark.parametrize("job", JOB_TYPES)
def test_variables_of_other_jobs_are_left_alone(job: str) -> None:
    """Those of all jobs at once, as in an inventory that has everything."""
    names = {name for each in JOB_TYPES for name in JOBS[each].variables()}
    names |= {
        "opentalk_maintenance_hosts",
        "opentalk_maintenance_job",
        "opentalk_controllers",
        "event_cleaner",
        "timers_jobs",
    }
    names |= {f"{other}_of_another_job" for other in JOB_TYPES if other != job}
    assert gather(job, **dict.fromkeys(names, 1)) == dict.fromkeys(JOBS[job].argument_spec(), 1)


@pytest.mark.parametrize(
    "wrong, meant",
    [
        ("event_cleanup_days_since_last_occurence", "event_cleanup_days_since_last_occurrence"),
        ("event_cleanup_aproved_plan", "event_cleanup_approved_plan"),
        ("event_cleanup_max_afected", "event_cleanup_max_affected"),
        ("opentalk_maintenance_max_afected", "opentalk_maintenance_max_affected"),
        ("opentalk_maintenance_host", "opentalk_maintenance_hosts"),
        ("opentalk_maintenance_keycloack", "opentalk_maintenance_keycloak"),
        ("opentalk_maintenance_days_since_last_occurrence", "event_cleanup_days_since_last_occurrence"),
        ("event_cleanup_batch_size", "opentalk_maintenance_batch_size"),
    ],
)
def test_mistyped_variable_is_refused(wrong: str, meant: str) -> None:
    with pytest.raises(ParameterError) as refused:
        gather("event_cleanup", **{wrong: "planted", "opentalk_maintenance_timeout": 5})
    assert str(refused.value) == f"The variable {wrong} sets nothing; did you mean {meant}?"


def test_all_wrong_variables_are_named() -> None:
    with pytest.raises(ParameterError) as refused:
        gather("self_check", opentalk_maintenance_zzz=1, self_check_zzz=1, self_check_max_affected=1)
    assert str(refused.value) == (
        "The variable self_check_max_affected sets nothing; did you mean opentalk_maintenance_max_affected?"
        " The variable self_check_zzz sets nothing; correct its name, or remove it."
        " The variable opentalk_maintenance_zzz sets nothing; correct its name, or remove it."
    )


def test_unknown_job_is_refused() -> None:
    for job in ("event_cleaner", "", None, ["event_cleanup"]):
        with pytest.raises(ParameterError, match="There is no job .*; the jobs are self_check, event_cleanup, "):
            job_variables.gather(job, {}, lambda value: value, UndefinedError)


def test_values_are_evaluated_and_become_plain() -> None:
    """Only those of the job. In text that ansible-core reads back, a date or an infinite number would be lost."""

    class Decrypted:
        def __str__(self) -> str:
            return "decrypted"

    seen = []

    def template(value: dict[str, Any]) -> dict[str, Any]:
        seen.append(value)
        return {name: values.get(entry, entry) for name, entry in value.items() if entry != "omitted"}

    values = {"{{ a }}": {"bucket": Decrypted(), "region": None, "list": (1, float("inf"))}}
    variables = {
        "opentalk_maintenance_object_storage": "{{ a }}", "opentalk_maintenance_keycloak": "{{ never }}",
        "opentalk_maintenance_ca_path": "omitted", "opentalk_maintenance_validate_certs": False,
        "sync_storage_files_max_affected_percent": 2.5, "sync_storage_files_orphan_min_age": datetime.date(2026, 5, 1),
    }  # fmt: skip
    assert job_variables.gather("sync_storage_files", variables, template, UndefinedError) == {
        "object_storage": {"bucket": "decrypted", "region": None, "list": [1, "inf"]},
        "validate_certs": False, "max_affected_percent": 2.5, "orphan_min_age": "2026-05-01",
    }  # fmt: skip
    assert len(seen) == 5


@pytest.mark.parametrize("error", [UndefinedError, TypeError, ValueError])
def test_error_names_the_variable_and_shows_no_secret(error: type[Exception]) -> None:
    def template(_value: dict[str, Any]) -> dict[str, Any]:
        raise error("planted")

    with pytest.raises(ParameterError) as refused:
        job_variables.gather(
            "event_cleanup", {"opentalk_maintenance_database_url": "planted{{ x }}"}, template, UndefinedError
        )
    said = str(refused.value)
    assert is_sentence(said) and "opentalk_maintenance_database_url" in said and "planted" not in said
    assert refused.value.__suppress_context__
