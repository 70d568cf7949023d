# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs on an installation on which people work: only rows that are due at that moment go, and nothing gets lost.

The witness is a trigger that keeps every deleted row.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from support import selection
from support.keycloak import KeycloakServer, Realm
from support.keycloak_stand_in import KeycloakStandIn
from support.live_traffic import Journal, live_traffic
from support.oracle import survivors
from support.snapshot import Snapshot, parsed
from support.tangle import SEED_VARIABLE, first_seed
from support.witness import Deletion, Witness
from support.world import World

SEED = first_seed()
ROUNDS = 12
DAYS = 30
BY = "opentalk.maintenance "
JOBS: dict[str, dict[str, Any]] = {
    "sync_storage_files": {"missing_storage_file_handling": "delete_asset_entry", "orphaned_objects": "delete"},
    "event_cleanup": {"days_since_last_occurrence": DAYS},
    "room_cleanup": {},
    "adhoc_event_cleanup": {"seconds_since_creation": 0},
    "user_cleanup": {"days_since_user_has_been_disabled": DAYS},
    "invite_cleanup": {"delete_invites": True},
}
ROOTS = {"room_cleanup": "rooms", "user_cleanup": "users", "invite_cleanup": "invites"}


@pytest.mark.parametrize("version", [52, 67])
def test_nothing_goes_that_is_not_due(open_world: Callable[..., World], version: int) -> None:
    print(f"{SEED_VARIABLE}={SEED}")
    world = open_world(version)
    world.fill(events=220, users=60, folders=False)
    # What has lost its other half long ago, among much that people upload and delete meanwhile.
    lost = sorted(world.ids("assets"))[::9]
    world.storage.remove(world.bucket, [f"assets/{asset}" for asset in lost])
    orphans = {f"assets/{uuid.UUID(int=number)}": 3 for number in range(9)}
    world.storage.upload(world.bucket, orphans.items())
    world.proxy.make_older(set(orphans), timedelta(days=2))
    witness = Witness(world)
    reported: set[str] = set()
    with KeycloakStandIn() as server, live_traffic(world, SEED) as end:
        synchronize, subjects = _accounts(world, server)
        for _unused in range(ROUNDS):
            for job, options in JOBS.items():
                run = world.run(job, batch_size=2, report_limit=100_000, **options)
                assert not run.get("failed"), run["msg"]
                ids = run["done"].get("events", {"ids": []})["ids"]
                assert not reported & set(ids), "reported twice"
                reported.update(ids)
            synchronize()
        journal = end()
        synchronize()
    for subject, since in world.query("SELECT oidc_sub, disabled_since FROM users"):
        assert (since is None) == (subject in subjects)
    deletions = witness.dismiss()

    assert journal.refused == []
    assert min(journal.transactions.values()) > 0 and sum(journal.transactions.values()) > 500, journal.transactions
    assert not orphans.keys() & world.objects().keys()
    due = [_check_due(deletion, lost) for deletion in deletions if deletion.by.startswith(BY)]
    assert len(due) > 100 and {job_of(deletion) for deletion in deletions} >= JOBS.keys()
    gone = {row["id"] for deletion in deletions if deletion.by.startswith(BY) for row in deletion.rows["events"]}
    assert gone == reported
    _check_nothing_lost(world, journal, deletions)
    _check_rest_is_completed(world)


def _accounts(world: World, server: KeycloakStandIn) -> tuple[Callable[[], None], set[str]]:
    """Make accounts for most of the enabled users. Return the synchronization and the keys of the accounts."""
    found = world.query("SELECT oidc_sub FROM users WHERE disabled_since IS NULL ORDER BY id")
    subjects = {subject for number, (subject,) in enumerate(found) if number % 10}
    keycloak = KeycloakServer(server)
    realm = Realm(keycloak)
    realm.add({"username": f"u{number}", "attributes": {"id": [sub]}} for number, sub in enumerate(sorted(subjects)))
    options = {**realm.options(keycloak.url), "external_id_user_attribute_name": "id"}

    def synchronize() -> None:
        run = world.run_bare(
            "keycloak_account_sync", database_url=world.options["database_url"], keycloak=options, batch_size=2,
            max_affected_percent=100,
        )  # fmt: skip
        assert not run.get("failed"), run["msg"]

    return synchronize, subjects


def job_of(deletion: Deletion) -> str:
    """The job that deleted the rows; the name of its session goes on with its timeout and its host."""
    return deletion.by.removeprefix(BY).split(" ")[0]


def _check_due(deletion: Deletion, lost: list[str]) -> None:
    """By its own row, each root was due at the moment of its deletion."""
    job, rows = job_of(deletion), deletion.rows
    old = deletion.at - timedelta(days=DAYS)
    if job == "event_cleanup":
        dates = {row.get("event_id", row.get("id")): row for row in rows["event_dates"] or rows["events"]}
        for event in rows["events"]:
            assert _moment(dates[event["id"]]["ends_at"]) <= old, event["id"]
            assert not event.get("is_recurring")
        assert not rows["event_recurrences"] or all(not row["recurrence_pattern"] for row in rows["event_recurrences"])
        assert rows["events"] and not rows["users"]
    elif job == "room_cleanup":
        assert rows["rooms"] and not rows["events"] and not rows["users"]
    elif job == "adhoc_event_cleanup":
        assert rows["events"] and all(row["is_adhoc"] for row in rows["events"]) and not rows["users"]
    elif job == "user_cleanup":
        assert rows["users"] and all(_moment(row["disabled_since"]) <= old for row in rows["users"])
    elif job == "sync_storage_files":
        assert rows.keys() == {"assets"} and {row["id"] for row in rows["assets"]} <= set(lost)
    else:
        assert job == "invite_cleanup" and set(rows) <= {"invites", *[table for table in rows if not rows[table]]}
        for row in rows["invites"]:
            assert not row["active"] or _moment(row["expiration"]) < deletion.at, row["id"]


def _check_nothing_lost(world: World, journal: Journal, deletions: list[Deletion]) -> None:
    """The committed work of people is there, unless a job deleted it for a valid reason."""
    content = parsed(world.rows())
    by_jobs = {
        job: {row["id"] for one in deletions if job_of(one) == job for row in [*one.rows["events"], *one.rows["users"]]}
        for job in JOBS
    }
    events = {row["id"]: row for row in content["events"]}
    for event, text in journal.descriptions.items():
        if event in events:
            assert events[event]["description"] == text
        else:
            assert any(event in gone for gone in by_jobs.values())
    assert not journal.moved & by_jobs["event_cleanup"]
    others = by_jobs["user_cleanup"] | by_jobs["adhoc_event_cleanup"]
    assert journal.moved - others <= events.keys()
    assert not journal.returned & by_jobs["user_cleanup"]
    assert journal.returned <= {row["id"] for row in content["users"]}
    assert set(world.objects()) == {f"assets/{row['id']}" for row in content["assets"]}
    assert {row["id"] for row in content["assets"]} == {row["asset_id"] for row in content["room_assets"]}


def _check_rest_is_completed(world: World) -> None:
    """After the traffic, each job does exactly the rest of the work."""
    for job, options in JOBS.items():
        before = world.rows()
        run = world.run(job, **options)
        assert not run.get("failed"), run["msg"]
        assert world.rows() == survivors(before, ROOTS.get(job, "events"), _chosen(job, before))
    assert set(world.objects()) == {f"assets/{asset}" for asset in world.ids("assets")}


def _chosen(job: str, before: Snapshot) -> set[str]:
    now = datetime.now(timezone.utc)
    choose: dict[str, Callable[[], set[str]]] = {
        "event_cleanup": lambda: selection.ended_events(before, now, DAYS),
        "room_cleanup": lambda: selection.lone_rooms(before),
        "adhoc_event_cleanup": lambda: selection.old_adhoc_events(before, now, 0),
        "user_cleanup": lambda: selection.disabled_users(before, now, DAYS),
        "invite_cleanup": lambda: selection.ended_invites(before, now),
        "sync_storage_files": set,
    }
    return choose[job]()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
