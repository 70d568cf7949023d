# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The S3 servers and the proxy in front of them, which the other tests rely on."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from support import minio
from support.limits import HANGS
from support.object_storage import ObjectStorageServer
from support.recording_server import Request
from support.s3_proxy import S3Proxy

_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=["moto", "minio"])
def server(request: pytest.FixtureRequest) -> Iterator[ObjectStorageServer]:
    if request.param == "minio" and minio.find_or_build() is None:
        pytest.skip(str(minio.why_unavailable()))
    with ObjectStorageServer.start(request.param, require=True) as running:
        yield running


@pytest.fixture
def make_bucket(server: ObjectStorageServer) -> Iterator[Callable[..., str]]:
    names: list[str] = []

    def make(**options: bool) -> str:
        name = f"bucket-{next(_numbers)}"
        server.create_bucket(name, **options)
        names.append(name)
        return name

    yield make
    for name in names:
        server.remove_bucket(name)


@pytest.fixture
def bucket(make_bucket: Callable[..., str]) -> str:
    return make_bucket()


@pytest.fixture
def proxy(server: ObjectStorageServer) -> Iterator[S3Proxy]:
    with S3Proxy(server) as running:
        yield running


@pytest.fixture
def client(server: ObjectStorageServer, proxy: S3Proxy) -> Any:
    return server.client(endpoint=proxy.url)


def entries(*keys: str) -> dict[str, Any]:
    return {"Objects": [{"Key": key} for key in keys]}


def status_of(call: Callable[[], Any]) -> int:
    with pytest.raises(ClientError) as caught:
        call()
    return int(caught.value.response["ResponseMetadata"]["HTTPStatusCode"])


# The server


def test_stores_what_is_uploaded_beyond_one_page(server: ObjectStorageServer, bucket: str) -> None:
    items = {f"assets/{number:05}": number % 40 for number in range(1100)}
    items.update({"assets/large": 100_000, "assets/Grüße +&%": 3})
    assert server.upload(bucket, items.items()) == 1102
    assert server.objects(bucket) == items
    assert server.versions(bucket) == {(key, "null") for key in items}
    server.empty_bucket(bucket)
    assert server.objects(bucket) == {}


def test_tells_a_missing_bucket_from_wrong_credentials(server: ObjectStorageServer, bucket: str) -> None:
    assert status_of(lambda: server.client().head_bucket(Bucket="missing-bucket")) == 404
    assert status_of(lambda: server.client(secret_key="wrong-secret").head_bucket(Bucket=bucket)) == 403
    assert status_of(lambda: server.client(access_key="nobody").head_bucket(Bucket=bucket)) == 403


def test_lists_all_versions(server: ObjectStorageServer, make_bucket: Callable[..., str]) -> None:
    bucket = make_bucket(versioned=True)
    client = server.client()
    written = {("kept", client.put_object(Bucket=bucket, Key="kept", Body=b"1" * size)["VersionId"]) for size in (1, 2)}
    written.add(("gone", client.put_object(Bucket=bucket, Key="gone", Body=b"")["VersionId"]))
    written.add(("gone", client.delete_object(Bucket=bucket, Key="gone")["VersionId"]))
    assert len(written) == 4
    assert server.versions(bucket) == written
    assert server.objects(bucket) == {"kept": 2}


def test_removes_a_bucket_with_held_objects(server: ObjectStorageServer) -> None:
    server.create_bucket("locked", object_lock=True)
    server.upload("locked", [("held", 1), ("free", 1)])
    client = server.client()
    client.put_object_legal_hold(Bucket="locked", Key="held", LegalHold={"Status": "ON"})
    held = [{"Key": key, "VersionId": version} for key, version in server.versions("locked") if key == "held"]
    refused = client.delete_objects(Bucket="locked", Delete={"Objects": held})["Errors"]
    assert [error["Key"] for error in refused] == ["held"]
    server.remove_bucket("locked")
    assert status_of(lambda: client.head_bucket(Bucket="locked")) == 404


# The proxy


@pytest.mark.parametrize("checksums", ["when_required", "when_supported"])
def test_passes_requests_through(server: ObjectStorageServer, proxy: S3Proxy, bucket: str, checksums: str) -> None:
    client = server.client(endpoint=proxy.url, request_checksum_calculation=checksums)
    content = random.Random(1).randbytes(300_000)
    client.put_object(Bucket=bucket, Key="assets/Grüße +&%", Body=content)
    server.upload(bucket, [("assets/other", 0)])
    assert client.get_object(Bucket=bucket, Key="assets/Grüße +&%")["Body"].read() == content
    assert client.head_object(Bucket=bucket, Key="assets/Grüße +&%")["ContentLength"] == len(content)
    listed = client.list_objects_v2(Bucket=bucket, Prefix="assets/")["Contents"]
    assert {entry["Key"]: entry["Size"] for entry in listed} == server.objects(bucket)
    client.delete_objects(Bucket=bucket, Delete=entries("assets/Grüße +&%", "missing"))
    assert server.objects(bucket) == {"assets/other": 0}
    client.delete_object(Bucket=bucket, Key="assets/other")
    assert server.objects(bucket) == {}


def test_passes_refusals_through(server: ObjectStorageServer, proxy: S3Proxy, bucket: str) -> None:
    server.upload(bucket, [("kept", 1)])
    forger = server.client(endpoint=proxy.url, secret_key="wrong-secret")
    assert status_of(lambda: forger.delete_objects(Bucket=bucket, Delete=entries("kept"))) == 403
    assert status_of(lambda: forger.head_bucket(Bucket=bucket)) == 403
    assert server.objects(bucket) == {"kept": 1}


def test_records_requests(proxy: S3Proxy, client: Any, bucket: str) -> None:
    client.head_bucket(Bucket=bucket)
    client.list_objects_v2(Bucket=bucket)
    client.get_bucket_versioning(Bucket=bucket)
    client.list_object_versions(Bucket=bucket)
    assert proxy.writes == []
    client.delete_objects(Bucket=bucket, Delete=entries("a", "b"))
    reads = ["HeadBucket", "ListObjectsV2", "GetBucketVersioning", "ListObjectVersions"]
    assert [request.operation for request in proxy.requests] == [*reads, "DeleteObjects"]
    assert [request.method for request in proxy.writes] == ["POST"]
    assert proxy.deletions == [["a", "b"]]
    proxy.clear()
    assert proxy.requests == []


def test_refuses_one_key_of_three(server: ObjectStorageServer, proxy: S3Proxy, client: Any, bucket: str) -> None:
    server.upload(bucket, [("a", 1), ("b", 1), ("c", 1)])
    proxy.refuse_keys({"b": "AccessDenied"})
    errors = client.delete_objects(Bucket=bucket, Delete=entries("a", "b", "c"))["Errors"]
    assert [(error["Key"], error["Code"]) for error in errors] == [("b", "AccessDenied")]
    assert server.objects(bucket) == {"b": 1}
    proxy.clear_faults()
    assert "Errors" not in client.delete_objects(Bucket=bucket, Delete=entries("a", "b", "c"))
    assert server.objects(bucket) == {}


def test_refuses_every_version_of_a_key(
    server: ObjectStorageServer, proxy: S3Proxy, client: Any, make_bucket: Callable[..., str]
) -> None:
    bucket = make_bucket(versioned=True)
    for key in ("kept", "kept", "gone"):
        server.upload(bucket, [(key, 1)])
    present = server.versions(bucket)
    kept = {(key, version) for key, version in present if key == "kept"}
    assert len(kept) == 2
    proxy.refuse_keys({"kept": "AccessDenied"})
    objects = [{"Key": key, "VersionId": version} for key, version in sorted(present)]
    errors = client.delete_objects(Bucket=bucket, Delete={"Objects": objects})["Errors"]
    assert {(error["Key"], error["VersionId"]) for error in errors} == kept
    assert server.versions(bucket) == kept


def test_fails_as_often_as_told(server: ObjectStorageServer, proxy: S3Proxy, client: Any, bucket: str) -> None:
    server.upload(bucket, [("a", 1)])
    proxy.fail(503, lambda request: request.operation == "DeleteObjects", times=2)
    client.head_bucket(Bucket=bucket)
    for _unused in range(2):
        assert status_of(lambda: client.delete_objects(Bucket=bucket, Delete=entries("a"))) == 503
        assert server.objects(bucket) == {"a": 1}
    client.delete_objects(Bucket=bucket, Delete=entries("a"))
    assert server.objects(bucket) == {}


def test_resets_connections(server: ObjectStorageServer, proxy: S3Proxy, client: Any, bucket: str) -> None:
    server.upload(bucket, [("a", 1)])
    proxy.reset(lambda request: request.operation == "DeleteObjects", times=1)
    with pytest.raises(ConnectionClosedError):
        client.delete_objects(Bucket=bucket, Delete=entries("a"))
    assert server.objects(bucket) == {"a": 1}
    client.delete_objects(Bucket=bucket, Delete=entries("a"))
    assert server.objects(bucket) == {}


def test_hangs_until_the_client_gives_up(server: ObjectStorageServer, proxy: S3Proxy, bucket: str) -> None:
    hurried = server.client(endpoint=proxy.url, read_timeout=2)
    proxy.hang(6, lambda request: request.operation == "ListObjectsV2", times=1)
    with pytest.raises(ReadTimeoutError):
        hurried.list_objects_v2(Bucket=bucket)
    assert hurried.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_lets_a_test_act_before_a_request_arrives(
    server: ObjectStorageServer, proxy: S3Proxy, client: Any, bucket: str
) -> None:
    def write(request: Request) -> None:
        server.upload(bucket, [("late", 7)])

    proxy.on_request(write)
    assert [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]] == ["late"]


# Finding and stopping programs


def test_says_why_there_is_no_minio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "other"
    program.write_text("#!/bin/sh\necho other version 1\n")
    program.chmod(0o755)
    reasons = {"none": "is 'none'", str(tmp_path / "missing"): "does not run", str(program): "is not the MinIO server"}
    remembered = minio._outcome
    for named, reason in reasons.items():
        monkeypatch.setenv(minio.BINARY_VARIABLE, named)
        monkeypatch.setattr(minio, "_outcome", remembered.__wrapped__)
        assert minio.find_or_build() is None
        assert reason in str(minio.why_unavailable())


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_ends_with_the_process_that_started_it(kill: signal.Signals, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    program = (
        "import sys, time; from pathlib import Path; from support.server_process import ServerProcess, free_port;"
        "port = free_port(); command = [sys.executable, '-m', 'http.server', '--bind', '127.0.0.1', str(port)];"
        "ServerProcess('web', command, scratch=Path(sys.argv[1])); print(port, flush=True); time.sleep(60)"
    )
    support = str(Path(minio.__file__).parents[1])
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(scratch)],
        env={**os.environ, "PYTHONPATH": support},
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        port = int(owner.stdout.readline())
        wait_until(lambda: listens(port))
        owner.send_signal(kill)
    wait_until(lambda: not listens(port) and not scratch.exists())


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + HANGS
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.1)
