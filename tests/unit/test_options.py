# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that jobs have besides their parameters: bounds, paths, and what may be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def test_ids_of_an_approval_are_counted_only() -> None:
    given = {"approved_plan": {"job_type": "room_cleanup", "roots": {"rooms": ["a", "b"], "x": None}}, "timeout": 5}
    shown = options.presentable(given)
    assert shown == {"approved_plan": {"job_type": "room_cleanup", "roots": {"rooms": 2, "x": 0}}, "timeout": 5}
    assert given["approved_plan"]["roots"]["rooms"] == ["a", "b"]  # type: ignore[index]


def test_names_by_which_jobs_log_in_are_not_shown() -> None:
    given: dict[str, Any] = {
        "object_storage": {"access_key": "alice", "uri": "http://s3", "region": None},
        "shared_folder": {"username": "alice@example.org", "directory": "a"},
        "timeout": 5,
    }
    shown = options.presentable(given)
    assert shown == {
        "object_storage": {"access_key": options.NOT_SHOWN, "uri": "http://s3", "region": None},
        "shared_folder": {"username": options.NOT_SHOWN, "directory": "a"},
        "timeout": 5,
    }
    assert given["object_storage"]["access_key"] == "alice"
    persons = {"user_ids": ["alice@example.org"], "oidc_subs": [], "emails": None}
    assert options.presentable(persons) == {**persons, "user_ids": options.NOT_SHOWN}
    assert options.presentable({"shared_folder": None, "object_storage": {"access_key": ""}}) == {
        "shared_folder": None, "object_storage": {"access_key": ""},
    }  # fmt: skip
