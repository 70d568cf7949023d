# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates: jobs verify them, unless that is switched off, with the authorities of the system or of ca_path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import http_session

from support.builders import Builder
from support.certificates import RIGHT, STRANGER, WRONG_HOST, Certificates
from support.cloud_server import CloudServer
from support.keycloak import KeycloakProxy, KeycloakServer, Realm
from support.keycloak_stand_in import KeycloakStandIn
from support.messages import is_sentence
from support.modules import run_module
from support.object_storage import ObjectStorageServer
from support.postgresql import PostgreSQLServer
from support.recording_server import RecordingServer
from support.s3_proxy import S3Proxy
from support.world import World

Open = Callable[..., World]
# A file that takes the place of the system's own list, by a variable that OpenSSL heeds.
SYSTEM = "SSL_CERT_FILE"
# The certificate, the options, and whether the server is trusted with both.
CASES: list[tuple[str, dict[str, Any], bool]] = [
    (RIGHT, {"ca_path": True}, True),
    (RIGHT, {}, False),
    (RIGHT, {SYSTEM: True}, True),
    (STRANGER, {SYSTEM: True}, False),
    (RIGHT, {"ca_path": True, "validate_certs": False}, True),
    (WRONG_HOST, {"ca_path": True}, False),
    (WRONG_HOST, {"validate_certs": False}, True),
    (STRANGER, {"ca_path": True}, False),
    (STRANGER, {}, False),
    (STRANGER, {"validate_certs": False}, True),
]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, certificates: Certificates, request: pytest.FixtureRequest) -> None:
    """The system's list of authorities. A list of requests or AWS changes nothing."""
    params = getattr(request.node, "callspec", None)
    if params and SYSTEM in params.params.get("options", {}):
        monkeypatch.setenv(SYSTEM, str(certificates.authority))
    else:
        monkeypatch.delenv(SYSTEM, raising=False)
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"):
            monkeypatch.setenv(name, str(certificates.authority))


def tls(certificates: Certificates, options: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if name != SYSTEM}
    return {**given, **({"ca_path": str(certificates.authority)} if "ca_path" in given else {})}


def check(result: dict[str, Any], server: RecordingServer, *, trusted: bool) -> None:
    """Check that a server that is not trusted got no request."""
    if trusted:
        assert not result.get("failed"), result["msg"]
        assert server.requests
        return
    assert result["failed"] and "certificate" in result["msg"] and "ca_path" in result["msg"], result["msg"]
    assert is_sentence(result["msg"])
    assert server.requests == []


def share_folder(world: World, cloud: CloudServer) -> tuple[str, str]:
    """Make an event that ended long ago, with a shared folder. Return the folder's path and the event's id."""
    build, then = Builder(world.connection), datetime.now(timezone.utc) - timedelta(days=90)
    path = f"{cloud.directory}/x"
    event = build.event(build.user(), starts_at=then, ends_at=then)
    return path, build.shared_folder(event, path=path, record=cloud.shared_folder(path))


def delete_folder(world: World, cloud: CloudServer, options: dict[str, Any]) -> dict[str, Any]:
    strict = {"fail_on_shared_folder_deletion_error": True}
    return world.run("event_cleanup", shared_folder=cloud.settings, **strict, **options)


@pytest.mark.parametrize(("kind", "options", "trusted"), CASES)
def test_storage(
    open_world: Open, storage: ObjectStorageServer, certificates: Certificates, kind: str, options: Any, trusted: bool
) -> None:
    world = open_world()
    with S3Proxy(storage) as proxy:
        proxy.encrypt(certificates.context(kind))
        given = {**world.options["object_storage"], "uri": proxy.url}
        result = world.run("sync_storage_files", object_storage=given, **tls(certificates, options))
        check(result, proxy, trusted=trusted)


@pytest.mark.parametrize("provider", ["nextcloud", "opencloud"])
@pytest.mark.parametrize(("kind", "options", "trusted"), CASES)
def test_shared_folders(
    open_world: Open,
    open_cloud: Callable[..., CloudServer],
    certificates: Certificates,
    provider: str,
    kind: str,
    options: Any,
    trusted: bool,
) -> None:
    world, cloud = open_world(), open_cloud(provider)
    cloud.encrypt(certificates.context(kind))
    path, event = share_folder(world, cloud)
    result = delete_folder(world, cloud, tls(certificates, options))
    check(result, cloud, trusted=trusted)
    assert (path in cloud.folders, event in world.ids("events")) == (not trusted, not trusted)


@pytest.mark.parametrize(("kind", "options", "trusted"), CASES)
def test_keycloak(open_world: Open, certificates: Certificates, kind: str, options: Any, trusted: bool) -> None:
    world = open_world()
    with KeycloakStandIn() as stand_in, KeycloakProxy(stand_in.url) as proxy:
        realm = Realm(KeycloakServer(stand_in))
        realm.add([{"username": "user"}])
        proxy.encrypt(certificates.context(kind))
        result = run_module(
            "keycloak_account_sync",
            database_url=world.options["database_url"],
            keycloak=realm.options(proxy.url),
            **tls(certificates, options),
        )
        check(result, proxy, trusted=trusted)


@pytest.mark.parametrize("lasting", [False, True])
def test_handshakes_that_are_broken_off(
    open_world: Open,
    open_cloud: Callable[..., CloudServer],
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    lasting: bool,
) -> None:
    """A proxy that reloads its configuration breaks handshakes off. This says nothing about the certificate."""
    monkeypatch.setattr(http_session, "BACKOFF", 0.01)
    world, cloud = open_world(), open_cloud()
    cloud.encrypt(certificates.context(RIGHT))
    share_folder(world, cloud)
    cloud.break_handshakes(1000 if lasting else http_session.ATTEMPTS - 1)
    result = delete_folder(world, cloud, tls(certificates, {"ca_path": True}))
    if lasting:
        assert result["failed"] and "broke the TLS connection off" in result["msg"]
    else:
        assert not result.get("failed"), result["msg"]
        assert cloud.shares == {}


def test_file_without_authorities(
    open_world: Open, open_cloud: Callable[..., CloudServer], certificates: Certificates, tmp_path: Path
) -> None:
    world, cloud = open_world(), open_cloud()
    cloud.encrypt(certificates.context(RIGHT))
    share_folder(world, cloud)
    empty = tmp_path / "empty.pem"
    empty.touch()
    check(delete_folder(world, cloud, {"ca_path": str(empty)}), cloud, trusted=False)


def test_redirect_does_not_lead_out_of_tls(open_world: Open, certificates: Certificates) -> None:
    """A redirect to a server without TLS gets neither the token nor the credentials."""
    world = open_world()
    with KeycloakStandIn() as stand_in, KeycloakProxy(stand_in.url) as proxy, KeycloakProxy(stand_in.url) as plain:
        realm = Realm(KeycloakServer(stand_in))
        proxy.encrypt(certificates.context(RIGHT))
        proxy.fault(lambda request: (307, {"Location": f"{plain.url}{request.path}"}, b""), lambda request: True)
        options = {"keycloak": realm.options(proxy.url), **tls(certificates, {"ca_path": True})}
        result = run_module("keycloak_account_sync", database_url=world.options["database_url"], **options)
        assert result["failed"] and "redirect" in result["msg"]
        assert plain.requests == []


# PostgreSQL: what libpq understands in the URL holds.


@pytest.fixture(scope="module")
def encrypted(certificates: Certificates) -> Iterator[PostgreSQLServer]:
    with PostgreSQLServer(certificate=certificates.file(RIGHT)) as server:
        server.create_database("plain")
        yield server


@pytest.mark.parametrize(
    ("parameters", "passes"),
    [
        ("sslmode=require", True),
        ("sslmode=verify-full&sslrootcert={ca}", True),
        ("sslmode=verify-ca&sslrootcert={ca}", True),
        ("sslmode=verify-full&sslrootcert={other}", False),
        ("sslmode=verify-ca&sslrootcert={other}", False),
        ("sslmode=verify-full&sslrootcert=/nonexistent", False),
        ("sslmode=verify-full&sslrootcert={ca}&hostaddr=127.0.0.1&host=elsewhere.invalid", False),
    ],
)
def test_database(
    encrypted: PostgreSQLServer, certificates: Certificates, tmp_path: Path, parameters: str, passes: bool
) -> None:
    other = tmp_path / "other.pem"
    Certificates(tmp_path).authority.rename(other)
    url = f"{encrypted.url(encrypted.database_for(67))}?{parameters.format(ca=certificates.authority, other=other)}"
    result = run_module("invite_cleanup", check_mode=True, database_url=url)
    if passes:
        assert not result.get("failed"), result["msg"]
    else:
        assert result["failed"] and "over TLS as the URL asks" in result["msg"], result["msg"]
        assert is_sentence(result["msg"])


def test_database_without_tls(open_world: Open) -> None:
    result = run_module("invite_cleanup", database_url=f"{open_world().options['database_url']}?sslmode=require")
    assert result["failed"] and "over TLS as the URL asks" in result["msg"]
