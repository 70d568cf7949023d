# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers and hosts that differ from those of the other tests: older storages, settings for AWS, proxies, endless answers."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import boto3_client, http_session

from support.builders import Builder
from support.cloud_server import CloudServer
from support.keycloak import KeycloakProxy, KeycloakServer, Realm
from support.keycloak_stand_in import KeycloakStandIn
from support.messages import is_sentence
from support.modules import run_module
from support.recording_server import Answer, Request
from support.world import World

Open = Callable[..., World]
# Each of them changes what a boto3 client does, or breaks it, if it reaches it.
FOR_AWS = {
    "AWS_PROFILE": "missing",
    "AWS_DEFAULT_PROFILE": "missing",
    "AWS_ACCESS_KEY_ID": "other",
    "AWS_SECRET_ACCESS_KEY": "other",
    "AWS_SESSION_TOKEN": "other",
    "AWS_DEFAULT_REGION": "no region!",
    "AWS_REGION": "no region!",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
    "AWS_CA_BUNDLE": "/nonexistent.pem",
    "AWS_MAX_ATTEMPTS": "none",
    "AWS_RETRY_MODE": "wrong",
    "AWS_DEFAULTS_MODE": "wrong",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "wrong",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "wrong",
    "AWS_STS_REGIONAL_ENDPOINTS": "wrong",
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": "wrong",
    "AWS_AUTH_SCHEME_PREFERENCE": "wrong",
    "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES": "wrong",
    "AWS_DATA_PATH": "/nonexistent",
    "BOTO_CONFIG": "/nonexistent",
}
IN_FILES = """
[default]
region = no region!
max_attempts = none
endpoint_url = http://127.0.0.1:1
s3 =
  payload_signing_enabled = wrong
"""


def with_md5_only(request: Request) -> Answer | None:
    """What an older server answers: it wants Content-MD5 and does not know the newer checksums."""
    if any(name.lower().startswith(("x-amz-checksum-", "x-amz-sdk-checksum-")) for name in request.headers):
        return _error(501, "NotImplemented")
    if request.operation == "DeleteObjects":
        expected = base64.b64encode(hashlib.md5(request.body, usedforsecurity=False).digest()).decode()
        if request.headers.get_all("Content-MD5") != [expected]:
            return _error(400, "MissingContentMD5")
    return None


def _error(status: int, code: str) -> Answer:
    return status, {"Content-Type": "application/xml"}, f"<Error><Code>{code}</Code></Error>".encode()


@pytest.mark.parametrize("versioned", [False, True])
def test_storage_that_wants_content_md5(open_world: Open, versioned: bool) -> None:
    world = open_world(versioned=versioned)
    world.fill(events=44)
    world.proxy.fault(with_md5_only, lambda request: True)
    before = world.objects()
    result = world.run("event_cleanup")
    assert not result.get("failed"), result["msg"]
    gone = {f"assets/{asset}" for asset in result["done"]["assets"]["ids"]}
    assert gone and world.objects() == {key: size for key, size in before.items() if key not in gone}
    assert not world.run("sync_storage_files", orphaned_objects="delete").get("failed")


def test_settings_for_aws_do_not_reach_the_job(
    open_world: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = open_world()
    world.fill(events=44)
    (tmp_path / ".aws").mkdir()
    for name in ("config", "credentials"):
        (tmp_path / ".aws" / name).write_text(IN_FILES)
    files = {
        "HOME": str(tmp_path),
        "AWS_CONFIG_FILE": str(tmp_path / ".aws" / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / ".aws" / "credentials"),
    }

    def preview() -> dict[str, Any]:
        """As a process of its own, which has no session yet."""
        boto3_client.session.cache_clear()
        return world.run("sync_storage_files", check_mode=True)

    plain = preview()
    for name, value in {**FOR_AWS, **files}.items():
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            result = preview()
            assert (result.get("msg"), result["plan"]) == (None, plain["plan"]), name
            assert os.environ[name] == value
    for name, value in {**FOR_AWS, **files}.items():
        monkeypatch.setenv(name, value)
    assert preview()["plan"] == plain["plan"]


def test_proxies_of_the_environment(
    open_world: Open, open_cloud: Callable[..., CloudServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead one is named. Networks of no_proxy count for all servers alike."""
    monkeypatch.setattr(http_session, "BACKOFF", 0.01)
    world, cloud = open_world(), open_cloud()
    world.cloud = cloud
    event = expired_event(world, cloud)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://user:planted@127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    storage = world.run("sync_storage_files", timeout=60)
    assert "through the proxy that the environment names" in storage["msg"] and is_sentence(storage["msg"])
    folder = world.run("event_cleanup", fail_on_shared_folder_deletion_error=True)
    assert "proxy that the environment names" in folder["msg"] and is_sentence(folder["msg"])
    assert "planted" not in str(storage) + str(folder)
    assert event in world.ids("events")
    monkeypatch.setenv("no_proxy", "10.0.0.0/8,127.0.0.0/8")
    assert not world.run("sync_storage_files").get("failed")
    assert not world.run("event_cleanup", fail_on_shared_folder_deletion_error=True).get("failed")
    assert event not in world.ids("events") and cloud.shares == {}


def expired_event(world: World, cloud: CloudServer) -> str:
    build, then = Builder(world.connection), datetime.now(timezone.utc) - timedelta(days=90)
    path = f"{cloud.directory}/x"
    event = build.event(build.user(), starts_at=then, ends_at=then)
    return build.shared_folder(event, path=path, record=cloud.shared_folder(path))


def test_answers_without_an_end(
    open_world: Open, open_cloud: Callable[..., CloudServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each answer, no more is read than it can have."""
    monkeypatch.setattr(http_session, "BACKOFF", 0.01)
    monkeypatch.setattr(boto3_client, "LARGEST_ANSWER", 2**20)
    world, cloud = open_world(), open_cloud()
    world.cloud = cloud
    event = expired_event(world, cloud)
    spare = 16 * 2**20

    for operation in ("ListObjectsV2", "GetBucketVersioning"):
        world.proxy.flood(lambda request, operation=operation: request.operation == operation)
        result = world.run("sync_storage_files", timeout=60)
        assert "does not answer a request about bucket" in result["msg"] and is_sentence(result["msg"])
        world.proxy.clear_faults()
    assert world.proxy.flooded < spare

    cloud.flood(lambda request: True)
    result = world.run("event_cleanup", fail_on_shared_folder_deletion_error=True, timeout=60)
    assert "the server's answer is larger than" in result["msg"] and is_sentence(result["msg"])
    assert event in world.ids("events") and cloud.flooded < spare

    with KeycloakStandIn() as stand_in, KeycloakProxy(stand_in.url) as proxy:
        realm = Realm(KeycloakServer(stand_in))
        realm.add([{"username": "user"}])
        for operation in ("Token", "Count", "Page"):
            flooded = proxy.flooded
            proxy.flood(lambda request, operation=operation: request.operation == operation)
            failed: dict[str, Any] = run_module(
                "keycloak_account_sync",
                database_url=world.options["database_url"],
                keycloak=realm.options(proxy.url),
                timeout=60,
            )
            assert "the server's answer is larger than" in failed["msg"] and is_sentence(failed["msg"])
            assert proxy.flooded - flooded < spare
            proxy.clear_faults()
