# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: a preview, a run and a second run of a job on a made-up installation."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from support import ansible, collection, installation, shared_folders
from support.nextcloud import NextcloudServer
from support.object_storage import ObjectStorageServer
from support.postgresql import PostgreSQLServer
from support.snapshot import deleted, snapshot

USERS, EVENTS, MIGRATION, BUCKET = 400, 3000, 67, "controller"
JOBS = ("event_cleanup", "adhoc_event_cleanup", "room_cleanup", "user_cleanup", "invite_cleanup")
# The most lines of each list in a diff that are shown.
DIFF_LINES = 6

_started = time.monotonic()


def main(job: str = "event_cleanup") -> int:
    if job not in JOBS:
        raise SystemExit(f"The demo shows one of these jobs: {', '.join(JOBS)}.")
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="opentalk-demo-")))
        say("Starting PostgreSQL and an S3 server ...")
        server = stack.enter_context(PostgreSQLServer(embedded=True))
        storage = stack.enter_context(ObjectStorageServer.start("moto", require=True))
        cloud = stack.enter_context(NextcloudServer("opentalk", "password"))
        say(f"{server.description}, {storage.description} and a stand-in for Nextcloud are running")
        database = server.database_for(MIGRATION)
        connection = stack.enter_context(contextlib.closing(server.connect(database)))
        installation.fill(connection, seed=2026, users=USERS, events=EVENTS, invites=3)
        storage.create_bucket(BUCKET)
        objects = list(installation.objects(connection))
        shared_folders.make(connection, cloud)
        say(f"Made up {USERS} users and {EVENTS} events; storing {len(objects)} recordings ...")
        storage.upload(BUCKET, objects)
        config = scratch / "controller.toml"
        write_settings(config, server.url(database), storage, cloud)
        environment = ansible_environment(scratch)

        def world() -> tuple[Any, set[str], set[str]]:
            return snapshot(connection), set(storage.objects(BUCKET)), set(cloud.folders)

        before = world()
        preview = play(job, "1. The preview: nothing is changed", ["--check", "--diff"], config, environment)
        previewed = world()
        run = play(job, "2. The run", [], config, environment)
        after = world()
        again = play(job, "3. The same run again: nothing is left to do", [], config, environment)
        final = world()

    gone = deleted(before[0], after[0])
    checks = {
        "the preview changed no row, object or folder": before == previewed,
        "the run deleted exactly the rows of the preview": gone == preview["plan"]["rows_deleted"] != {},
        "the run deleted exactly the objects of the preview": {key.split("/")[1] for key in before[1] - after[1]}
        == set(preview["plan"].get("assets", {}).get("ids", ())),
        "the run deleted exactly the folders of the preview": before[2] - after[2]
        == {folder["path"] for folder in preview["plan"].get("shared_folders", {}).get("items", ())},
        "the run reported what it did": run["done"]["rows_deleted"] == gone and run["changed"],
        "the second run changed nothing": not again["changed"] and final == after,
    }
    print()
    for promise, kept in checks.items():
        print(f"{'yes' if kept else 'NO '}  {promise}")
    say("All servers are stopped")
    return 0 if all(checks.values()) else 1


def say(text: str) -> None:
    print(f"[{time.monotonic() - _started:5.1f}s] {text}", flush=True)


def write_settings(path: Path, url: str, storage: ObjectStorageServer, cloud: NextcloudServer) -> None:
    values = {
        "database": {"url": url},
        "minio": {
            "uri": storage.endpoint,
            "bucket": BUCKET,
            "access_key": storage.access_key,
            "secret_key": storage.secret_key,
        },
        "shared_folder": cloud.settings,
    }
    path.touch(mode=0o600)
    path.write_text(
        "".join(
            f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
            for section, keys in values.items()
        )
    )


def ansible_environment(scratch: Path) -> dict[str, str]:
    (scratch / "ansible.cfg").touch()
    return ansible.environment(
        collection.link(scratch / "collections"),
        ANSIBLE_HOME=str(scratch / "ansible"),
        ANSIBLE_LOCAL_TEMP=str(scratch / "ansible" / "tmp"),
        ANSIBLE_CONFIG=str(scratch / "ansible.cfg"),
        ANSIBLE_NOCOLOR="1",
    )


def play(job: str, title: str, options: list[str], config: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Run the playbook as an operator does, print its output, and return the result of the job."""
    arguments = [f"opentalk.maintenance.{job}", "-i", "localhost,", "-c", "local", *options]
    arguments += ["-e", f"opentalk_maintenance_controller_config={config}"]
    if job == "invite_cleanup":  # this schema has no permissions, so only the invites can be deleted
        arguments += ["-e", "invite_cleanup_delete_invites=true"]
    command = [ansible.program(), *arguments]
    print(f"\n=== {title}\n$ ansible-playbook {' '.join(arguments)}\n", flush=True)
    # With -v Ansible prints the job's result, which is read here and not shown.
    played = subprocess.run([*command, "-v"], env=environment, stdout=subprocess.PIPE, text=True, check=False)
    match = re.search(r"^(?:ok|changed): \[localhost\] => (\{.*\})$", played.stdout, re.MULTILINE)
    if played.returncode or not match:
        print(played.stdout)
        raise SystemExit(f"The playbook failed with exit code {played.returncode}.")
    print(shorten(played.stdout))
    return json.loads(match[1])


def shorten(output: str) -> str:
    """The output without -v, with shortened lists of ids."""
    output = re.sub(r"^(ok|changed): \[localhost\] => \{.*\}$", r"\1: [localhost]", output, flags=re.MULTILINE)
    lines: list[str] = []
    listed = 0
    for line in output.splitlines():
        if line.startswith(("Using ", "running playbook inside collection")):
            continue
        listed = listed + 1 if line.startswith("-    - ") else 0
        if listed == DIFF_LINES + 1:
            lines.append("-    (and so on)")
        if listed <= DIFF_LINES:
            lines.append(line)
    return "\n".join(lines).strip()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
