# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""sync_shared_folders: folders without an event go, everything else in the directory stays, and nothing goes by mistake."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.clouds import client
from psycopg2 import sql

from support.builders import Builder
from support.cloud_server import CloudServer
from support.recording_server import Request
from support.world import World

JOB = "sync_shared_folders"
INSTALLATIONS = [(52, "nextcloud"), (67, "nextcloud"), (67, "opencloud")]
DELETE = {"orphaned_shared_folders": "delete"}
FAIL = "fail_on_shared_folder_deletion_error"
OLD = "opentalk/old & größer"
EVENTS = 12


class Cloud:
    """An installation with a cloud, on which each event has its folder."""

    def __init__(self, world: World, server: CloudServer, events: int = EVENTS) -> None:
        self.world, self.server = world, server
        world.cloud = server
        server.make_folder(server.directory)
        self.build = Builder(world.connection)
        self.owner = self.build.user()
        self.events = [self.event() for _unused in range(events)]

    def event(self, directory: str = "", **columns: Any) -> str:
        """An event with a folder in the directory of the settings, or in another one."""
        event = self.build.event(self.owner, **columns)
        path = self.path(event, directory)
        return self.build.shared_folder(event, path=path, record=self.server.shared_folder(path))

    def path(self, event: str, directory: str = "") -> str:
        return f"{directory or self.server.directory}/opentalk-event-{event}"

    def orphan(self, directory: str = "", *, days: int = 2) -> str:
        """A folder with share links and something inside, whose event does not exist, and the id in its name."""
        event = str(uuid.uuid4())
        path = self.path(event, directory)
        self.server.make_folder(f"{path}/inner")
        for _unused in range(2):
            self.server.share(path)
        self.server.make_older([path], timedelta(days=days))
        return event

    def run(self, **options: Any) -> dict[str, Any]:
        return self.world.run(JOB, **options)

    def state(self) -> tuple[set[str], dict[str, str], Any]:
        return set(self.server.folders), dict(self.server.shares), self.world.rows()


@pytest.fixture
def install(open_world: Callable[..., World], open_cloud: Callable[..., CloudServer]) -> Callable[..., Cloud]:
    return lambda version=67, provider="nextcloud", **options: Cloud(
        open_world(version), open_cloud(provider), **options
    )


def ids(effects: dict[str, Any], kind: str) -> set[str]:
    assert effects[kind]["count"] == len(effects[kind]["items"])
    return {item["event_id"] for item in effects[kind]["items"]}


@pytest.mark.parametrize(("version", "provider"), INSTALLATIONS)
def test_only_old_folders_without_an_event_go(
    install: Callable[..., Cloud], version: int, provider: str, tmp_path: Path
) -> None:
    cloud = install(version, provider)
    server, build, owner = cloud.server, cloud.build, cloud.owner
    # Ages count by the cloud's clock, which is wrong here.
    server.ahead = timedelta(days=-40)
    server.make_folder(OLD)
    orphans = {cloud.orphan() for _unused in range(3)} | {cloud.orphan(OLD)}
    young, undated = cloud.orphan(days=0), cloud.orphan()
    server.times[cloud.path(undated)] = None

    # What stays: folders of events that have no record, or one of another place, and what is not of the controller's form.
    staying = [build.event(owner), cloud.event("opentalk/elsewhere"), cloud.event(OLD)]
    others = {
        f"{server.directory}/{name}"
        for name in (
            *(f"opentalk-event-{event}" for event in staying[:2]),
            f"opentalk-event-{str(uuid.uuid4()).upper()}", f"opentalk-event-{uuid.uuid4()}x",
            f"opentalk-event-{uuid.uuid4().hex}", f"opentalk-event-{uuid.uuid4()} ",
            f"x/opentalk-event-{uuid.uuid4()}", f"Opentalk-event-{uuid.uuid4()}",
            f"opentalk-event-{uuid.uuid4()}%2F..", "opentalk-event-", "100% & größer?", "..x",
        )
    }  # fmt: skip
    for path in (*others, f"opentalk/other/opentalk-event-{uuid.uuid4()}"):
        server.make_folder(path)
    needed = cloud.orphan()
    build.shared_folder(staying[0], path=f"/{cloud.path(needed)}//inner/", record=server.record(*[server.share(
        cloud.path(needed))] * 2))  # fmt: skip
    file = f"{server.directory}/opentalk-event-{uuid.uuid4()}"
    server.files.add(file)
    server.make_older([*others, file], timedelta(days=2))
    missing = {cloud.event(), cloud.event(OLD)}
    server.folders = {folder for folder in server.folders if not folder.endswith(tuple(missing))}
    before = cloud.state()
    options = {"previous_directories": [f"/{OLD}/", "opentalk/meetings/"], "audit_log": str(tmp_path / "audit.jsonl")}

    reported = cloud.run(**options)
    assert not reported.get("failed"), reported["msg"]
    assert not reported["changed"] and reported["done"]["orphaned_shared_folders"]["count"] == 0
    preview = cloud.run(check_mode=True, diff=True, **options, **DELETE)
    assert server.writes == [] and cloud.state() == before
    assert preview["changed"] and all(event in json.dumps(preview["diff"]) for event in orphans)
    server.clear()
    run = cloud.run(**options, **DELETE)
    assert not run.get("failed"), run["msg"]
    assert run["plan"] == preview["plan"]
    assert all(ids(reported["plan"], kind) == ids(run["plan"], kind) for kind in run["plan"] if "folders" in kind)
    assert [request.operation for request in server.requests].count("ListFolder") == 2
    assert ids(run["done"], "orphaned_shared_folders") == ids(run["plan"], "orphaned_shared_folders") == orphans
    assert ids(run["plan"], "young_orphaned_shared_folders") == {young}
    assert ids(run["plan"], "undated_orphaned_shared_folders") == {undated}
    assert ids(run["plan"], "missing_shared_folders") == missing
    folders, shares, rows = cloud.state()
    assert rows == before[2]
    assert before[0] - folders == {path for path in before[0] if any(event in path for event in orphans)}
    assert shares == {
        share: path for share, path in before[1].items() if path in folders or path.endswith(tuple(missing))
    }
    assert file in server.files

    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert {line["id"] for line in lines if line["event"] == "deleting"} == orphans
    counts = [line["counts"] for line in lines if line["event"] == "deleted"]
    assert sum(count["shared_folders"] for count in counts) == len(orphans)
    server.clear()
    again = cloud.run(**options, **DELETE)
    assert not again["changed"] and not again.get("failed") and server.writes == []
    assert (
        ids(again["plan"], "missing_shared_folders") == missing
        and again["plan"]["orphaned_shared_folders"]["count"] == 0
    )
    server.make_older([cloud.path(young)], timedelta(seconds=59))
    server.tells_time = False
    server.ahead = timedelta()
    assert cloud.run(**DELETE, orphan_min_age=86_400 * 39)["changed"]


@pytest.mark.parametrize("provider", ["nextcloud", "opencloud"])
def test_event_that_comes_while_the_job_works_keeps_its_folder(install: Callable[..., Cloud], provider: str) -> None:
    cloud = install(67, provider)
    comes, recorded, goes = sorted(cloud.orphan() for _unused in range(3))[::-1]

    def come(request: Request) -> None:
        if request.operation == "DeleteFolder" and comes not in cloud.world.ids("events"):
            cloud.build.event(cloud.owner, id=comes)
            cloud.build.shared_folder(
                cloud.build.event(cloud.owner), path=cloud.path(recorded), record=cloud.server.record(*[link] * 2)
            )

    link = cloud.server.share(cloud.path(recorded))
    cloud.server.on_request(come)
    run = cloud.run(shared_folder_requests=1, **DELETE)
    assert not run.get("failed") and ids(run["plan"], "orphaned_shared_folders") == {goes, comes, recorded}
    assert ids(run["done"], "orphaned_shared_folders") == {goes}
    assert {cloud.path(comes), cloud.path(recorded)} <= cloud.server.folders
    assert sum("since the listing" in line for line in run["log"]) == 2


@pytest.mark.parametrize("provider", ["nextcloud", "opencloud"])
def test_limits_and_what_looks_like_a_mistake(install: Callable[..., Cloud], provider: str) -> None:
    cloud = install(67, provider)
    server, settings = cloud.server, cloud.server.settings
    for _unused in range(11):
        cloud.orphan()

    def refused(*words: str, **options: Any) -> dict[str, Any]:
        before = cloud.state()
        result = {}
        for check_mode in (True, False):
            result = cloud.run(check_mode=check_mode, **options)
            assert result["failed"] and all(word in result["msg"] for word in words), result.get("msg")
        assert cloud.state() == before and server.writes == []
        return result

    refused("11 of 23 shared folders", "max_affected", **DELETE)
    assert not cloud.run().get("failed")
    refused("max_affected allows 10", max_affected=10, **DELETE)
    refused("47.8 percent", max_affected_percent=47, **DELETE)
    # The account, the address or the directory is wrong.
    wrong = {"username": "somebody"} if provider == "nextcloud" else {"password": "wrong"}
    refused("cannot be listed", shared_folder={**settings, **wrong}, **DELETE)
    refused("cannot be listed", shared_folder={**settings, "url": f"{server.url}/nowhere"})
    refused("cannot be used", shared_folder={**settings, "directory": "opentalk/../x"})
    refused("previous_directories", previous_directories=[""])
    refused("cannot be used", previous_directories=["a/./b"])
    absent = "opentalk/absent"
    empty = cloud.run(shared_folder={**settings, "directory": absent}, **DELETE)
    assert not empty.get("failed") and any(absent in line for line in empty["log"] if line.startswith("[WARN ]"))
    event = cloud.event(absent)
    server.folders = {folder for folder in server.folders if absent not in folder}
    result = refused("Not everything", previous_directories=[absent])
    assert [(failure["kind"], failure["id"]) for failure in result["failures"]] == [("directories", absent)]
    assert ids(result["plan"], "missing_shared_folders") == set()
    cloud.world.query("DELETE FROM event_shared_folders WHERE event_id = %s", (event,))

    # The database is of another installation, and so are the records.
    folders, server.folders = server.folders, {"opentalk", server.directory}
    refused("None of the 12 shared folders")
    server.folders = folders
    cloud.world.query("DELETE FROM event_shared_folders; DELETE FROM events")
    for event in cloud.events:
        server.times[cloud.path(event)] = None
    refused("None of the 11 shared folders", "another database", **DELETE)
    assert ids(cloud.run(max_affected=11, **DELETE)["done"], "orphaned_shared_folders") and len(server.folders) == 14


LISTINGS = {
    "login page": (200, b"<html></html>"),
    "not a list": (207, b"<html></html>"),
    "nothing": (207, b""),
    "cut off": (207, b'<d:multistatus xmlns:d="DAV:"><d:response><d:href>/opentalk/meetings</d:href>'),
    "of another folder": (
        207,
        b'<d:multistatus xmlns:d="DAV:"><d:response><d:href>/opentalk/x/</d:href><d:propstat><d:prop><d:resourcetype>'
        b"<d:collection/></d:resourcetype></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
        b"</d:multistatus>",
    ),
    "of no folder": (207, b'<d:multistatus xmlns:d="DAV:"/>'),
    "with entities": (207, b'<!DOCTYPE a [<!ENTITY b "c">]><d:multistatus xmlns:d="DAV:">&b;</d:multistatus>'),
    "forbidden": (403, b""),
    "redirect": (302, b""),
}


def test_listing_that_is_none_changes_nothing(install: Callable[..., Cloud], monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = install(events=1)
    cloud.orphan()
    before = cloud.state()
    for status, content in LISTINGS.values():
        cloud.server.fail(status, lambda request: request.operation == "ListFolder", body=content, times=1)
        run = cloud.run(max_affected=99, **DELETE)
        assert run["failed"] and "cannot be listed" in run["msg"] and "nothing was touched" in run["msg"], run
    assert cloud.state() == before and cloud.server.writes == []
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.1)
    pause = (429, {"Retry-After": "1"}, b"")
    cloud.server.fault(lambda request: pause, lambda request: request.operation == "ListFolder", times=1)
    assert cloud.run(**DELETE)["changed"]


@pytest.mark.parametrize("provider", ["nextcloud", "opencloud"])
@pytest.mark.parametrize("fail", [False, True])
def test_folder_that_cannot_be_deleted(
    install: Callable[..., Cloud], provider: str, fail: bool, tmp_path: Path
) -> None:
    cloud = install(67, provider)
    server, audit_log = cloud.server, tmp_path / "audit.jsonl"
    first, second, third = sorted(cloud.orphan() for _unused in range(3))
    # Its share links cannot be listed; the folder of another one is refused.
    server.fail(403, lambda request: request.operation == "DeleteFolder" and first in request.path)
    listing = cloud.path(second).replace("/", "%2F") if provider == "nextcloud" else server.item(cloud.path(second))
    server.fail(
        403,
        lambda request: request.operation == "ListShares" and listing.rpartition("!")[2] in request.path,
        body=b"{}",
    )
    run = cloud.run(shared_folder_requests=1, audit_log=str(audit_log), **DELETE, **{FAIL: fail})
    left = {item["event_id"] for item in run["shared_folders_left_behind"]}
    if fail:
        assert run["failed"] and first in run["msg"] and FAIL in run["msg"]
        assert left == {first} and {cloud.path(event) for event in (first, second, third)} <= server.folders
    else:
        assert not run.get("failed") and left == {first, second}
        assert ids(run["done"], "orphaned_shared_folders") == {third}
        assert cloud.path(third) not in server.folders and any("tries again" in line for line in run["log"])
    lines = [json.loads(line) for line in audit_log.read_text().splitlines()]
    assert {line["id"] for line in lines if line["event"] == "kept"} == left
    server.clear_faults()
    assert not cloud.run(**DELETE).get("failed")
    assert not any(event in path for event in (first, second, third) for path in server.folders)
    assert not any(event in path for event in (first, second, third) for path in server.shares.values())


def test_run_is_held_to_its_preview(install: Callable[..., Cloud]) -> None:
    cloud = install()
    server = cloud.server
    server.make_folder("opentalk/old")
    stays, goes, changed = cloud.orphan(), cloud.orphan("opentalk/old"), cloud.orphan()
    options = {**DELETE, "previous_directories": ["opentalk/old"]}
    approval = cloud.run(check_mode=True, report_limit=0, **options)["approval"]
    approval["roots"]["shared_folders"] = [name for name in approval["roots"]["shared_folders"] if stays not in name]
    server.make_older([cloud.path(changed)], timedelta(days=3))
    later = cloud.orphan()
    run = cloud.run(approved_plan=approval, **options)
    assert run["failed"] and [failure["id"] for failure in run["failures"]] == [changed]
    assert ids(run["done"], "orphaned_shared_folders") == {goes}
    assert {cloud.path(event) for event in (stays, changed, later)} <= server.folders
    wrong = cloud.run(approved_plan=approval, **DELETE)
    assert wrong["failed"] and "previous_directories" in wrong["msg"]


@pytest.mark.parametrize("table", ["events", "event_shared_folders"])
def test_hidden_rows_do_not_make_orphans(install: Callable[..., Cloud], table: str) -> None:
    cloud = install(52, events=1)
    cloud.world.query(
        sql.SQL("ALTER TABLE {0} ENABLE ROW LEVEL SECURITY; ALTER TABLE {0} FORCE ROW LEVEL SECURITY").format(
            sql.Identifier(table)
        )
    )
    role = f"reader_{uuid.uuid4().hex}"
    cloud.world.query(
        f"CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    )
    try:
        url = cloud.world.options["database_url"]
        scheme, _at, rest = url.rpartition("@")
        run = cloud.run(database_url=f"{scheme.partition('//')[0]}//{role}:secret@{rest}", **DELETE)
        assert run["failed"] and "row-level security" in run["msg"] and cloud.server.requests == []
    finally:
        cloud.world.query(f"DROP OWNED BY {role}; DROP ROLE {role}")
