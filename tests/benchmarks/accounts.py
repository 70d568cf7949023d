# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long keycloak_account_sync takes to list many accounts, beside a bare listing of the same pages."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.account_server import identifier
from benchmarks.case import ROUNDS
from benchmarks.databases import add_users
from benchmarks.job_process import run_job
from support.object_storage import ObjectStorageServer
from support.postgresql import PostgreSQLServer

MIGRATION = 67
ACCOUNTS, PAGE = 200_000, 100
# One session, as the job has one, and what is needed of each page.
_BARE = """
import sys, time, requests
url, number, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
started, session, accounts = time.monotonic(), requests.Session(), {}
session.trust_env = False
for first in range(0, number, size):
    query = {"first": first, "max": size, "briefRepresentation": "true"}
    for account in session.get(f"{url}/admin/realms/x/users", params=query).json():
        accounts[account["id"]] = account["enabled"]
assert len(accounts) == number
print(time.monotonic() - started)
"""


def measure(server: PostgreSQLServer, _storage: ObjectStorageServer, arguments: list[str]) -> None:
    """Print the seconds and ratios.

    :param arguments: the number of accounts, and the size of a page
    """
    number = int(arguments[0]) if arguments else ACCOUNTS
    size = int(arguments[1]) if len(arguments) > 1 else PAGE
    database = server.database_for(MIGRATION)
    with contextlib.closing(server.connect(database)) as connection, _accounts(number) as url:
        # One of them has no account, so that the accounts are listed twice.
        add_users(connection, [identifier(place) for place in range(1000)] + ["gone"])
        connection.commit()
        bare, ours = [], []
        for _unused in range(ROUNDS):
            listed = [sys.executable, "-c", _BARE, url, str(number), str(size)]
            bare.append(float(subprocess.run(listed, capture_output=True, check=True, text=True).stdout))
            options = {
                "database_url": server.url(database), "keycloak_api_page_size": size,
                "keycloak": {
                    "authority": f"{url}/realms/x", "api_base_url": f"{url}/admin/realms/x", "client_id": "x",
                    "client_secret": "x",
                },
            }  # fmt: skip
            run = run_job("keycloak_account_sync", options, check_mode=True)
            assert run.result["plan"]["users_disabled"]["count"] == 1
            ours.append(run.seconds)
            print(
                f"bare {bare[-1]:.2f} s, ours with two listings {ours[-1]:.2f} s, {run.memory / 2**20:.0f} MiB",
                flush=True,
            )
    server.drop_database(database)
    ratio = statistics.median(ours) / statistics.median(bare)
    print(f"{number:,} accounts in pages of {size}: both listings take {ratio:.2f} times one bare listing")


@contextlib.contextmanager
def _accounts(number: int) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.account_server", str(number)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin and process.stdout
        yield process.stdout.readline().strip()
        process.stdin.close()
