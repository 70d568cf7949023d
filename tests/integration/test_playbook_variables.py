# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of the playbooks, as Ansible evaluates them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import ansible
from support.limits import HANGS
from support.world import World

Open = Callable[..., World]
Play = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def world(open_world: Open) -> World:
    world = open_world()
    world.fill(events=44, users=10)
    return world


@pytest.fixture
def play(collections_path: str, tmp_path: Path) -> Play:
    """Plays event_cleanup, `play(variables, *arguments)`. The variables are YAML, or values."""

    def make(variables: str | dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "variables.yml"
        file.write_text(variables if isinstance(variables, str) else json.dumps(variables))
        return subprocess.run(
            [
                ansible.program(), "opentalk.maintenance.event_cleanup", "-i", "localhost,", "-c", "local", "-e", f"@{file}",
                *arguments,
            ],
            env=ansible.environment(collections_path, COLUMNS="1000", ANSIBLE_NOCOLOR="1"), cwd=tmp_path,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=HANGS, check=False,
        )  # fmt: skip

    return make


def settings(world: World) -> dict[str, Any]:
    return {f"opentalk_maintenance_{name}": value for name, value in world.options.items()}


# Ansible then gathers facts, with the Python that it discovers unless one is named.
START = ["--start-at-task", "Delete events that*", "-e", f"ansible_python_interpreter={sys.executable}"]


@pytest.mark.parametrize(
    "wrong, meant, start",
    [
        ("event_cleanup_days_since_last_occurence=9000", "event_cleanup_days_since_last_occurrence", []),
        ("opentalk_maintenance_max_afected=1", "opentalk_maintenance_max_affected", START),
    ],
)
def test_mistyped_variable_is_refused_and_nothing_is_deleted(
    world: World, play: Play, wrong: str, meant: str, start: list[str]
) -> None:
    before, objects = world.rows(), world.objects()
    played = play(settings(world), "-e", wrong, *start)
    assert played.returncode == 2, played.stdout
    assert f"The variable {wrong.partition('=')[0]} sets nothing; did you mean {meant}?" in played.stdout
    assert (world.rows(), world.objects()) == (before, objects)


def test_limit_of_all_jobs_and_of_one(world: World, play: Play) -> None:
    before = world.rows()
    limited = play(settings(world), "-e", "opentalk_maintenance_max_affected=1")
    assert limited.returncode == 2 and "max_affected" in limited.stdout, limited.stdout
    assert world.rows() == before
    number = world.run("event_cleanup", check_mode=True)["plan"]["events"]["count"]
    arguments = ["-e", "opentalk_maintenance_max_affected=1", "-e", f"event_cleanup_max_affected={number}"]
    played = play(settings(world), *arguments)
    assert played.returncode == 0, played.stdout
    assert len(before["events"]) - len(world.rows()["events"]) == number > 1


def test_vaulted_and_nested_values_reach_the_job_and_stay_secret(world: World, play: Play, tmp_path: Path) -> None:
    """Also where the value that is not needed cannot be evaluated. Nothing is said about any of it."""
    password = tmp_path / "password"
    password.write_text("a password")
    storage = world.options["object_storage"]
    variables = yaml.safe_dump(
        {
            "opentalk_maintenance_object_storage": {
                **storage, "secret_key": "{{ in_the_vault }}", "region": "{{ nowhere | default(omit) }}"
            },
            "opentalk_maintenance_batch_size": "{{ 3 + 4 }}",
            "opentalk_maintenance_ca_path": "{{ nowhere | default(omit) }}",
            "opentalk_maintenance_keycloak": {"client_secret": "{{ nowhere }}"},
        }
    )  # fmt: skip
    variables += f"opentalk_maintenance_database_url: {ansible.vaulted(world.options['database_url'], password)}\n"
    variables += f"in_the_vault: {ansible.vaulted(storage['secret_key'], password)}\n"
    world.query("DELETE FROM event_shared_folders")  # the job would warn about them
    before = world.rows()
    secrets = (storage["secret_key"], world.options["database_url"])

    locked = play(variables, "-vvv")
    assert locked.returncode == 2, locked.stdout
    assert "The variable opentalk_maintenance_database_url cannot be evaluated" in locked.stdout, locked.stdout
    assert world.rows() == before

    played = play(variables, "--vault-password-file", str(password), "-vvv")
    assert played.returncode == 0, played.stdout
    assert len(world.rows()["events"]) < len(before["events"])
    for text in (locked.stdout, played.stdout):
        assert not [secret for secret in secrets if secret in text]
        assert "[WARNING]" not in text and "[DEPRECATION" not in text, text


@pytest.mark.parametrize(
    "template, said",
    [("{{ nowhere }}", "not defined"), ("{{ 5 | }}", "cannot be evaluated"), ("{{ 5 / 0 }}", "cannot be evaluated")],
)
def test_value_that_cannot_be_evaluated_is_refused(world: World, play: Play, template: str, said: str) -> None:
    """The text around the template may be secret."""
    before = world.rows()
    played = play({**settings(world), "event_cleanup_max_affected": f"planted{template}"}, "-vvv")
    assert played.returncode == 2, played.stdout
    assert "The variable event_cleanup_max_affected " in played.stdout and said in played.stdout
    assert "planted" not in played.stdout and world.rows() == before
