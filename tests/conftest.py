# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that start the real components once, and fixtures that every test needs."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from support import collection  # noqa: E402

_COLLECTIONS = str(collection.linked())
sys.path.insert(0, _COLLECTIONS)

from support import kill_scenes  # noqa: E402
from support.cloud_server import CloudServer  # noqa: E402
from support.components import COMPONENTS  # noqa: E402
from support.fleet import Fleet  # noqa: E402
from support.fleet_image import FleetUnavailable  # noqa: E402
from support.keycloak import KeycloakProxy, KeycloakServer, KeycloakUnavailable, Realm  # noqa: E402
from support.nextcloud import NextcloudServer  # noqa: E402
from support.object_storage import ObjectStorageServer, S3ServerUnavailable  # noqa: E402
from support.opencloud import OpenCloudServer  # noqa: E402
from support.postgresql import PostgreSQLServer  # noqa: E402
from support.s3_proxy import S3Proxy  # noqa: E402
from support.tangle import SEED_VARIABLE, first_seed  # noqa: E402
from support.world import World  # noqa: E402

REQUIRED = set(filter(None, os.environ.get("REQUIRE_REAL", "").split(",")))
_LONG_FILES = ("test_timers", "test_gates", "test_versions", "test_guide")
_LONG = {name: place for place, name in enumerate(_LONG_FILES)}
_UNKNOWN = REQUIRED - {"postgresql", "minio", "keycloak", "systemd", "prometheus", "logrotate", "chromium"}


def pytest_configure(config: pytest.Config) -> None:
    if _UNKNOWN:
        raise pytest.UsageError(f"REQUIRE_REAL names unknown components: {', '.join(sorted(_UNKNOWN))}")
    # All processes that run tests must make the same tangled databases.
    os.environ.setdefault(SEED_VARIABLE, str(first_seed()))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Send tests that share a slow fixture to one worker. pytest-xdist reads the marks after this."""
    if "keycloak" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.xdist_group("keycloak"))
    elif "property" not in item.path.parts:
        item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the files that take minutes come first, so that no process works on one of them while the others have ended.

    pytest-xdist gives a process the next file as soon as it has one or two tests left, so files with more tests come before
    those that have one.
    """
    last = len(_LONG)
    items.sort(key=lambda item: _LONG.get(item.path.stem, last))


def pytest_collection_finish(session: pytest.Session) -> None:
    # What is loaded until here stays. Python would look through it again and again, for a twelfth of the tests' time.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    # With Ansible's controller in the process, modules would warn on the terminal instead of in their result.
    assert "ansible.errors" not in sys.modules, "a test imports Ansible's controller"
    if getattr(session.config.option, "loadgroup", False):
        grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
        assert all("@" in item.nodeid for item in grouped), "this pytest-xdist does not group tests"


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect the components that took part from the processes that ran tests."""
    COMPONENTS.update(getattr(node, "workeroutput", {}).get("components", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["components"] = COMPONENTS


@pytest.fixture(scope="session")
def collections_path() -> str:
    return _COLLECTIONS


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQLServer]:
    with PostgreSQLServer({"max_connections": "60"}) as server:
        COMPONENTS["postgresql"] = f"{server.description}, real"
        yield server


@pytest.fixture(scope="session")
def storage() -> Iterator[ObjectStorageServer]:
    try:
        server = ObjectStorageServer.start(require="minio" in REQUIRED)
    except S3ServerUnavailable as error:
        pytest.fail(f"A component that REQUIRE_REAL names is missing: {error}")
    with server:
        COMPONENTS["minio"] = f"{server.description}, {'real' if server.kind == 'minio' else 'stand-in'}"
        yield server


@pytest.fixture(scope="session")
def s3_proxy(storage: ObjectStorageServer) -> Iterator[S3Proxy]:
    with S3Proxy(storage) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def fleet(collections_path: str) -> Iterator[Fleet]:
    try:
        hosts = Fleet(collections_path)
    except FleetUnavailable as error:
        if "systemd" in REQUIRED:
            pytest.fail(f"A component that REQUIRE_REAL names is missing: {error}")
        COMPONENTS["systemd"] = f"none, so its tests are skipped: {error}"
        pytest.skip(f"No hosts with systemd: {error}")
    with hosts:
        COMPONENTS["systemd"] = f"{hosts.description}, real"
        yield hosts


@pytest.fixture
def open_cloud() -> Iterator[Callable[..., CloudServer]]:
    """Starts clouds, `open_cloud(provider)`, and ends them after the test."""
    with contextlib.ExitStack() as servers:

        def make(provider: str = "nextcloud", **options: str) -> CloudServer:
            kind = {kind.provider: kind for kind in (NextcloudServer, OpenCloudServer)}[provider]
            return servers.enter_context(kind("opentalk@example.org", "pass:word ü", **options))

        yield make


@pytest.fixture(scope="session")
def keycloak() -> Iterator[KeycloakServer]:
    try:
        server = KeycloakServer.start(require="keycloak" in REQUIRED)
    except KeycloakUnavailable as error:
        pytest.fail(f"A component that REQUIRE_REAL names is missing: {error}")
    with server:
        COMPONENTS["keycloak"] = f"{server.description}, {'real' if server.kind == 'keycloak' else 'stand-in'}"
        yield server


@pytest.fixture
def realm(keycloak: KeycloakServer) -> Iterator[Realm]:
    """An empty realm for one test."""
    realm = Realm(keycloak)
    yield realm
    realm.drop()


@pytest.fixture
def keycloak_proxy(keycloak: KeycloakServer) -> Iterator[KeycloakProxy]:
    with KeycloakProxy(keycloak.url) as proxy:
        yield proxy
        assert not proxy.callback_errors, proxy.callback_errors


@pytest.fixture
def open_world(
    postgresql: PostgreSQLServer, storage: ObjectStorageServer, s3_proxy: S3Proxy
) -> Iterator[Callable[..., World]]:
    """Makes installations, `open_world(schema version, **bucket options)`, and removes them after the test."""
    worlds: list[World] = []

    def make(version: int = 67, **bucket: bool) -> World:
        world = World(postgresql, storage, s3_proxy, version).open(**bucket)
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def open_scene(
    open_world: Callable[..., World],
    open_cloud: Callable[..., CloudServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str, int], kill_scenes.Scene]:
    """Makes scenes, `open_scene(job, schema version)`, in which jobs build temporary indexes."""
    kill_scenes.build_indexes(monkeypatch)
    return lambda job, version: kill_scenes.make(open_world(version), open_cloud(), job, tmp_path / "audit.log")


def pytest_unconfigure(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    counted = {name: len(reporter.stats.get(name, [])) for name in ("passed", "failed", "error", "skipped")}
    for report in [*reporter.stats.get("failed", []), *reporter.stats.get("error", [])]:
        print(f"failed: {report.nodeid}")
    for name, description in sorted(COMPONENTS.items()):
        print(f"{name}: {description}")
    print(f"{counted['passed']} passed, {counted['failed'] + counted['error']} failed, {counted['skipped']} skipped")
