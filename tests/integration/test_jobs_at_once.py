# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same job on two hosts, and different jobs, at the same time on the same installation."""

from __future__ import annotations

import functools
import itertools
import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion import index_advice

from support import installation, selection
from support.children import Child
from support.keycloak import KeycloakServer, Realm
from support.keycloak_stand_in import KeycloakStandIn
from support.kill_scenes import build_indexes
from support.limits import HANGS
from support.oracle import survivors
from support.snapshot import Snapshot, deleted, parsed
from support.tangle import SEED_VARIABLE, Tangle, first_seed
from support.world import World

SEED = first_seed()
ROUNDS = 6
OPTIONS: dict[str, dict[str, Any]] = {
    "event_cleanup": {"days_since_last_occurrence": 1},
    "adhoc_event_cleanup": {"seconds_since_creation": 3600},
    "room_cleanup": {},
    "user_cleanup": {"days_since_user_has_been_disabled": 1},
    "invite_cleanup": {"delete_invites": True},
    "keycloak_account_sync": {},
    "sync_storage_files": {"missing_storage_file_handling": "delete_asset_entry", "orphaned_objects": "delete"},
}
Results = list[dict[str, Any]]
KINDS = ("events", "rooms", "users", "invites", "assets")
ATTRIBUTE = "externalId"


@pytest.fixture(autouse=True)
def worth_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make jobs use temporary indexes although the databases are small, but only a few, because that takes long."""
    build_indexes(monkeypatch)


@pytest.fixture(scope="module")
def accounts() -> Iterator[Accounts]:
    with KeycloakStandIn() as server:
        yield Accounts(server)


class Accounts:
    """A realm for each scene. Its accounts make the result independent of the order of the jobs.

    :ivar options: the module's option for the realm of this scene
    """

    def __init__(self, server: KeycloakStandIn) -> None:
        self._server = KeycloakServer(server)
        self.options: dict[str, str] = {}
        self._subjects: set[str] = set()

    def make(self, before: Snapshot, now: datetime) -> None:
        """Make accounts for half of the enabled users, and for disabled users whom no job deletes yet."""
        users = parsed(before)["users"]
        lasting = {user["oidc_sub"] for user in users if _disabled_before(user, now - timedelta(days=1))}
        wanted = {user["oidc_sub"] for user in users[::2] if not user["disabled_since"]}
        wanted |= {user["oidc_sub"] for user in users if _disabled_before(user, now)}
        self._subjects = wanted - lasting
        realm = Realm(self._server)
        realm.add(
            {"username": f"user{number}", "attributes": {ATTRIBUTE: [subject]}}
            for number, subject in enumerate([*sorted(self._subjects), "nobody"])
        )
        self.options = {**realm.options(self._server.url), "external_id_user_attribute_name": ATTRIBUTE}

    def expected(self, before: Snapshot, now: str) -> Snapshot:
        """The database after the synchronization.

        :param now: the moment, in the form in which the database writes it in JSON
        """
        return {**before, "users": sorted(self._synchronized(text, now) for text in before["users"])}

    def _synchronized(self, text: str, now: str) -> str:
        user = json.loads(text)
        old = json.dumps(user["disabled_since"])
        new = "null" if user["oidc_sub"] in self._subjects else now if old == "null" else old
        return text.replace(f'"disabled_since": {old}', f'"disabled_since": {new}')


def _disabled_before(user: dict[str, Any], moment: datetime) -> bool:
    return bool(user["disabled_since"]) and datetime.fromisoformat(user["disabled_since"]) <= moment


def at_once(world: World, accounts: Accounts, *jobs: str) -> Results:
    """Start jobs at the same moment, each in a process of its own, and return their results."""
    barrier = multiprocessing.get_context("fork").Barrier(len(jobs))
    common = {"batch_size": 2, "report_limit": 1000, "max_affected_percent": 100}

    def run(job: str) -> dict[str, Any]:
        barrier.wait(HANGS)
        if job == "keycloak_account_sync":
            return world.run_bare(job, database_url=world.options["database_url"], keycloak=accounts.options, **common)
        return world.run(job, **common, **OPTIONS[job])

    children = [Child(lambda job=job: run(job)) for job in jobs]
    return [child.result() for child in children]


def expected(world: World, accounts: Accounts, before: Snapshot, now: datetime, *jobs: str) -> Snapshot:
    """The database after these jobs, in any order."""
    choose: dict[str, tuple[str, Callable[[], set[str]]]] = {
        "event_cleanup": ("events", lambda: selection.ended_events(before, now, 1)),
        "adhoc_event_cleanup": ("events", lambda: selection.old_adhoc_events(before, now, 3600)),
        "room_cleanup": ("rooms", lambda: selection.lone_rooms(before)),
        "user_cleanup": ("users", lambda: selection.disabled_users(before, now, 1)),
        "invite_cleanup": ("invites", lambda: selection.ended_invites(before, now)),
    }
    after = before
    for job in jobs:
        if job in choose:
            table, chosen = choose[job]
            after = survivors(after, table, chosen())
    if "keycloak_account_sync" in jobs:
        ((written,),) = world.query("SELECT to_jsonb(%s::timestamptz)::text", (now,))
        after = accounts.expected(after, written)
    return after


def check(world: World, before: Snapshot, after: Snapshot, results: Results) -> None:
    """All work is done, only the run that deleted a row reports it, and the runs leave nothing behind."""
    for result in results:
        assert not result.get("failed"), result["msg"]
    assert world.rows() == after
    assert set(world.objects()) == {f"assets/{asset}" for asset in world.ids("assets")}
    rows: Counter[str] = Counter()
    for result in results:
        rows.update(result["done"]["rows_deleted"])
    assert rows == deleted(before, after)
    old, new = parsed(before), parsed(after)
    for kind in KINDS:
        reported = [id for result in results for id in result["done"].get(kind, {"ids": []})["ids"]]
        gone = {row["id"] for row in old[kind]} - {row["id"] for row in new[kind]}
        assert sorted(reported) == sorted(gone), kind
    disabled = [{user["id"] for user in rows["users"] if user["disabled_since"]} for rows in (old, new)]
    reported = [id for result in results for id in result["done"].get("users_disabled", {"ids": []})["ids"]]
    assert sorted(reported) == sorted(disabled[1] - disabled[0])
    prefix = index_advice.PREFIX
    left = world.query("SELECT relname FROM pg_class WHERE starts_with(relname, %s)", (prefix,))
    assert left == [], [result.get("warnings") for result in results]


def play(
    world: World, accounts: Accounts, tangle: Tangle, before: Snapshot, objects: dict[str, int], *jobs: str
) -> Results:
    """Let jobs run at once on a database and a bucket as they were before, check, and return their results."""
    print(f"{' and '.join(jobs)} on database {tangle.seed}")
    tangle.write()
    world.storage.upload(world.bucket, objects.items() - world.objects().items())
    results = at_once(world, accounts, *jobs)
    check(world, before, expected(world, accounts, before, tangle.now, *jobs), results)
    return results


def scenes(world: World, accounts: Accounts, rounds: int, offset: int = 0) -> Iterator[Callable[..., Results]]:
    """A new tangled database for each round, as a function that takes the names of jobs, see :func:`play`."""
    print(f"{SEED_VARIABLE}={SEED}")
    for number in range(rounds):
        tangle = Tangle(world.connection, SEED + offset + number, users=12, rooms=16)
        world.freeze(tangle.now)
        world.storage.empty_bucket(world.bucket)
        before, objects = world.rows(), dict(installation.objects(world.connection))
        accounts.make(before, tangle.now)
        yield functools.partial(play, world, accounts, tangle, before, objects)


@pytest.mark.parametrize("version", [52, 67])
def test_same_job_on_two_hosts(open_world: Callable[..., World], accounts: Accounts, version: int) -> None:
    skipped: Counter[str] = Counter()
    for let_run in scenes(open_world(version), accounts, ROUNDS):
        for job in OPTIONS:
            results = let_run(job, job)
            skipped[job] += sum(result["skipped"] for result in results)
            assert sum(result["changed"] for result in results) <= 1
    assert all(skipped[job] for job in OPTIONS), skipped


@pytest.mark.parametrize("version", [52, 67])
def test_different_jobs(open_world: Callable[..., World], accounts: Accounts, version: int) -> None:
    for let_run in scenes(open_world(version), accounts, ROUNDS // 2, offset=100):
        for jobs in itertools.combinations(OPTIONS, 2):
            let_run(*jobs)
