# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook that shows a preview, asks, and does what it has shown."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.deadline import Deadline
from ansible_collections.opentalk.maintenance.plugins.module_utils.engine import lock
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.database import Database

from support import ansible, terminal
from support.builders import Builder
from support.limits import HANGS
from support.snapshot import added, counts, parsed, removed
from support.world import World

Open = Callable[..., World]


class Playbook:
    """The playbook on an installation, with further arguments."""

    def __init__(self, world: World, collections: str, folder: Path, *arguments: str) -> None:
        settings = {
            f"OPENTALK_CTRL_MINIO__{name.upper()}": value for name, value in world.options["object_storage"].items()
        }
        settings |= {"OPENTALK_CTRL_DATABASE__URL": world.options["database_url"], "ANSIBLE_NOCOLOR": "1"}
        self._command = [
            ansible.program(), "opentalk.maintenance.with_approval", "-i", "localhost,", "-c", "local", *arguments
        ]  # fmt: skip
        self._environment, self._folder = ansible.environment(collections, **settings), folder

    def play(self) -> tuple[int, str]:
        """Play without a terminal. Return the exit code and the output."""
        played = subprocess.run(
            self._command, env=self._environment, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=HANGS, check=False,
        )  # fmt: skip
        return played.returncode, played.stdout

    def answer(self, text: str, at_prompt: Callable[[], None] = lambda: None) -> tuple[int, str, str]:
        """Answer the question. Return the exit code, the output before the question, and the output after it."""
        code, printed = terminal.answer(
            self._command, text, prompt="Type yes", until="TASK [Stop unless", environment=self._environment,
            cwd=self._folder, at_prompt=at_prompt,
        )  # fmt: skip
        shown, _prompt, rest = printed.partition("Type yes")
        return code, shown, rest


@pytest.fixture
def playbook(collections_path: str, tmp_path: Path) -> Callable[..., Playbook]:
    """Makes the playbook for a job, `playbook(world, job, *arguments)`."""

    def make(world: World, job: str, *arguments: str) -> Playbook:
        return Playbook(world, collections_path, tmp_path, "-e", f"opentalk_maintenance_job={job}", *arguments)

    return make


@pytest.mark.parametrize("job", ["event_cleanup", "sync_storage_files"])
def test_nothing_is_done_without_a_terminal(open_world: Open, playbook: Callable[..., Playbook], job: str) -> None:
    world = open_world()
    world.fill()
    world.query("UPDATE assets SET size = size + 1")
    before, objects = world.rows(), world.objects()
    code, printed = playbook(world, job).play()
    assert code != 0 and "the answer was not yes" in printed, printed
    # Nor where the question is left out.
    code, printed = playbook(world, job, "--start-at-task", "Do what was shown").play()
    assert code != 0 and "Job finished successfully" not in printed, printed
    assert (world.rows(), world.objects()) == (before, objects)


@pytest.mark.parametrize("name", ["", "keycloak_account_sync", "event_cleaner", "../event_cleanup"])
def test_job_must_be_one_that_takes_an_approval(
    open_world: Open, collections_path: str, tmp_path: Path, name: str
) -> None:
    arguments = ["-e", f"opentalk_maintenance_job={name}"] if name else []
    code, printed = Playbook(open_world(), collections_path, tmp_path, *arguments).play()
    syncs = "sync_shared_folders, sync_storage_files"
    jobs = f"adhoc_event_cleanup, event_cleanup, invite_cleanup, room_cleanup, {syncs}, user_cleanup, user_erasure"
    assert code != 0 and f"Set the variable opentalk_maintenance_job to one of these jobs: {jobs}." in printed, printed


@pytest.mark.parametrize("text", ["no", "yes"])
def test_what_was_shown_is_deleted_and_only_after_a_yes(
    open_world: Open, playbook: Callable[..., Playbook], text: str
) -> None:
    world = open_world()
    world.fill(events=44, users=10)
    ((now,),) = world.query("SELECT now()")
    world.freeze(now)
    build = Builder(world.connection)
    # Due by the clock at which the answer is given, but not by that of the preview.
    ends_at = now - timedelta(days=29, hours=12)
    soon = build.event(build.user(), starts_at=ends_at - timedelta(hours=1), ends_at=ends_at)
    before, objects = world.rows(), world.objects()
    code, shown, rest = playbook(world, "event_cleanup").answer(text, lambda: world.freeze(now + timedelta(days=1)))
    gone = removed(before, world.rows())
    if text == "no":
        assert code != 0 and "the answer was not yes" in rest, rest
        assert (gone, added(before, world.rows()), world.objects()) == ({}, {}, objects)
        return
    assert code == 0, shown + rest
    assert counts(gone) == {
        table: int(number) for table, number in re.findall(r"^-  (\w+): (\d+)$", shown, re.MULTILINE)
    }
    listed = {
        kind: set(re.findall(r"^-    - (\S{36})$", part, re.MULTILINE))
        for kind, part in re.findall(r"^--- before: (\w+)\n(.*?)\n\n", shown, re.MULTILINE | re.DOTALL)
    }
    question = shown[shown.index("This is what event_cleanup would") :]
    for kind in ("events", "rooms", "assets"):
        assert {row["id"] for row in parsed(gone)[kind]} == listed[kind] != set(), kind
        assert f"{kind} {len(listed[kind])}" in question
    assert {key.removeprefix("assets/") for key in objects.keys() - world.objects().keys()} == listed["assets"]
    assert soon in world.ids("events") and added(before, world.rows()) == {}
    # By its own clock the run would have deleted that one, too.
    assert world.run("event_cleanup", check_mode=True)["plan"]["events"]["ids"] == [soon]


def test_what_came_after_the_question_stays(open_world: Open, playbook: Callable[..., Playbook]) -> None:
    world = open_world()
    build = Builder(world.connection)
    room = build.room(build.user())
    old, active = {build.invite(room, active=False) for _unused in range(3)}, build.invite(room)
    new = set()
    code, shown, rest = playbook(world, "invite_cleanup", "-e", "invite_cleanup_delete_invites=true").answer(
        "yes", lambda: new.add(build.invite(room, active=False))
    )
    assert code == 0, shown + rest
    assert "invites 3. " in shown and "Job finished successfully" in rest
    assert world.ids("invites") == {active, *new} and len(new) == 1 and len(old) == 3


def test_nobody_is_asked_where_nothing_is_to_be_done(open_world: Open, playbook: Callable[..., Playbook]) -> None:
    world = open_world()
    code, printed = playbook(world, "room_cleanup").play()
    assert code == 0 and "Job finished successfully" in printed and "Type yes" not in printed, printed


def test_nobody_is_asked_while_another_run_is_at_work(open_world: Open, playbook: Callable[..., Playbook]) -> None:
    world = open_world()
    world.fill()
    before = world.rows()
    url = world.options["database_url"]
    with contextlib.closing(
        Database(url, deadline=Deadline(HANGS), read_only=False, application_name="test")
    ) as database:
        assert lock.acquire(database, "room_cleanup")
        code, printed = playbook(world, "room_cleanup").play()
    assert code == 0 and "nother run of this job" in printed and "Type yes" not in printed, printed
    assert world.rows() == before


@pytest.mark.parametrize(
    "wrong, right",
    [
        ("event_cleanup_days_since_last_occurence=9", "event_cleanup_days_since_last_occurrence"),
        ("opentalk_maintenance_max_afected=1", "opentalk_maintenance_max_affected"),
    ],
)
def test_mistyped_variable_is_refused(
    open_world: Open, playbook: Callable[..., Playbook], wrong: str, right: str
) -> None:
    world = open_world()
    code, printed = playbook(world, "event_cleanup", "-e", wrong).play()
    assert code != 0 and f"did you mean {right}?" in printed and "Type yes" not in printed, printed
