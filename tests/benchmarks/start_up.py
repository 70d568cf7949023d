# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the playbook of each job that has nothing to do, beside a playbook that sends only a ping."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOBS, NIGHT, ON_REQUEST

from benchmarks.databases import MIGRATION
from benchmarks.job_process import run_job
from support import ansible, collection, installation, shared_folders
from support.keycloak import KeycloakServer, Realm
from support.keycloak_stand_in import KeycloakStandIn
from support.limits import HANGS
from support.nextcloud import NextcloudServer
from support.object_storage import ObjectStorageServer
from support.postgresql import PostgreSQLServer

ROUNDS = 9
BUCKET = "start-up"
PING = "ping"
PING_PLAYBOOK = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.ping": None}]}]
# The parameters with which a job has nothing left to do once it ran.
PARAMETERS: dict[str, dict[str, Any]] = {
    "user_cleanup": {"days_since_user_has_been_disabled": 0},
    "user_erasure": {"emails": ["nobody@example.org"], "fail_on_unmatched": False},
    "invite_cleanup": {"delete_invites": True},
}


class Cost(NamedTuple):
    """What one playbook took.

    :ivar seconds: from its start to its end
    :ivar processor: seconds of processors, of Ansible and of the module, which depend less on what else the machine does
    """

    seconds: float
    processor: float


def processor_seconds() -> float:
    """What programs that have ended used of the processors."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Playbooks:
    """The playbooks of the jobs, and that of the ping.

    :param options: those that all jobs have in common
    """

    def __init__(self, directory: Path, options: dict[str, Any]) -> None:
        self._ping = directory / "ping.yml"
        self._ping.write_text(json.dumps(PING_PLAYBOOK))
        self._variables = directory / "variables.json"
        common = {f"opentalk_maintenance_{name}": value for name, value in options.items()}
        own = {f"{job}_{name}": value for job, values in PARAMETERS.items() for name, value in values.items()}
        self._variables.write_text(json.dumps({**common, **own}))
        self._collections = collection.link(directory)

    def cost(self, name: str) -> Cost:
        """:raises RuntimeError: the playbook failed or had something to do"""
        started, before = time.monotonic(), processor_seconds()
        self._play(name)
        return Cost(time.monotonic() - started, processor_seconds() - before)

    def sent(self, name: str) -> tuple[int, int]:
        """The number of files that Ansible sends for a module, and the bytes of their archive."""
        with tempfile.TemporaryDirectory(prefix="opentalk-sent-") as directory:
            self._play(name, ANSIBLE_KEEP_REMOTE_FILES="true", ANSIBLE_REMOTE_TEMP=directory)
            (program,) = Path(directory).glob(f"*/AnsiballZ_{name}.py")
            archive = base64.b64decode(max(re.findall(r"[\"']([A-Za-z0-9+/=\n]+)[\"']", program.read_text()), key=len))
        return len(zipfile.ZipFile(io.BytesIO(archive)).namelist()), len(archive)

    def _play(self, name: str, **variables: str) -> None:
        playbook = self._ping if name == PING else collection.ROOT / "playbooks" / f"{name}.yml"
        played = subprocess.run(
            [ansible.program(), "-i", "localhost,", "-c", "local", "-e", f"@{self._variables}", playbook],
            # The units of the timers name the Python, too.
            env=ansible.environment(
                self._collections, ANSIBLE_NOCOLOR="true", ANSIBLE_PYTHON_INTERPRETER=sys.executable, **variables
            ),
            capture_output=True,
            text=True,
            timeout=HANGS,
            check=False,
        )
        if played.returncode or not re.search(r" changed=0 .* failed=0 ", played.stdout):
            raise RuntimeError(f"{name}: {played.stdout} {played.stderr}")


@contextlib.contextmanager
def _settled(server: PostgreSQLServer, storage: ObjectStorageServer) -> Iterator[dict[str, Any]]:
    """The options of a small installation in which every job has done its work."""
    with contextlib.ExitStack() as stack:
        name = server.database_for(MIGRATION)
        stack.callback(server.drop_database, name)
        cloud = stack.enter_context(NextcloudServer("opentalk@example.org", "password"))
        realm = Realm(KeycloakServer(stack.enter_context(KeycloakStandIn()), "for measurements"))
        storage.create_bucket(BUCKET)
        stack.callback(storage.remove_bucket, BUCKET)
        with contextlib.closing(server.connect(name)) as connection:
            installation.fill(connection, seed=2026, users=30, events=120)
            shared_folders.make(connection, cloud)
            storage.upload(BUCKET, installation.objects(connection))
            with connection.cursor() as cursor:
                cursor.execute("SELECT oidc_sub FROM users")
                realm.add({"username": sub, "attributes": {"id": [sub]}} for (sub,) in cursor.fetchall())
        options = {
            "database_url": server.url(name),
            "object_storage": {
                "uri": storage.endpoint, "bucket": BUCKET, "access_key": storage.access_key,
                "secret_key": storage.secret_key, "region": storage.region,
            },
            "shared_folder": cloud.settings,
            "keycloak": {**realm.options(realm.server.url), "external_id_user_attribute_name": "id"},
        }  # fmt: skip
        for job in NIGHT:
            given = {**options, **PARAMETERS.get(job, {}), "max_affected_percent": 100}
            known = JOBS[job].argument_spec()
            run_job(job, {option: value for option, value in given.items() if option in known})
        yield options


def measure(server: PostgreSQLServer, storage: ObjectStorageServer, arguments: list[str]) -> None:
    """Measure the named jobs or all, and print a table.

    :param arguments: the number of rounds, then names of jobs
    """
    rounds, jobs = int(arguments[0]) if arguments else ROUNDS, arguments[1:] or [*NIGHT, *ON_REQUEST]
    costs: dict[str, list[Cost]] = {name: [] for name in (PING, *jobs)}
    with _settled(server, storage) as options, tempfile.TemporaryDirectory(prefix="opentalk-start-up-") as directory:
        playbooks = Playbooks(Path(directory), options)
        for _unused in range(rounds):
            for name, measured in costs.items():
                measured.append(playbooks.cost(name))
        sent = {name: playbooks.sent(name) for name in costs}
    columns = ("Playbook", "Seconds", "Times the ping", "Processor seconds", "Times the ping", "Files sent", "Archive")
    print(f"| {' | '.join(columns)} |\n| {'--- | ' * len(columns)}".rstrip())
    medians = {name: Cost(*map(statistics.median, zip(*measured, strict=True))) for name, measured in costs.items()}
    for name, median in medians.items():
        files, size = sent[name]
        cells = [name]
        for value, ping in zip(median, medians[PING], strict=True):
            cells += [f"{value:.2f} s", f"{value / ping:.2f}"]
        print(f"| {' | '.join([*cells, str(files), f'{size / 1024:.0f} KiB'])} |")
