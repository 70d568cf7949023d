# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""This machine's Prometheus on a host of the fleet, as a service that can be reloaded."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.fleet import Host
from support.server_process import free_port

_PROGRAMS = ("prometheus", "promtool")
_UNIT = """[Service]
ExecStart=/usr/bin/prometheus --config.file={settings} --storage.tsdb.path=/tmp/prometheus --web.listen-address=127.0.0.1:{port}
ExecReload=/bin/kill -HUP $MAINPID
"""
SETTINGS = "/etc/prometheus/prometheus.yml"


def has_prometheus() -> bool:
    """Whether this machine has it. Fails if REQUIRE_REAL names it and it is missing."""
    missing = [program for program in _PROGRAMS if not shutil.which(program)]
    if missing and "prometheus" in os.environ.get("REQUIRE_REAL", "").split(","):
        pytest.fail(f"A component that REQUIRE_REAL names is missing: {', '.join(missing)}")
    return not missing


@contextlib.contextmanager
def prometheus_on(host: Host, rule_file: str) -> Iterator[Callable[[], list[str]]]:
    """Start it with settings that name a file of rules, which is not there yet. Yields the names of the alerts that it has."""
    port = free_port()
    made = {
        SETTINGS: f"rule_files: [{rule_file}]\n",
        "/etc/systemd/system/prometheus.service": _UNIT.format(settings=SETTINGS, port=port),
    }
    for path, content in made.items():
        file = host.root / path.lstrip("/")
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    for program in _PROGRAMS:
        shutil.copy(str(shutil.which(program)), host.root / "usr/bin" / program)
    host.run("systemctl daemon-reload && systemctl start prometheus")

    def alerts() -> list[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/rules") as answer:
            groups = json.load(answer)["data"]["groups"]
        return [rule["name"] for group in groups for rule in group["rules"]]

    try:
        yield alerts
    finally:
        host.run("systemctl stop prometheus")
        for path in (*made, *(f"/usr/bin/{program}" for program in _PROGRAMS)):
            (host.root / path.lstrip("/")).unlink()
        shutil.rmtree(host.root / Path(SETTINGS).parent.relative_to("/"))
        host.run("systemctl daemon-reload")
