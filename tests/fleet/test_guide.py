# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's guide, word for word: from a checkout and three bare hosts to timers that are watched."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml

from support.cloud_server import CloudServer
from support.collection import ROOT
from support.control_node import ControlNode
from support.controllers import CONFIG, Controllers, changed, files, until
from support.gate import closed_gate
from support.guide import Command, Written, steps
from support.keycloak import KeycloakServer, Realm
from support.keycloak_stand_in import KeycloakStandIn
from support.prometheus_host import has_prometheus, prometheus_on
from support.selection import ended_events
from support.transcript import difference
from support.world import World

GUIDE = ROOT / "docs" / "operators-guide.md"
RULES = ROOT / "roles" / "timers" / "files" / "opentalk-maintenance.rules.yml"
# The commands, by their beginning, that are not run if this machine has no Prometheus. All others are always run.
_FOR_PROMETHEUS = ("scp opentalk-maintenance.rules.yml", "ssh root@prometheus")
# It goes on until it is interrupted.
_FOLLOW = "journalctl -t opentalk-maintenance-event-cleanup -o cat -f"
_NIGHT = "ansible-playbook -i inventory opentalk.maintenance.all_jobs"


class Reader:
    """Does what the guide says, where it says so.

    :ivar came: what each command printed, by its text; the last one counts
    :ivar seconds: how long each command took
    """

    def __init__(self, controllers: Controllers, world: World, cloud: CloudServer, node: ControlNode) -> None:
        self.world, self.cloud, self.node = world, cloud, node
        self.hosts = {host.name: host for host in controllers.hosts}
        self.came: dict[str, str] = {}
        self.seconds: list[tuple[Command, float]] = []

    def write(self, file: Written) -> None:
        """Write a file of the page, with calendars that come in half a day, whenever that is."""
        hour = (datetime.now(timezone.utc) + timedelta(hours=12)).hour
        self.node.write(file.path, file.content.replace('"*-*-* 03:', f'"*-*-* {hour:02}:'))

    def type(self, command: Command) -> str:
        """Run a command, and return what is wrong with it."""
        reads_only = command.must_fail or "--check" in command.text
        before = self.there() if reads_only else None
        begin = time.monotonic()
        code, came = self._slowly(command) if command.text == _NIGHT else self._run(command)
        self.came[command.text] = came
        self.seconds.append((command, time.monotonic() - begin))
        if (code != 0) != command.must_fail and command.text != _FOLLOW:
            return f"{command.text}\nexit code {code}\n{came}"
        if command.shown and (first := difference(command.shown, came)):
            return f"{command.text}\nThis does not come:\n{first}\nBut this came:\n{came}"
        if reads_only and self.there() != before:
            return f"{command.text}\nIt changed something."
        return ""

    def there(self) -> tuple[object, ...]:
        return self.world.rows(), self.world.objects(), set(self.cloud.folders)

    def _run(self, command: Command) -> tuple[int, str]:
        if not command.host:
            return self.node.run(command.text)
        interrupted = "timeout 2 " if command.text == _FOLLOW else ""
        ended = self.hosts[command.host].try_run(f"exec 2>&1; {interrupted}{command.text}")
        return ended.returncode, ended.stdout

    def _slowly(self, command: Command) -> tuple[int, str]:
        """Let the storage answer only after the journal says how far the job is."""
        with ThreadPoolExecutor(1) as executor, closed_gate(self.world.proxy) as gate:
            running = executor.submit(self._run, command)
            journal = f"journalctl --sync; {_FOLLOW.removesuffix(' -f')}"
            until(lambda: running.done() or "events done" in self.hosts["alpha"].run(journal), "a line of the journal")
            gate.open()
            return running.result()


@pytest.fixture
def reader(
    controllers: Controllers, open_world: Callable[..., World], open_cloud: Callable[..., CloudServer], tmp_path: Path
) -> Iterator[Reader]:
    """It gives the hosts back as bare as they were."""
    world, cloud, before = open_world(), open_cloud(), files(controllers.hosts)
    world.fill()
    world.share_folders_on(cloud)
    node = ControlNode(controllers.fleet, tmp_path, {"prometheus": "gamma"})
    # The hosts need no package index.
    node.write("group_vars/all.yml", f"timers_wheelhouse: {controllers.fleet.wheelhouse}\n")
    with KeycloakStandIn() as keycloak:
        realm = Realm(KeycloakServer(keycloak), name="OPENTALK")
        _give_accounts(world, realm)
        address = realm.options(keycloak.url)
        controllers.connect(
            world,
            shared_folder=cloud.settings,
            oidc={"authority": address.pop("authority")},
            user_search={"backend": "keycloak_webapi", **address},
        )
        yield Reader(controllers, world, cloud, node)
    removed = controllers.provision({}, timers_state="absent")
    assert removed.succeeded, removed.output
    settings = {f"{host.name}:{CONFIG}" for host in controllers.hosts}
    # A directory in which others have something stays, with the mode that the role gave it, here or for an earlier test.
    shared = {f"{controllers.hosts[-1].name}:/etc/opentalk-maintenance"}
    assert settings <= changed(before, files(controllers.hosts)) <= settings | shared


def _give_accounts(world: World, realm: Realm) -> None:
    """An account for every user who is not disabled, but for one who has left."""
    addresses = [row[0] for row in world.query("SELECT email FROM users WHERE disabled_since IS NULL ORDER BY email")]
    for address, account in realm.add({"username": address} for address in addresses[1:]).items():
        world.query("UPDATE users SET oidc_sub = %s WHERE email = %s", (account, address))


def test_page_shows_what_comes(reader: Reader) -> None:
    gamma, rules = reader.hosts["gamma"], yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    not_run = () if has_prometheus() else _FOR_PROMETHEUS
    with contextlib.ExitStack() as stack:
        alerts = None if not_run else stack.enter_context(prometheus_on(gamma, RULES.name))
        wrong = []
        for step in steps(GUIDE.read_text()):
            if isinstance(step, Written):
                reader.write(step)
            elif not step.text.startswith(not_run):
                wrong.append(reader.type(step))
        for command, seconds in reader.seconds:
            print(f"{seconds:6.1f} s  {command.host}{'#' if command.host else '$'} {command.text}")
        assert not any(wrong), "\n\n".join(filter(None, wrong))
        assert alerts is None or alerts() == [rule["alert"] for rule in rules]
    # Three hosts with two jobs: what a reader of the preview has to look through.
    preview = "ansible-playbook -i inventory opentalk.maintenance.provision_timers --check --diff"
    lines = reader.came[preview].splitlines()
    print(
        f"The preview of the role has {len(lines)} lines, {sum(line[:1] in ('+', '-', '@') for line in lines)} of them a diff."
    )
    assert len(lines) < 1000
    assert not ended_events(reader.world.rows(), datetime.now(timezone.utc), 14)
