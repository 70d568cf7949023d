# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which jobs a night has, and what is told of each."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import ParameterError
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import NIGHT
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import night


def decide(**variables: Any) -> dict[str, Any]:
    return night.decide(variables, lambda values: values, KeyError)


def test_order_is_that_of_the_night() -> None:
    assert decide() == {"jobs": list(NIGHT), "keep_going": False}
    some = {"jobs": ["event_cleanup", "room_cleanup"], "keep_going": True}
    assert decide(all_jobs_jobs="room_cleanup, event_cleanup", all_jobs_keep_going="yes") == some
    assert decide(all_jobs_jobs=["room_cleanup", "event_cleanup"], all_jobs_keep_going=True) == some


@pytest.mark.parametrize(
    "variables, said",
    [
        ({"all_jobs_jobs": ["event_cleaner"]}, "There is no job event_cleaner"),
        ({"all_jobs_jobs": ["on_request"]}, "runs on request only"),
        ({"all_jobs_jobs": []}, "must be a list of names"),
        ({"all_jobs_jobs": [5]}, "must be a list of names"),
        ({"all_jobs_keep_going": "perhaps"}, "must be true or false"),
        ({"all_jobs_keep_going": [1]}, "must be true or false"),
        ({"all_jobs_order": 1}, "all_jobs_order sets nothing"),
        ({"opentalk_maintenance_max_afected": 1}, "did you mean opentalk_maintenance_max_affected?"),
    ],
)
def test_wrong_variables(monkeypatch: pytest.MonkeyPatch, variables: dict[str, Any], said: str) -> None:
    monkeypatch.setattr(night, "ON_REQUEST", ("on_request",))
    with pytest.raises(ParameterError) as raised:
        decide(**variables)
    assert str(raised.value).count(said) == 1


def test_outcomes() -> None:
    plan = {"events": {"count": 4}, "rooms": {"count": 0}, "rows_deleted": {"events": 4}}
    none: dict[str, Any] = {"events": {"count": 0}}
    cases: list[tuple[dict[str, Any], bool, str, str]] = [
        ({}, False, "not run", "not run"),
        ({"plan": plan, "done": none}, True, "planned", "would be done: events 4"),
        ({"plan": plan, "done": plan}, False, "done", "planned: events 4; done: events 4"),
        ({"plan": none, "done": none}, False, "done", "planned: nothing; done: nothing"),
        ({"skipped": True}, False, "skipped", "skipped, because another run of this job is in progress"),
        ({"failed": True, "msg": "It broke.\nsecret"}, False, "failed", "failed. It broke. Planned: nothing. Done: nothing."),
        ({"unreachable": True}, True, "failed", "failed. no reason was given. Planned: nothing. Done: nothing."),
    ]  # fmt: skip
    for result, check_mode, status, text in cases:
        expected = {"job": "event_cleanup", "status": status, "text": f"event_cleanup: {text}"}
        assert night.outcome(result, "event_cleanup", check_mode) == expected
