# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that may be set for the job of a timer."""

from __future__ import annotations

import jsonschema
import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base import options
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import timer_variables

BOUNDS = [(name, *bounds) for name, bounds in options.BOUNDS.items() if name != "timeout"]
EVERY_GROUP = (
    options.RUN, options.TLS, options.REPORT, options.AUDIT, options.BATCHES, options.INDEXES, options.SAFETY,
    options.SHARED_FOLDER, options.SHARED_FOLDER_DELETION, options.OBJECT_STORAGE, options.OUTSIDE,
)  # fmt: skip


@pytest.fixture
def unattended() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(timer_variables.option_schema(*EVERY_GROUP))


@pytest.mark.parametrize(("name", "least", "most"), BOUNDS)
def test_schema_for_timers_has_the_same_bounds(
    unattended: jsonschema.Draft202012Validator, name: str, least: int, most: int | None
) -> None:
    assert unattended.is_valid({name: least}) and not unattended.is_valid({name: least - 1})
    assert unattended.is_valid({name: 10**12 if most is None else most})
    assert most is None or not unattended.is_valid({name: most + 1})


def test_timers_take_no_secrets_and_only_what_the_job_has(unattended: jsonschema.Draft202012Validator) -> None:
    for secret in ("database_url", "object_storage", "shared_folder", "keycloak", "approved_plan", "timeout"):
        assert not unattended.is_valid({secret: "x"}) and not unattended.is_valid({secret: 5})
    few = jsonschema.Draft202012Validator(timer_variables.option_schema(options.REPORT))
    assert few.is_valid({"report_limit": 5, "hide_duration": True}) and not few.is_valid({"batch_size": 5})


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/var/log/opentalk/audit.jsonl", True),
        ("/srv/audit.jsonl", True),
        ("/srv/..a/a.b@c+d-e", True),
        ("/homes/audit.jsonl", True),
        ("/audit.jsonl", False),
        ("audit.jsonl", False),
        ("srv/audit.jsonl", False),
        ("/srv/", False),
        ("/srv/../etc/passwd", False),
        ("/srv/./audit.jsonl", False),
        ("/srv/..", False),
        ("/srv//audit.jsonl", False),
        ("/srv/au dit.jsonl", False),
        ("/srv/audit.jsonl\n", False),
        ("/srv/%n/audit.jsonl", False),
        *[(f"{place}/x/audit.jsonl", False) for place in ("/home", "/root", "/tmp", "/var/tmp", "/run/user", "/proc")],
    ],
)
def test_audit_log_of_a_timer_is_where_its_service_sees_it(
    unattended: jsonschema.Draft202012Validator, path: str, seen: bool
) -> None:
    assert unattended.is_valid({"audit_log": path}) == seen
