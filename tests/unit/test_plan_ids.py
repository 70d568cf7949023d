# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ids of plans: what they say is what was put in."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import ParameterError, PlanDiffersError
from ansible_collections.opentalk.maintenance.plugins.module_utils.record import plan_id
from ansible_collections.opentalk.maintenance.plugins.module_utils.record.plan_id import ExpectedPlan, PlanIdentity

NOW = datetime(2026, 3, 1, 12, 30, 0, 123456, timezone.utc)


def plan(expected: ExpectedPlan | None = None, **things: list[str]) -> PlanIdentity:
    identity = PlanIdentity("event_cleanup", NOW, expected)
    for kind, ids in things.items():
        identity.add(kind, ids)
    return identity


def test_id_says_what_the_plan_had() -> None:
    approved = plan_id.parse(f" {plan(events=['a', 'b'], rooms=['a'], users=[]).id()}\n", "event_cleanup")
    assert (approved.job_type, approved.now, approved.counts) == ("event_cleanup", NOW, {"events": 2, "rooms": 1})
    assert approved.new("events", ["a", "b", "c"]) == ["c"] and approved.new("rooms", ["a", "b"]) == ["b"]
    plan(approved, events=["a", "b"], rooms=["a"], users=[]).check()
    plan(approved, events=["b"], rooms=[], users=[]).check()
    with pytest.raises(PlanDiffersError, match="1 of its 3 things were not in that one, the first of them rooms b"):
        plan(approved, events=["a"], rooms=["a", "b"], users=[]).check()


def test_above_the_most_that_is_listed_only_the_same_plan_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_id, "MOST_LISTED", 2)
    approved = plan_id.parse(plan(events=["a", "b", "c"]).id(), "event_cleanup")
    assert approved.listed is None
    plan(approved, events=["a", "b", "c"]).check()
    with pytest.raises(PlanDiffersError, match="events 2 instead of 3"):
        plan(approved, events=["a", "b"]).check()


def test_what_is_no_id_of_this_job_is_refused() -> None:
    text = plan(events=["a", "b"]).id()
    with pytest.raises(ParameterError, match="from a preview of event_cleanup"):
        plan_id.parse(text, "room_cleanup")
    for wrong in ("", text[:-1], f"{text}A", text.replace("events=2", "events=3"), text.replace("v1:", "v2:", 1)):
        with pytest.raises(ParameterError, match="not the id of a plan"):
            plan_id.parse(wrong, "event_cleanup")
