# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets and personal data of all systems: neither Ansible with -vvv nor anything that other users can see shows them.

The tests of the fleet check the journal and the units of systemd.
"""

from __future__ import annotations

import json
import subprocess
import sys
import syslog
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from psycopg2 import Error, sql

from support import ansible
from support.certificates import STRANGER, Certificates
from support.keycloak import KeycloakProxy, KeycloakServer, Realm
from support.keycloak_stand_in import KeycloakStandIn
from support.limits import HANGS
from support.nextcloud import NextcloudServer
from support.object_storage import ObjectStorageServer
from support.s3_proxy import S3Proxy
from support.world import World

MARK = "pl4nted"
JOBS = (
    "event_cleanup", "adhoc_event_cleanup", "invite_cleanup", "room_cleanup", "sync_storage_files",
    "keycloak_account_sync", "user_cleanup", "sync_shared_folders",
)  # fmt: skip
# What the planted values must be found in before anything is proved by their absence elsewhere.
PERSONAL = {
    ("users", "email"), ("users", "firstname"), ("users", "lastname"), ("users", "display_name"), ("users", "title"),
    ("events", "title"), ("events", "description"), ("rooms", "password"), ("event_email_invites", "email"),
    ("event_shared_folders", "write_url"), ("event_shared_folders", "write_password"), ("assets", "filename"),
    ("event_shared_folders", "read_url"), ("event_shared_folders", "read_password"), ("sip_configs", "password"),
    ("room_streaming_targets", "streaming_key"), ("room_streaming_targets", "public_url"),
}  # fmt: skip
# What the contract shows, and what permissions are found by.
SHOWN = {("event_shared_folders", "path"), *(("casbin_rule", f"v{number}") for number in range(6))}


class Planted:
    """An installation in which all secrets and all personal data contain the mark."""

    def __init__(
        self, world: World, cloud: NextcloudServer, realm: Realm, keycloak: KeycloakProxy, folder: Path
    ) -> None:
        self.world, self.cloud, self.realm, self.keycloak, self.folder = world, cloud, realm, keycloak, folder
        world.fill(users=20, events=66)
        cloud.make_folder(cloud.directory)
        world.share_folders_on(cloud)
        self.columns = set(self._plant())
        assert self.columns >= PERSONAL, PERSONAL - self.columns
        realm.add(
            {
                "username": f"{MARK}-{number}", "email": f"{MARK}{number}@example.org", "firstName": MARK,
                "lastName": MARK, "attributes": {"external": [f"{MARK} {number}"]},
            }
            for number in range(5)
        )  # fmt: skip
        password = f"{MARK}-in-database"
        world.query(f"DROP ROLE IF EXISTS planted; CREATE ROLE planted SUPERUSER LOGIN PASSWORD '{password}'")
        self.url = world.server.url(world.database, user="planted", password=password)
        self.config = self.write("controller")

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        keycloak = self.realm.options(self.keycloak.url)
        return {
            "database": {"url": self.url},
            "minio": dict(self.world.options["object_storage"]),
            "shared_folder": self.cloud.settings,
            "oidc": {"authority": keycloak["authority"]},
            "oidc.controller": {"client_id": keycloak["client_id"], "client_secret": self.realm.secret},
            "user_search": {
                "backend": "keycloak_webapi", "api_base_url": keycloak["api_base_url"],
                "external_id_user_attribute_name": "external",
            },
        }  # fmt: skip

    def write(self, name: str, **changed: dict[str, Any]) -> str:
        """Write a settings file with other values in some sections."""
        path = self.folder / f"{name}.toml"
        with path.open("w") as file:
            for section, values in self.sections.items():
                file.write(f"[{section}]\n")
                for key, value in {**values, **changed.get(section.replace(".", "_"), {})}.items():
                    file.write(f"{key} = {json.dumps(value)}\n")
        return str(path)

    def secrets(self) -> set[str]:
        """Texts that must not be visible anywhere, such as credentials that were sent."""
        sent = [*self.cloud.requests, *self.keycloak.requests]
        headers = {
            request.headers["Authorization"].partition(" ")[2] for request in sent if "Authorization" in request.headers
        }
        assert len(headers) > 1
        return {MARK, self.world.storage.secret_key, self.realm.secret, self.world.server.password, *headers}

    def _plant(self) -> Iterator[tuple[str, str]]:
        connection = self.world.connection
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
                " AND data_type IN ('text', 'character varying') AND table_name <> 'refinery_schema_history'"
            )
            for table, column in sorted(set(cursor.fetchall()) - SHOWN):
                cursor.execute("SAVEPOINT before")
                try:
                    cursor.execute(
                        sql.SQL(
                            "UPDATE {0} SET {1} = left(%(mark)s || numbered.n, greatest(length(%(mark)s), length({1})))"
                            " FROM (SELECT ctid AS row, row_number() OVER () AS n FROM {0}) numbered"
                            " WHERE numbered.row = {0}.ctid AND {1} IS NOT NULL"
                        ).format(sql.Identifier(table), sql.Identifier(column)),
                        {"mark": MARK},
                    )
                except Error:
                    cursor.execute("ROLLBACK TO before")
                else:
                    if cursor.rowcount:
                        yield table, column
            cursor.execute("UPDATE module_resources SET data = %s", (json.dumps({MARK: MARK}),))
        connection.commit()


@pytest.fixture
def planted(open_world: Callable[..., World], tmp_path: Path) -> Iterator[Planted]:
    with (
        NextcloudServer(f"{MARK}@example.org", f"{MARK}: ü") as cloud,
        KeycloakStandIn() as stand_in,
        KeycloakProxy(stand_in.url) as proxy,
    ):
        made = Planted(open_world(67), cloud, Realm(KeycloakServer(stand_in)), proxy, tmp_path)
        yield made
        made.world.query("DROP ROLE planted")


class Watch:
    """Everything that the processes of a run show to other users: `with Watch() as watch`, then `watch.seen`."""

    def __init__(self) -> None:
        self.name = f"WATCHED_{uuid.uuid4().hex}"
        self.seen: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    environment = (process / "environ").read_bytes().decode(errors="replace")
                    if self.name in environment:
                        self.seen |= {environment, (process / "cmdline").read_bytes().decode(errors="replace")}
                except OSError:
                    continue


def play(planted: Planted, collections: str, playbook: list[dict[str, Any]], *options: str) -> tuple[str, set[str]]:
    """Run a playbook. Return the output and log of Ansible, and everything that its processes showed."""
    path, log = planted.folder / "playbook.yml", planted.folder / "ansible.log"
    path.write_text(yaml.safe_dump(playbook))
    log.write_text("")
    with Watch() as watch:
        environment = ansible.environment(collections, **{
            "ANSIBLE_HOME": str(planted.folder / "ansible"), "ANSIBLE_LOG_PATH": str(log),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_CALLBACKS_ENABLED": "opentalk.maintenance.job_log", watch.name: "1",
        })  # fmt: skip
        ended = subprocess.run(
            [ansible.program(), "-i", "localhost,", "-c", "local", str(path), "-vvv", "--diff", *options],
            env=environment, cwd=planted.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=HANGS, check=False,
        )  # fmt: skip
    assert any("AnsiballZ" in shown for shown in watch.seen)
    return ended.stdout + ended.stderr + log.read_text(), watch.seen


def check(planted: Planted, output: str, shown: set[str], name: str) -> None:
    for secret in planted.secrets():
        for text in (output, *shown):
            place = text.find(secret)
            assert place < 0, f"{name}: {text[max(0, place - 300) : place + 60]!r}"


def test_runs_that_succeed(planted: Planted, collections_path: str) -> None:
    playbook = [{"import_playbook": f"opentalk.maintenance.{job}"} for job in JOBS]
    variables = {
        "opentalk_maintenance_controller_config": planted.config, "event_cleanup_include_finished_series": True,
        "invite_cleanup_delete_invites": True, "sync_storage_files_orphaned_objects": "delete",
        "sync_storage_files_orphan_min_age": 0, "keycloak_account_sync_max_affected_percent": 100,
        "sync_shared_folders_orphaned_shared_folders": "delete",
        "keycloak_account_sync_dump_failed_responses": True,
    }  # fmt: skip
    before = planted.world.rows()
    for name, options in {"preview": ["--check"], "run": []}.items():
        output, shown = play(planted, collections_path, playbook, "-e", json.dumps(variables), *options)
        assert " failed=0 " in output and output.count("Job finished successfully") >= len(JOBS), output[-3000:]
        check(planted, output, shown, name)
        assert (planted.world.rows() == before) == (name == "preview")


def test_runs_that_fail(planted: Planted, collections_path: str, storage: ObjectStorageServer, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    world, wrong = planted.world, f"{MARK}-wrong"
    # A statement that PostgreSQL refuses with values of the row in its message.
    world.query(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'refused %', OLD USING DETAIL = OLD::text, HINT = OLD::text, ERRCODE = '23505'; END $$;"
        "CREATE TRIGGER refuse BEFORE DELETE OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION refuse();"
        "CREATE TRIGGER refuse BEFORE DELETE ON event_shared_folders FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    accounts = [{"username": MARK, "email": f"{MARK}@example.org"}]
    told = f"client_secret={planted.realm.secret} of {MARK}@example.org"
    body = json.dumps({"error": "refused", "error_description": told, "accounts": accounts}).encode()
    with S3Proxy(storage) as stranger, KeycloakProxy(planted.keycloak.url) as refusing:
        stranger.encrypt(certificates.context(STRANGER))
        refusing.fail(418, lambda request: request.operation == "Page", body=body)
        refused = planted.realm.options(refusing.url)
        configs = {
            "statement": planted.config,
            "database": planted.write("a", database={"url": planted.url.replace("in-database", "wrong")}),
            "URL": planted.write("b", database={"url": f"postgres://planted:{MARK}/x@127.0.0.1:1/opentalk"}),
            "storage": planted.write("c", minio={"secret_key": wrong}),
            "certificate": planted.write("d", minio={"uri": stranger.url}),
            "cloud": planted.write("e", shared_folder={"password": wrong}),
            "client": planted.write("f", oidc_controller={"client_secret": wrong}),
            "keycloak": planted.write("g", user_search={"api_base_url": refused["api_base_url"]}),
        }
        tasks = [_task(job, name, controller_config=path) for name, path in configs.items() for job in FAILING[name]]
        inline = {
            "database_url": planted.url,
            "object_storage": {**world.options["object_storage"], "access_key": "{{ names[0] }}", "secret_key": wrong},
            "shared_folder": {**planted.cloud.settings, "username": "{{ names[1] }}", "password": wrong},
        }
        # Ansible shows the lines of a playbook around a task that fails.
        names = tmp_path / "names.yml"
        names.write_text(json.dumps({"names": [f"{MARK}-key", f"{MARK}@example.org"]}))
        tasks.append(_task("event_cleanup", "options", **inline))
        tasks.append(_task("event_cleanup", "wrong type", **inline, batch_size="many"))
        tasks.append(_task("event_cleanup", "endless number", **inline, batch_size=float("inf")))
        plays = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
        output, shown = play(planted, collections_path, plays, "-e", f"@{names}")
    assert output.count("...ignoring") >= len(tasks), output[-3000:]
    assert "MODULE FAILURE" not in output and "Traceback" not in output
    check(planted, output, shown, "failing runs")


FAILING = {
    "statement": ["user_cleanup", "event_cleanup", "keycloak_account_sync"],
    "database": ["invite_cleanup"],
    "URL": ["room_cleanup"],
    "storage": ["event_cleanup", "sync_storage_files"],
    "certificate": ["sync_storage_files"],
    "cloud": ["event_cleanup", "sync_shared_folders"],
    "client": ["keycloak_account_sync"],
    "keycloak": ["keycloak_account_sync"],
}


def _task(job: str, name: str, **options: Any) -> dict[str, Any]:
    if job in ("event_cleanup", "user_cleanup"):
        options["fail_on_shared_folder_deletion_error"] = True
    if job == "user_cleanup":
        options["days_since_user_has_been_disabled"] = 0
    if job == "keycloak_account_sync":
        options |= {"dump_failed_responses": True, "max_affected_percent": 100}
    return {"name": f"{job} with {name}", f"opentalk.maintenance.{job}": options, "ignore_errors": True}


def test_line_that_ansible_writes_to_the_journal(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda priority, text: lines.append(text))
    storage = {**planted.world.options["object_storage"], "access_key": f"{MARK}-key", "secret_key": MARK}
    assert planted.world.run("room_cleanup", database_url=planted.url, object_storage=storage, check_mode=True)
    (line,) = (line for line in lines if line.startswith("Invoked with"))
    assert planted.cloud.settings["url"] in line and storage["bucket"] in line and MARK not in line
