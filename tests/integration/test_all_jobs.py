# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook that runs the jobs of a night one after the other."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.deadline import Deadline
from ansible_collections.opentalk.maintenance.plugins.module_utils.engine import lock
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import NIGHT
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.database import Database

from support import ansible
from support.builders import Builder
from support.keycloak import KeycloakProxy, Realm
from support.limits import HANGS
from support.world import World

LONG_AGO, FUTURE = datetime(2020, 1, 1, tzinfo=timezone.utc), datetime(2099, 1, 1, tzinfo=timezone.utc)
# What this installation has settings for.
JOBS = [
    "self_check", "keycloak_account_sync", "event_cleanup", "adhoc_event_cleanup", "user_cleanup", "invite_cleanup",
    "room_cleanup", "sync_storage_files",
]  # fmt: skip
Play = Callable[..., tuple[int, str, dict[str, str]]]


class Installation:
    """A small installation in which each job of a night has something to do, and an earlier job changes what a later one does.

    :ivar back: a user who is disabled since long ago, and whose account is enabled again
    :ivar left: a user who is disabled since long ago, and has no account
    :ivar lost: a room without an event
    """

    def __init__(self, world: World, realm: Realm) -> None:
        self.world, build = world, Builder(world.connection)
        accounts = realm.add({"username": name, "enabled": True} for name in ("owner", "back"))
        self.owner = build.user(oidc_sub=accounts["owner"])
        self.back = build.user(oidc_sub=accounts["back"], disabled_since=LONG_AGO)
        self.left = build.user(disabled_since=LONG_AGO)
        # It ended, and it is in a room of the user who goes.
        self.ended = build.event(self.owner, starts_at=LONG_AGO, ends_at=LONG_AGO, room=build.room(self.left))
        self.adhoc = build.event(self.owner, is_adhoc=True, created_at=LONG_AGO)
        self.stays = build.event(self.owner, starts_at=FUTURE, ends_at=FUTURE)
        self.room, self.lost = build.room_of(self.stays), build.room(self.owner)
        for room in (build.room_of(self.ended), self.room, self.lost):
            build.asset(room)
        world.upload()
        self.inactive = {build.invite(room, active=False) for room in (self.room, self.lost)}
        self.active = build.invite(self.room)
        world.query(
            "UPDATE assets SET size = 99 WHERE id IN (SELECT asset_id FROM room_assets WHERE room_id = %s)",
            (self.room,),
        )

    def there(self) -> dict[str, Any]:
        """What is there of all that a night is about."""
        world = self.world
        ((size,),) = world.query(
            "SELECT size FROM assets JOIN room_assets ON id = asset_id WHERE room_id = %s", (self.room,)
        )
        return {
            "events": world.ids("events"),
            "users": {name for name in ("owner", "back", "left") if getattr(self, name) in world.ids("users")},
            "disabled": {row[0] for row in world.query("SELECT id::text FROM users WHERE disabled_since IS NOT NULL")},
            "invites": world.ids("invites"),
            "lost room": self.lost in world.ids("rooms"),
            "size": size,
            "objects": len(world.objects()),
        }


@pytest.fixture
def installation(open_world: Callable[..., World], realm: Realm) -> Installation:
    return Installation(open_world(67), realm)


@pytest.fixture
def play(
    installation: Installation, realm: Realm, keycloak_proxy: KeycloakProxy, collections_path: str, tmp_path: Path
) -> Play:
    """Plays the night, `play(*arguments, **variables)`. Gives the exit code, the output, and each line of the summary."""
    settings = {
        **{f"opentalk_maintenance_{name}": value for name, value in installation.world.options.items()},
        "opentalk_maintenance_keycloak": realm.options(keycloak_proxy.url + keycloak_proxy.prefix),
        "invite_cleanup_delete_invites": True,
    }

    def make(*arguments: str, hosts: str = "localhost", **variables: Any) -> tuple[int, str, dict[str, str]]:
        played = subprocess.run(
            [
                ansible.program(), "opentalk.maintenance.all_jobs", "-i", f"{hosts},", "-c", "local",
                "-e", json.dumps({**settings, "opentalk_maintenance_hosts": hosts, **variables}), *arguments,
            ],
            env=ansible.environment(collections_path, COLUMNS="1000", ANSIBLE_NOCOLOR="1"), cwd=tmp_path,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=HANGS, check=False,
        )  # fmt: skip
        summary = played.stdout.partition("TASK [Tell what became of each job]")[2].partition("TASK [")[0]
        lines = dict(re.findall(r'^ +"(\w+): (.*?)",?$', summary, re.MULTILINE))
        return played.returncode, played.stdout, lines

    return make


def test_night(installation: Installation, play: Play) -> None:
    """A preview, a night that a failure stops, one that keeps going, and the one that completes the work."""
    world, before = installation.world, installation.there()
    two_hosts = {"hosts": "alpha,beta", "ansible_python_interpreter": sys.executable}
    code, printed, lines = play("--check", "--diff", all_jobs_jobs=JOBS[::-1])
    assert code == 0 and installation.there() == before, printed
    assert list(lines) == [name for name in NIGHT if name in JOBS]
    assert lines["event_cleanup"] == "would be done: events 1, rooms 1, assets 1", lines
    assert f"-    - {installation.ended}\n" in printed and f"-    - {installation.lost}\n" in printed

    # A job in the middle is refused. Users who are back are enabled before somebody looks at users who go.
    jobs = ["keycloak_account_sync", "event_cleanup", "adhoc_event_cleanup", "user_cleanup", "invite_cleanup"]
    code, printed, lines = play(**two_hosts, all_jobs_jobs=jobs, user_cleanup_max_affected=0)
    assert code == 2 and "1 of 5 jobs failed: user_cleanup." in printed, printed
    assert lines["user_cleanup"].startswith(
        "failed. The plan would touch 1, but max_affected allows 0; nothing was touched"
    )
    assert lines["keycloak_account_sync"] == "planned: users_enabled 1; done: users_enabled 1"
    assert list(lines) == jobs and lines["invite_cleanup"] == "not run"
    changed = {"events": {installation.stays}, "disabled": {installation.left}, "objects": 2}
    assert installation.there() == {**before, **changed}

    # It is refused again, and another run of a later job is at work.
    url = world.options["database_url"]
    with contextlib.closing(Database(url, deadline=Deadline(HANGS), read_only=False, application_name="test")) as other:
        assert lock.acquire(other, "room_cleanup")
        jobs = ["user_cleanup", "invite_cleanup", "room_cleanup", "sync_storage_files"]
        code, printed, lines = play(
            **two_hosts, all_jobs_jobs=jobs, user_cleanup_max_affected=0, all_jobs_keep_going=True
        )
    assert code == 2 and "1 of 4 jobs failed: user_cleanup." in printed, printed
    assert lines["room_cleanup"] == "skipped, because another run of this job is in progress"
    assert lines["invite_cleanup"] == "planned: invites 2; done: invites 2", lines
    changed |= {"invites": {installation.active}, "size": 10}
    assert installation.there() == {**before, **changed}

    # The order is not that of the list.
    code, printed, lines = play(all_jobs_jobs=["room_cleanup", "user_cleanup"])
    assert code == 0 and list(lines) == ["user_cleanup", "room_cleanup"], printed
    # The event of somebody else in a room of this user went before, as an event that ended.
    assert lines["user_cleanup"] == "planned: users 1; done: users 1"
    changed |= {"users": {"owner", "back"}, "disabled": set(), "lost room": False, "objects": 1}
    assert installation.there() == {**before, **changed}


def test_wrong_variables_are_refused_before_the_first_job(installation: Installation, play: Play) -> None:
    """Those of a job that does not run, too."""
    before = installation.there()
    code, printed, lines = play(
        all_jobs_jobs=["event_cleanup"], all_jobs_keepgoing=True, event_cleanup_days_since_last_occurence=90,
        room_cleanup_max_afected=1,
    )  # fmt: skip
    assert code == 2 and not lines and "Starting job execution" not in printed, printed
    for meant in ("all_jobs_keep_going", "event_cleanup_days_since_last_occurrence", "room_cleanup_max_affected"):
        assert f"did you mean {meant}?" in printed, printed
    assert installation.there() == before
