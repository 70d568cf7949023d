# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that jobs have besides their parameters: bounds, paths, and what may be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base import options
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import ParameterError

BOUNDS = [
    ("timeout", 1, 10**9),
    ("report_limit", 0, 10**9),
    ("batch_size", 1, 100_000),
    ("shared_folder_requests", 1, 64),
    ("max_affected", 0, None),
    ("max_affected_percent", 0, 100),
]
EVERY_GROUP = (
    options.RUN, options.TLS, options.REPORT, options.AUDIT, options.BATCHES, options.INDEXES, options.SAFETY,
    options.SHARED_FOLDER,
)  # fmt: skip


@pytest.mark.parametrize(("name", "least", "most"), BOUNDS)
def test_bounds(name: str, least: int, most: int | None) -> None:
    options.check({name: None})
    options.check({name: least})
    options.check({name: 10**12 if most is None else most})
    with pytest.raises(ParameterError, match=f"The option {name} is {least - 1}, but must be at least {least}"):
        options.check({name: least - 1})
    if most is not None:
        with pytest.raises(ParameterError, match=f"The option {name} is {most + 1}, but must be at most {most}"):
            options.check({name: most + 1})


def test_percentage_is_a_number() -> None:
    options.check({"max_affected_percent": 0.5})
    for wrong in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(ParameterError, match="max_affected_percent"):
            options.check({"max_affected_percent": wrong})


@pytest.mark.parametrize("name", ["controller_config", "ca_path", "audit_log"])
@pytest.mark.parametrize("path", ["/tmp/a\0b", "/tmp/\ud800"])
def test_path_that_cannot_be_is_refused_without_a_traceback(name: str, path: str) -> None:
    with pytest.raises(ParameterError, match=f"The option {name} holds characters that no path can have"):
        options.check({name: path})


def test_certificates_are_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    options.check({"ca_path": str(tmp_path / "ca.pem")})
    for missing in (tmp_path, tmp_path / "other.pem"):
        with pytest.raises(ParameterError, match=f"ca_path names {missing}, which is not a file"):
            options.check({"ca_path": str(missing)})


def test_names_by_which_jobs_log_in_are_not_shown() -> None:
    given: dict[str, Any] = {
        "object_storage": {"access_key": "alice", "uri": "http://s3", "region": None},
        "shared_folder": {"username": "alice@example.org", "directory": "a"},
        "timeout": 5,
    }
    shown = options.without_names(given)
    assert shown == {
        "object_storage": {"access_key": options.NOT_SHOWN, "uri": "http://s3", "region": None},
        "shared_folder": {"username": options.NOT_SHOWN, "directory": "a"},
        "timeout": 5,
    }
    assert given["object_storage"]["access_key"] == "alice"
    assert options.without_names({"shared_folder": None, "object_storage": {"access_key": ""}}) == {
        "shared_folder": None, "object_storage": {"access_key": ""},
    }  # fmt: skip


@pytest.fixture
def unattended() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(options.unattended_schema(*EVERY_GROUP))


@pytest.mark.parametrize(("name", "least", "most"), [bounds for bounds in BOUNDS if bounds[0] != "timeout"])
def test_schema_for_timers_has_the_same_bounds(
    unattended: jsonschema.Draft202012Validator, name: str, least: int, most: int | None
) -> None:
    assert unattended.is_valid({name: least}) and not unattended.is_valid({name: least - 1})
    assert unattended.is_valid({name: 10**12 if most is None else most})
    assert most is None or not unattended.is_valid({name: most + 1})


def test_timers_take_no_secrets_and_only_what_the_job_has(unattended: jsonschema.Draft202012Validator) -> None:
    for secret in ("database_url", "object_storage", "shared_folder", "keycloak", "expected_plan_id", "timeout"):
        assert not unattended.is_valid({secret: "x"}) and not unattended.is_valid({secret: 5})
    few = jsonschema.Draft202012Validator(options.unattended_schema(options.REPORT))
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
