# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the page about containers: what they name exists, and the command of the container works without a settings file.

No container engine takes part.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOB_TYPES, JOBS
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.settings.known import KNOWN
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import (
    environment_file,
    timer_settings,
)

from support import ansible, environments
from support.collection import ROOT
from support.limits import HANGS
from support.oracle import survivors
from support.selection import ended_events
from support.world import World

FOLDER = ROOT / "docs" / "containers"
PAGE = (ROOT / "docs" / "containers.md").read_text()
ENVIRONMENT = (FOLDER / "controller.env").read_bytes()
VARIABLES = {
    f"OPENTALK_CTRL_{section.replace('.', '__')}__{key}".upper() for section in KNOWN for key in KNOWN[section]
}
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yml").read_text())
SECRET, CRON_JOB = yaml.safe_load((FOLDER / "cronjob.yml").read_text())["items"]
SERVICE: dict[str, Any] = COMPOSE["services"]["maintenance"]
POD: dict[str, Any] = CRON_JOB["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def test_variables_are_those_that_the_settings_read() -> None:
    names = re.findall(rb"^(OPENTALK_CTRL_\w+)=", ENVIRONMENT, re.MULTILINE)
    assert names and {name.decode() for name in names} <= VARIABLES
    assert environment_file.problems(ENVIRONMENT) == []
    assert SECRET["kind"] == "Secret" and SECRET["stringData"].keys() <= VARIABLES
    assert set(re.findall(r"\bOPENTALK_CTRL_\w+__\w+", PAGE)) <= VARIABLES


def test_examples_of_the_page_are_variables_of_the_role() -> None:
    known = yaml.safe_load((ROOT / "roles" / "timers" / "defaults" / "main.yml").read_text())
    blocks = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]
    assert blocks and {name for block in blocks for name in block} <= known.keys()
    for block in blocks:
        assert list(timer_settings.problems(block.get("timers_settings", {}))) == []


def test_commands_name_playbooks_and_variables_that_exist() -> None:
    (container,) = POD["containers"]
    assert SERVICE["entrypoint"] == container["command"] and SERVICE["command"] == container["args"]
    assert SERVICE["environment"] == {pair["name"]: pair["value"] for pair in container["env"]}
    assert SERVICE["env_file"] == ["controller.env"]
    named = [
        SERVICE["command"],
        *(line.split() for line in re.findall(r" maintenance (opentalk\..*)$", PAGE, re.MULTILINE)),
    ]
    assert len(named) > 1
    for playbook, *arguments in named:
        job = playbook.removeprefix("opentalk.maintenance.")
        assert job in JOB_TYPES and (ROOT / "playbooks" / f"{job}.yml").is_file()
        given = [argument.partition("=")[0] for argument in arguments if argument not in ("-e", "--check", "--diff")]
        assert set(given) <= JOBS[job].variables().keys()


def test_containers_are_confined() -> None:
    assert SERVICE["read_only"] and SERVICE["cap_drop"] == ["ALL"] and SERVICE["user"] == "1000:0"
    assert SERVICE["security_opt"] == ["no-new-privileges:true"] and SERVICE["restart"] == "no" and SERVICE["profiles"]
    assert COMPOSE["networks"].keys() == set(SERVICE["networks"])
    cron = CRON_JOB["spec"]
    job = cron["jobTemplate"]["spec"]
    assert (CRON_JOB["apiVersion"], CRON_JOB["kind"], cron["concurrencyPolicy"]) == ("batch/v1", "CronJob", "Forbid")
    assert cron["startingDeadlineSeconds"] > 0 and job["activeDeadlineSeconds"] > 3600 and job["backoffLimit"] == 0
    assert POD["restartPolicy"] == "Never"
    assert POD["automountServiceAccountToken"] is POD["enableServiceLinks"] is False
    assert (
        POD["securityContext"]["runAsNonRoot"] and POD["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    )
    (container,) = POD["containers"]
    context = container["securityContext"]
    assert context["allowPrivilegeEscalation"] is False and context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert container["envFrom"] == [{"secretRef": {"name": SECRET["metadata"]["name"]}}]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in POD["volumes"]}


def test_ansible_builder_takes_the_description_of_the_image(tmp_path: Path) -> None:
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    archive = f"opentalk-maintenance-{version}.tar.gz"
    described = (FOLDER / "execution-environment.yml").read_text()
    assert described.count(archive) == 2 and archive in PAGE and SERVICE["image"].endswith(f":{version}")
    (tmp_path / "execution-environment.yml").write_text(described)
    (tmp_path / archive).touch()
    program = environments.environment("ansible-builder==3.*\n") / "ansible-builder"
    command = [program, "create", "--output-filename", "Containerfile"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANGS, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "ansible-galaxy collection install" in (tmp_path / "context" / "Containerfile").read_text()
    assert archive in (tmp_path / "context" / "_build" / "requirements.yml").read_text()


def test_command_of_the_container_works_with_its_environment_alone(
    open_world: Callable[..., World], collections_path: str, tmp_path: Path
) -> None:
    """As a process: with the variables of the example, the settings of an installation, and no settings file."""
    world = open_world()
    world.fill(events=44)
    before = world.rows()
    rows = survivors(before, "events", ended_events(before, datetime.now(timezone.utc), 30))
    options = world.options
    settings = {"DATABASE__URL": options["database_url"]}
    settings |= {f"MINIO__{name.upper()}": value for name, value in options["object_storage"].items()}
    temporary = str(tmp_path)
    environment = {
        **{name: re.sub("^/tmp", temporary, value) for name, value in SERVICE["environment"].items()},
        **{f"OPENTALK_CTRL_{name}": value for name, value in settings.items()},
        "PATH": f"{Path(ansible.program()).parent}{os.pathsep}{os.defpath}",
        "ANSIBLE_COLLECTIONS_PATH": collections_path,  # where an image has it without being told
    }

    def run(**overrides: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*SERVICE["entrypoint"], *SERVICE["command"]], env={**environment, **overrides}, cwd=tmp_path,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANGS, check=False,
        )  # fmt: skip

    failed = run(OPENTALK_CTRL_MINIO__SECRET_KEY="wrong")
    assert failed.returncode == 2 and "[ERROR] Job failed: " in failed.stdout and world.rows() == before
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "event_cleanup: finished, events " in done.stdout
    assert world.rows() == rows
    assert set(world.objects()) == {f"assets/{asset}" for asset in world.ids("assets")}
    for secret in (world.server.password, options["object_storage"]["secret_key"]):
        assert secret not in failed.stdout + failed.stderr + done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_page_links_each_file(name: str) -> None:
    assert f"](containers/{name})" in PAGE
