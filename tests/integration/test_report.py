# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress of a job, which a person can see while it runs."""

from __future__ import annotations

import syslog
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base import progress
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion import index_advice

from support.keycloak import KeycloakProxy, Realm
from support.keycloak_world import KeycloakWorld
from support.limits import HANGS
from support.recording_server import Request
from support.world import World


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines in the journal. The progress comes every twentieth of a second."""
    lines: list[str] = []

    def listen(priority: int, text: str) -> None:
        # Ansible has a line of its own there for every module.
        if not text.startswith("Invoked with"):
            lines.append(text)

    monkeypatch.setattr(progress, "INTERVAL", 0.05)
    monkeypatch.setattr(syslog, "syslog", listen)
    return lines


def wait_for(journal: list[str], line: str) -> None:
    """Wait until the journal gets this line once more."""
    end, said = time.monotonic() + HANGS, len(journal)
    while line not in journal[said:]:
        assert time.monotonic() < end, f"{line!r} is not among {sorted(set(journal))}"
        time.sleep(0.01)


def test_progress_is_told_whatever_the_job_waits_for(
    open_world: Callable[..., World], journal: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan, an index and a batch take long. The result is the same as that of a run without progress."""
    monkeypatch.setattr(index_advice, "_BUILD", 0)
    monkeypatch.setattr(index_advice, "_BUILD_ANY", 0)
    world = open_world()
    world.fill()
    preview = world.run("event_cleanup", check_mode=True)
    planned = set(preview["plan"]["events"]["ids"])
    told: list[int] = []

    def look(request: Request) -> None:
        if request.operation == "HeadBucket":
            wait_for(journal, "event_cleanup: planning")
        elif request.operation == "DeleteObjects":
            told.append(len(planned - world.ids("events")))
            wait_for(journal, f"event_cleanup: {told[-1]} of {len(planned)} events done")

    world.proxy.on_request(look)
    blocker = world.server.connect(world.database)
    with blocker.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id(); LOCK invites IN ROW EXCLUSIVE MODE")
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(world.run, "event_cleanup", batch_size=3)
        wait_for(journal, "event_cleanup: building indexes")
        blocker.rollback()
        run = running.result()
    blocker.close()
    assert len(set(told)) > 3 and run["done"]["events"]["count"] == len(planned)
    assert run["plan"] == preview["plan"]
    assert not any(line in " ".join(run["log"]) for line in journal)
    end = len(journal)
    time.sleep(0.2)
    assert len(journal) == end


def test_progress_of_what_is_listed(
    open_world: Callable[..., World], realm: Realm, keycloak_proxy: KeycloakProxy, journal: list[str]
) -> None:
    accounts = KeycloakWorld(open_world(), realm, keycloak_proxy)
    realm.add([{"username": f"user{number}"} for number in range(3)])
    pages: list[str] = []

    def look(request: Request) -> None:
        if request.operation == "Page":
            pages.append("")
            wait_for(journal, f"keycloak_account_sync: {len(pages) - 1} of 3 accounts listed")

    keycloak_proxy.on_request(look)
    assert not accounts.run(check_mode=True, keycloak_api_page_size=1).get("failed")
    assert len(pages) >= 3

    world = accounts.world
    world.fill(events=22)
    listings: list[str] = []

    def look_at_listing(request: Request) -> None:
        if request.operation == "ListObjectsV2":
            listings.append("")
            wait_for(journal, "sync_storage_files: 0 objects compared")

    world.proxy.on_request(look_at_listing)
    assert not world.run("sync_storage_files", check_mode=True).get("failed")
    assert listings


def test_short_job_says_nothing(
    open_world: Callable[..., World], journal: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 60.0)
    world = open_world()
    world.fill(events=44, folders=False)
    assert world.run("event_cleanup", batch_size=1)["changed"] and journal == []
