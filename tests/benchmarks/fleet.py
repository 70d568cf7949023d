# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the playbook provision_timers: on bare hosts, and on many hosts where it changes nothing."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import NIGHT

from benchmarks.start_up import processor_seconds
from support import collection
from support.controllers import NEVER, Controllers, Played
from support.fleet import Fleet
from support.object_storage import ObjectStorageServer
from support.postgresql import PostgreSQLServer

HOSTS = 30
JOBS: dict[str, Any] = {job: {"on_calendar": NEVER} for job in NIGHT}


class Cost(NamedTuple):
    """What one run of the playbook took.

    :ivar hosts: how many hosts the inventory has
    :ivar tasks: how many tasks the first host had, without those that were skipped
    :ivar skipped: how many were skipped
    :ivar changed: how many changed something there
    :ivar seconds: from the start of the playbook to its end
    :ivar of_the_node: seconds of the control node's processors for each host
    :ivar of_the_host: seconds of a host's processors for each connection
    """

    hosts: int
    tasks: int
    skipped: int
    changed: int
    seconds: float
    of_the_node: float
    of_the_host: float


def measure(_server: PostgreSQLServer, _storage: ObjectStorageServer, arguments: list[str]) -> None:
    """Measure on three bare hosts, again on these, and with connections to them under other names, and print a table.

    :param arguments: the number of hosts of the last run
    :raises RuntimeError: a run failed, or changed what it should not
    """
    copies = -(-int(arguments[0] if arguments else HOSTS) // 3)
    with tempfile.TemporaryDirectory(prefix="opentalk-fleet-") as directory:
        with Fleet(str(collection.link(Path(directory)))) as fleet:
            controllers = Controllers(fleet)
            costs = {
                "first": _cost(controllers, 1),
                "unchanged": _cost(controllers, 1),
                f"unchanged, {copies} connections to each": _cost(controllers, copies),
            }
    columns = ("Run", "Hosts", "Tasks", "Skipped", "Changed", "Seconds", "Node, a host", "Host, a connection")
    print(f"| {' | '.join(columns)} |\n| {'--- | ' * len(columns)}".rstrip())
    for name, cost in costs.items():
        seconds = [f"{value:.1f} s" for value in (cost.seconds, cost.of_the_node, cost.of_the_host)]
        print(f"| {' | '.join([name, *map(str, cost[:4]), *seconds])} |")
    if any(cost.changed for name, cost in costs.items() if name != "first"):
        raise RuntimeError("A run changed something, although nothing differed.")


def _cost(controllers: Controllers, copies: int) -> Cost:
    hosts = controllers.hosts
    started, node, of_hosts = time.monotonic(), processor_seconds(), sum(host.processor_seconds() for host in hosts)
    played: Played = controllers.provision(JOBS, copies=copies)
    seconds, node = time.monotonic() - started, processor_seconds() - node
    if not played.succeeded:
        raise RuntimeError(played.output)
    recap, connections = played.recap[hosts[0].name], len(hosts) * copies
    return Cost(
        hosts=connections,
        tasks=recap["ok"],
        skipped=recap["skipped"],
        changed=max(played.changes()),
        seconds=seconds,
        of_the_node=node / connections,
        of_the_host=(sum(host.processor_seconds() for host in hosts) - of_hosts) / connections,
    )
