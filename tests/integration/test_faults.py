# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of all systems during a run: the run ends as the contract says, and the next run completes its work.

Single requests that fail are in test_shared_folders, test_sync_storage_files, and test_keycloak_account_sync.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion import batches
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import http_session, object_storage_client

from support import storage_sync
from support.cases import CASES
from support.cloud_server import CloudServer
from support.folder_effect import folder_effect
from support.keycloak import KeycloakProxy, KeycloakServer, Realm
from support.keycloak_stand_in import KeycloakStandIn
from support.keycloak_world import KeycloakWorld
from support.messages import is_sentence
from support.oracle import survivors
from support.postgresql import PostgreSQLServer
from support.recording_server import Request
from support.s3_proxy import S3Proxy
from support.selection import ended_events
from support.snapshot import Snapshot, counts, deleted, parsed, removed
from support.world import World

Open = Callable[..., World]
FAIL = "fail_on_shared_folder_deletion_error"
BATCH = 8


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_session, "BACKOFF", 0.01)
    monkeypatch.setattr(object_storage_client, "ATTEMPTS", 2)


@pytest.fixture
def impatient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a server hangs, the job waits for it only a short time."""
    if request.node.callspec.params["fault"] == "hang":
        monkeypatch.setattr(http_session, "READ_TIMEOUT", 0.5)
        monkeypatch.setattr(object_storage_client, "READ_TIMEOUT", 0.5)


@dataclass
class Installation:
    """Events that ended, with objects and folders, and the effects of an undisturbed event_cleanup."""

    world: World
    cloud: CloudServer
    before: Snapshot = field(init=False)
    objects: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        world = self.world
        world.fill(users=12, events=60, expired=45, invites=1)
        self.cloud.make_folder(self.cloud.directory)
        world.share_folders_on(self.cloud)
        self.before, self.objects = world.rows(), world.objects()
        self.chosen = ended_events(self.before, datetime.now(timezone.utc), 30)
        self.expected = survivors(self.before, "events", self.chosen)
        self.folders = folder_effect(self.cloud, self.before, self.expected)
        assert len(self.chosen) == 45 and len(self.folders.deleted) == 3
        world.proxy.clear()
        self.cloud.clear()

    def run(self, **options: Any) -> dict[str, Any]:
        standard = {"batch_size": BATCH, "shared_folder_requests": 1, FAIL: True}
        return self.world.run("event_cleanup", **{**standard, **options})

    def check_interrupted(self, run: dict[str, Any], reason: str) -> None:
        """The run failed for this reason. The things in ``done`` are deleted completely, and nothing else is deleted."""
        reasons = [failure["reason"] for failure in run["failures"]]
        assert run["failed"] and any(reason in text for text in (run["msg"], *reasons)), run["msg"]
        assert is_sentence(run["msg"]), run["msg"]
        after = self.world.rows()
        gone = self.world_events_gone(after)
        assert after == survivors(self.before, "events", gone)
        assert len(gone) < len(self.chosen) and gone < self.chosen
        done = run["done"]
        assert set(done["events"]["ids"]) == gone
        assert done["rows_deleted"] == counts(removed(self.before, after))
        objects = self.world.objects()
        # No object is left without its row; and every object that is said to be gone, is.
        assert objects.keys() <= {f"assets/{asset['id']}" for asset in parsed(after)["assets"]}
        assert not objects.keys() & {f"assets/{asset}" for asset in done["assets"]["ids"]}
        kept = {row["path"] for row in parsed(after)["event_shared_folders"]}
        inside = {folder for folder in self.cloud.folders if folder.startswith(f"{self.cloud.directory}/")}
        assert inside <= kept
        assert not self.cloud.folders & {item["path"] for item in done["shared_folders"]["items"]}
        self.check_folders_counted(run)

    def check_completed(self, earlier: dict[str, Any] | None = None) -> None:
        """One more run, undisturbed, completes the work."""
        self.world.proxy.clear_faults()
        self.cloud.clear_faults()
        self.world.settle(self.cloud)
        done = earlier["done"]["events"]["count"] if earlier else 0
        run = self.run()
        assert run["plan"]["events"]["count"] == len(self.chosen) - done
        self.check_end(run)

    def check_end(self, run: dict[str, Any]) -> None:
        """The last run completed the work. No run did anything else."""
        assert not run.get("failed"), run["msg"]
        assert run["done"]["rows_deleted"] == run["plan"]["rows_deleted"]
        self.check_folders_counted(run)
        after = self.world.rows()
        assert after == self.expected
        assert self.world.objects().keys() == {f"assets/{asset['id']}" for asset in parsed(after)["assets"]}
        assert (self.cloud.folders, self.cloud.links) == (self.folders.folders, self.folders.links)

    def check_folders_counted(self, run: dict[str, Any]) -> None:
        """Each folder is counted once, even if its batch was done several times."""
        folders = run["done"]["shared_folders"]
        events = [item["event_id"] for item in folders["items"]]
        assert folders["count"] == len(events) == len(set(events))

    def world_events_gone(self, after: Snapshot) -> set[str]:
        return {row["id"] for row in parsed(self.before)["events"]} - {row["id"] for row in parsed(after)["events"]}


@pytest.fixture
def install(open_world: Open, open_cloud: Callable[..., CloudServer]) -> Callable[..., Installation]:
    return lambda version=67: Installation(open_world(version), open_cloud())


# Storage


def later(world: World) -> Callable[[Request], bool]:
    """Matches deletions after the first one, which is in an earlier batch."""
    return lambda request: request.operation == "DeleteObjects" and len(world.proxy.deletions) > 1


def slow_down(world: World) -> None:
    body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    world.proxy.fail(503, later(world), body=body)


def some_refused(world: World) -> None:
    assets = sorted(world.ids("assets"))
    codes = dict(
        zip((f"assets/{asset}" for asset in assets[::3]), ["AccessDenied", "InternalError", "x y"] * 99, strict=False)
    )
    world.proxy.refuse_keys(codes)


def foreign_errors(world: World) -> None:
    """The answer has an error without a key and an error for a foreign key, but nothing about the requested keys."""
    errors = "<Error><Code>InternalError</Code></Error><Error><Key>other</Key><Code>AccessDenied</Code></Error>"
    world.proxy.fail(200, later(world), body=f"<DeleteResult>{errors}</DeleteResult>".encode())


def vanish(world: World) -> None:
    """The bucket disappears with its content."""
    gone: list[bool] = []

    def look(request: Request) -> None:
        if later(world)(request) and not gone:
            gone.append(True)
            world.storage.remove_bucket(world.bucket)

    world.proxy.on_request(look)


STORAGE: dict[str, tuple[Callable[[World], Any], str]] = {
    "500": (lambda world: world.proxy.fail(500, later(world)), "HTTP status 500"),
    "503 SlowDown": (slow_down, "overloaded (SlowDown)"),
    "reset": (lambda world: world.proxy.reset(later(world)), "cannot be reached"),
    "hang": (lambda world: world.proxy.hang(3, later(world)), "did not answer in time"),
    "access denied": (lambda world: world.proxy.fail(403, later(world)), "denies access"),
    "some keys refused": (some_refused, "entries in failures"),
    "errors about other keys": (foreign_errors, "did not confirm"),
    "empty answer": (lambda world: world.proxy.fail(200, later(world)), "did not confirm"),
    "login page": (lambda world: world.proxy.fail(200, later(world), body=b"<html>log in</html>"), "did not confirm"),
    "cut off": (lambda world: world.proxy.fail(200, later(world), body=b"<DeleteResult><Del"), "object storage"),
    "bucket gone": (vanish, "has no bucket"),
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", STORAGE)
def test_storage_fails_in_mid_run(install: Callable[..., Installation], fault: str) -> None:
    made = install(52 if len(fault) % 2 else 67)
    inflict, reason = STORAGE[fault]
    inflict(made.world)
    run = made.run()
    if fault == "bucket gone":
        made.world.storage.create_bucket(made.world.bucket)
    made.check_interrupted(run, reason)
    if fault == "bucket gone":
        made.world.upload()
    made.check_completed(run)


@pytest.mark.parametrize("fault", [500, 503, "reset"])
def test_storage_fails_for_a_moment(install: Callable[..., Installation], fault: Any) -> None:
    made = install()
    when = later(made.world)
    made.world.proxy.reset(when, times=1) if fault == "reset" else made.world.proxy.fail(fault, when, times=1)
    run = made.run()
    made.check_end(run)


# Folders


LOGIN = {"Location": "/login", "Content-Type": "text/html"}
FOLDERS: dict[str, tuple[Callable[[CloudServer, Any], Any], str]] = {
    "423": (lambda cloud, when: cloud.fail(423, when), "status 423"),
    "429": (lambda cloud, when: cloud.fault(lambda r: (429, {"Retry-After": "0"}, b""), when), "status 429"),
    "500": (lambda cloud, when: cloud.fail(500, when), "status 500"),
    "hang": (lambda cloud, when: cloud.hang(3, when), "did not answer in time"),
    "reset": (lambda cloud, when: cloud.reset(when), "cannot be reached"),
    "207": (lambda cloud, when: cloud.fail(207, when), "only a part"),
    "redirect to a login page": (lambda cloud, when: cloud.fault(lambda r: (302, LOGIN, b""), when), "302"),
    "login page": (lambda cloud, when: cloud.fault(lambda r: (200, LOGIN, b"<html>"), when), "status 200"),
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", FOLDERS)
def test_folders_fail_in_mid_run(install: Callable[..., Installation], fault: str) -> None:
    made = install(67 if len(fault) % 2 else 52)
    inflict, reason = FOLDERS[fault]

    def later(request: Request) -> bool:
        return request.operation == "DeleteFolder" and len(made.cloud.folders & paths) < 3

    paths = {row["path"] for row in parsed(made.before)["event_shared_folders"] if row["event_id"] in made.chosen}
    inflict(made.cloud, later)
    run = made.run()
    made.check_interrupted(run, reason)
    assert run["done"]["events"]["count"] and made.cloud.folders & paths
    made.check_completed(run)


# PostgreSQL

# Every job that writes, and the statement on which its batches depend.
WRITES = {
    "event_cleanup": "DELETE ON events", "adhoc_event_cleanup": "DELETE ON events", "room_cleanup": "DELETE ON rooms",
    "user_cleanup": "DELETE ON users", "invite_cleanup delete_invites": "DELETE ON invites",
    "sync_storage_files": "UPDATE ON assets", "keycloak_account_sync": "UPDATE ON users",
}  # fmt: skip
TERMINATE = "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1)"


def trap(world: World, what: str, action: str, *, calls: str, deferred: bool = False) -> None:
    """Do something in some executions of a statement. Executions that are rolled back count, too.

    :param what: the kind of statement, such as "DELETE ON events"
    :param calls: a condition on n, the number of the execution
    :param deferred: do it at the commit; then n counts rows
    """
    kind = "CREATE CONSTRAINT TRIGGER trap AFTER {} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
    if deferred:
        # A job has all constraints checked at once, unless somebody else's code prevents that.
        world.query(
            "CREATE FUNCTION defer() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN SET CONSTRAINTS ALL DEFERRED; RETURN NULL; END $$;"
            f"CREATE TRIGGER defer BEFORE {what} FOR EACH STATEMENT EXECUTE FUNCTION defer()"
        )
    world.query(
        "CREATE SEQUENCE trapped; CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE"
        f" n bigint := nextval('trapped'); BEGIN IF {calls} THEN {action}; END IF; RETURN NULL; END $$;"
        + (kind if deferred else "CREATE TRIGGER trap AFTER {} FOR EACH STATEMENT").format(what)
        + " EXECUTE FUNCTION trap()"
    )


def remove_trap(world: World) -> None:
    world.query("DROP FUNCTION trap CASCADE; DROP SEQUENCE trapped; DROP FUNCTION IF EXISTS defer CASCADE")


def fail_with(code: str) -> str:
    return f"RAISE EXCEPTION 'planted' USING ERRCODE = '{code}'"


DATABASE: dict[str, tuple[dict[str, Any], str]] = {
    "backend terminated": ({"action": TERMINATE, "calls": "n = 3"}, "connection to PostgreSQL was lost"),
    "disk full": ({"action": fail_with("53100"), "calls": "n >= 3"}, "disk_full"),
    "disk full on commit": ({"action": fail_with("53100"), "calls": "n > 9", "deferred": True}, "disk_full"),
    "out of memory": ({"action": fail_with("53200"), "calls": "n >= 3"}, "out_of_memory"),
    "cancelled by somebody": ({"action": fail_with("57014"), "calls": "n = 3"}, "cancelled"),
    "input/output error": ({"action": fail_with("58030"), "calls": "n >= 3"}, "58030"),
    "connection failure": ({"action": fail_with("08006"), "calls": "n = 3"}, "connection to PostgreSQL was lost"),
    "read-only": ({"action": fail_with("25006"), "calls": "n >= 3"}, "accepts no writes"),
}
PASSING = {"serialization failure": "40001", "deadlock": "40P01"}


@pytest.mark.parametrize("fault", DATABASE)
def test_database_fails_in_mid_run(install: Callable[..., Installation], fault: str) -> None:
    made = install(67 if len(fault) % 2 else 52)
    how, reason = DATABASE[fault]
    trap(made.world, "DELETE ON events", **how)
    run = made.run()
    remove_trap(made.world)
    made.check_interrupted(run, reason)
    assert run["done"]["events"]["count"] >= BATCH
    made.check_completed(run)


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("deferred", [False, True], ids=["at once", "on commit"])
def test_conflict_that_passes_is_retried(install: Callable[..., Installation], fault: str, deferred: bool) -> None:
    made = install()
    calls = "n BETWEEN 9 AND 12" if deferred else "n IN (2, 4, 5)"
    trap(made.world, "DELETE ON events", fail_with(PASSING[fault]), calls=calls, deferred=deferred)
    run = made.run()
    remove_trap(made.world)
    made.check_end(run)


@pytest.mark.parametrize("fault", PASSING)
def test_conflict_that_lasts_leaves_what_is_in_conflict(install: Callable[..., Installation], fault: str) -> None:
    made = install()
    victims = sorted(made.chosen)[7:9]
    action = f"IF OLD.id IN ('{victims[0]}', '{victims[1]}') THEN {fail_with(PASSING[fault])}; END IF"
    trap(made.world, "DELETE ON events", action, calls="true", deferred=True)
    run = made.run()
    remove_trap(made.world)
    assert [failure["id"] for failure in run["failures"]] == victims
    assert {failure["reason"] for failure in run["failures"]} == {
        f"PostgreSQL stopped its transaction every time because of a {fault}"
    }
    made.check_interrupted(run, f"because of a {fault}")
    assert run["done"]["events"]["count"] == len(made.chosen) - 2
    made.check_completed(run)


def test_folders_are_named_when_the_connection_breaks_in_the_commit(
    install: Callable[..., Installation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In that case nobody knows whether the events of the folders are gone."""
    made, audit_log = install(), tmp_path / "audit.jsonl"
    monkeypatch.setattr(batches, "FIRST", len(made.chosen))
    trap(made.world, "DELETE ON events", TERMINATE, calls="true", deferred=True)
    made.cloud.fail(403, lambda request: request.operation == "DeleteFolder")
    run = made.run(**{FAIL: False}, batch_size=len(made.chosen), audit_log=str(audit_log))
    remove_trap(made.world)
    assert run["failed"] and "connection to PostgreSQL was lost" in run["msg"]
    events = {event for event, _provider, _path in made.folders.deleted}
    left = {item["event_id"]: item["reason"] for item in run["shared_folders_left_behind"]}
    assert left.keys() == events
    assert all(
        "status 403" in reason and "not known whether its event was deleted" in reason for reason in left.values()
    )
    lines = [json.loads(line) for line in audit_log.read_text().splitlines()]
    assert {line["id"] for line in lines if line["event"] == "left_behind"} == events
    assert [line["event"] for line in lines][-2:] == ["unknown", "run_ended"]
    assert any(line.startswith("[WARN ] Shared folders that could not be deleted: 3") for line in run["log"])


def test_session_terminated_while_objects_are_deleted(install: Callable[..., Installation]) -> None:
    made = install()
    world = made.world

    def terminate(request: Request) -> None:
        if later(world)(request):
            world.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE " + _OURS)

    world.proxy.on_request(terminate)
    run = made.run()
    made.check_interrupted(run, "connection to PostgreSQL was lost")
    made.check_completed(run)


_OURS = "datname = current_database() AND application_name LIKE 'opentalk.maintenance%'"


def test_database_that_stops_answering(install: Callable[..., Installation]) -> None:
    """The server's process hangs and cannot even cancel a statement."""
    made = install()
    world, stopped = made.world, []

    def stop(request: Request) -> None:
        if later(world)(request) and not stopped:
            stopped.extend(pid for (pid,) in world.query(f"SELECT pid FROM pg_stat_activity WHERE {_OURS}"))
            os.kill(stopped[0], signal.SIGSTOP)

    world.proxy.on_request(stop)
    try:
        run = made.run(timeout=4)
    finally:
        os.kill(stopped[0], signal.SIGCONT)
    made.check_interrupted(run, "timeout of 4 seconds")
    made.check_completed(run)


def test_statement_that_takes_too_long(install: Callable[..., Installation]) -> None:
    made = install()
    trap(made.world, "DELETE ON events", "PERFORM pg_sleep(60)", calls="n = 3")
    run = made.run(timeout=4)
    remove_trap(made.world)
    made.check_interrupted(run, "timeout of 4 seconds")
    made.check_completed(run)


def test_limits_for_the_controller_do_not_stop_a_job(install: Callable[..., Installation]) -> None:
    made = install()
    made.world.query(
        f'ALTER DATABASE "{made.world.database}" SET statement_timeout = 30;'
        f'ALTER DATABASE "{made.world.database}" SET lock_timeout = 1;'
        f'ALTER DATABASE "{made.world.database}" SET idle_in_transaction_session_timeout = 30;'
    )
    made.cloud.hang(0.2, lambda request: True)
    trap(made.world, "DELETE ON events", "PERFORM pg_sleep(0.1)", calls="true")
    run = made.run()
    remove_trap(made.world)
    made.check_end(run)


@pytest.mark.parametrize("who", ["database", "role"])
def test_writes_that_are_switched_off(install: Callable[..., Installation], who: str) -> None:
    made = install()
    name = made.world.database if who == "database" else "opentalk"
    made.world.query(f'ALTER {who} "{name}" SET default_transaction_read_only = on')
    try:
        assert made.run(**{FAIL: False})["failed"]
        preview = made.world.run("event_cleanup", check_mode=True)
        run = made.run()
    finally:
        made.world.query(
            f'SET default_transaction_read_only = off; ALTER {who} "{name}" RESET default_transaction_read_only'
        )
    assert preview["plan"]["events"]["count"] == len(made.chosen)
    made.check_interrupted(run, "accepts no writes")
    assert not made.world.proxy.writes and not made.cloud.writes
    made.check_completed()


# Servers that restart, and standbys


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgreSQLServer]:
    with PostgreSQLServer() as server:
        yield server


@pytest.fixture
def own(
    own_server: PostgreSQLServer, storage: Any, s3_proxy: S3Proxy, open_cloud: Callable[..., CloudServer]
) -> Iterator[Installation]:
    world = World(own_server, storage, s3_proxy, 67).open()
    yield Installation(world, open_cloud())
    world.close()


def restart(made: Installation, **options: bool) -> None:
    made.world.connection.close()
    made.world.server.restart(**options)
    made.world.connection = made.world.server.connect(made.world.database)


def test_server_restarted_in_mid_batch(own: Installation) -> None:
    restarted: list[bool] = []

    def look(request: Request) -> None:
        if later(own.world)(request) and not restarted:
            restarted.append(True)
            restart(own)

    own.world.proxy.on_request(look)
    run = own.run(outside_timeout=600)
    own.check_interrupted(run, "connection to PostgreSQL was lost")
    own.check_completed(run)


def test_standby(own: Installation) -> None:
    """A preview works on a standby. A run is refused, even if it would only write outside the database."""
    orphan = "assets/00000000-0000-4000-8000-000000000000"
    own.world.storage.upload(own.world.bucket, [(orphan, 1)])
    restart(own, standby=True)
    preview = own.world.run("event_cleanup", check_mode=True)
    assert preview["plan"]["events"]["count"] == len(own.chosen), preview.get("msg")
    orphans = {"orphaned_objects": "delete", "orphan_min_age": 0}
    for job, options in (("sync_storage_files", orphans), ("event_cleanup", {}), ("user_cleanup", {})):
        run = own.world.run(job, **options)
        assert run["failed"] and "accepts no writes (a standby" in run["msg"], run
    assert not own.world.proxy.writes and not own.cloud.writes
    assert own.world.rows() == own.before and own.world.objects() == {**own.objects, orphan: 1}
    restart(own)
    assert own.world.run("sync_storage_files", **orphans)["done"]["orphaned_objects"]["count"] == 1
    own.check_completed()


# The other jobs


@dataclass
class Prepared:
    """A job, and its installation after an undisturbed run."""

    world: World
    run: Callable[[], dict[str, Any]]
    rows: Snapshot
    objects: dict[str, int]


def prepare(world: World, job: str) -> Prepared:
    now = datetime.now(timezone.utc)
    world.fill(users=40, events=66, invites=2, folders=False)
    world.query("UPDATE users SET disabled_since = now() - interval '90 days' WHERE id_serial % 3 = 0")
    world.query("UPDATE events SET is_adhoc = true, created_at = now() - interval '9 days' WHERE id_serial % 2 = 0")
    world.query("UPDATE invites SET active = false WHERE id_serial % 2 = 0")
    before = world.rows()
    if job == "sync_storage_files":
        made = storage_sync.disagree(random.Random(2), before, datetime.now(timezone.utc))
        made.options |= {"orphaned_objects": "delete", "orphan_min_age": 0, "batch_size": 1}
        storage_sync.expect(made, before)
        world.storage.remove(world.bucket, world.objects())
        world.storage.upload(world.bucket, made.objects.items())
        return Prepared(world, lambda: world.run(job, **made.options), made.rows, made.left)
    made = CASES[job](random.Random(1), before, now)
    assets = {f"assets/{asset['id']}" for asset in parsed(made.expected)["assets"]}
    objects = {key: size for key, size in world.objects().items() if key in assets}
    return Prepared(world, lambda: world.run(made.module, batch_size=1, **made.options), made.expected, objects)


@pytest.mark.parametrize("fault", ["backend terminated", "disk full on commit", "serialization failure"])
@pytest.mark.parametrize("job", [job for job in WRITES if job not in ("event_cleanup", "keycloak_account_sync")])
def test_other_jobs_whose_database_fails(open_world: Open, job: str, fault: str) -> None:
    world = open_world(52 if len(job) % 2 else 67)
    made = prepare(world, job)
    before = world.rows()
    assert made.rows != before
    if fault in PASSING:
        trap(world, WRITES[job], fail_with(PASSING[fault]), calls="n IN (2, 3)")
    else:
        how, reason = DATABASE[fault]
        trap(world, WRITES[job], **{**how, "calls": "n > 1" if "deferred" in how else "n = 2"})
    run = made.run()
    remove_trap(world)
    if fault not in PASSING:
        assert run["failed"] and reason in run["msg"] and is_sentence(run["msg"]), run
        after = world.rows()
        assert before != after != made.rows
        assert run["done"]["rows_deleted"] == deleted(before, after)
        run = made.run()
    assert not run.get("failed"), run["msg"]
    assert world.rows() == made.rows
    assert world.objects() == made.objects


def test_keycloak_account_sync_whose_database_fails(open_world: Open) -> None:
    with KeycloakStandIn() as stand_in, KeycloakProxy(stand_in.url) as proxy:
        realm = Realm(KeycloakServer(stand_in))
        ids = realm.add({"username": f"user{number:02}"} for number in range(30)).values()
        synced = KeycloakWorld(open_world(67), realm, proxy)
        world, now = synced.world, datetime(2026, 5, 1, tzinfo=timezone.utc)
        since = now - timedelta(days=9)
        expected = {}
        for number, identifier in enumerate((*ids, *(f"gone {number}" for number in range(9)))):
            user = synced.build.user(oidc_sub=identifier, disabled_since=since if number % 5 == 0 else None)
            expected[user] = None if number < 30 else since if number % 5 == 0 else now
        world.freeze(now)
        before = synced.disabled()
        for fault in ("backend terminated", "disk full on commit"):
            how, reason = DATABASE[fault]
            trap(world, WRITES["keycloak_account_sync"], **{**how, "calls": how["calls"].replace("9", "2")})
            run = synced.run(batch_size=2)
            remove_trap(world)
            assert run["failed"] and reason in run["msg"], run
            changed = {user for user, value in synced.disabled().items() if value != before[user]}
            assert changed == set(run["done"]["users_disabled"]["ids"]) | set(run["done"]["users_enabled"]["ids"])
            before = synced.disabled()
        trap(world, WRITES["keycloak_account_sync"], fail_with("40001"), calls="n IN (2, 3)")
        assert not synced.run(batch_size=2).get("failed")
        assert synced.disabled() == expected
