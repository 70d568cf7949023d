# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts S3 servers: MinIO, which installations use, and moto, which needs only Python.

Both listen only on loopback, check signatures, and have one account with random credentials.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import secrets
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import boto3
from botocore.config import Config

from support import memory, minio
from support.server_process import ServerFailed, ServerProcess, free_port

START_ATTEMPTS = 3
REGION = "us-east-1"

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class S3ServerUnavailable(RuntimeError):
    """The server is not available on this machine; the message is the reason."""


@dataclass(frozen=True)
class S3Server:
    """A running S3 server and the account that owns everything in it."""

    kind: str
    description: str
    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    process: ServerProcess = field(repr=False)


def start_minio(*, build: bool = True, measured: bool = False) -> S3Server:
    """Start MinIO with an empty directory.

    :param build: allows a build, which takes minutes
    :param measured: let it work as installations do, on a disk and with all processors
    """
    binary = minio.find_or_build(build=build)
    if binary is None:
        raise S3ServerUnavailable(f"MinIO: {minio.why_unavailable(build=build)}")
    description = f"MinIO {minio.version(binary)}"
    return _retried(lambda: _start_minio(binary, description, measured))


def start_moto() -> S3Server:
    """Start moto in a process of its own, because its state is global to a process."""
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        raise S3ServerUnavailable("moto: moto[server] is not installed")
    return _retried(_start_moto)


def _retried(start: Callable[[], S3Server]) -> S3Server:
    """Start a server. If another process took its port meanwhile, start it with another port."""
    for _unused in range(START_ATTEMPTS - 1):
        try:
            return start()
        except ServerFailed as error:
            if "in use" not in str(error).lower():
                raise
    return start()


def _start_minio(binary: Path, description: str, measured: bool) -> S3Server:
    access_key, secret_key = "opentalk", secrets.token_hex(20)
    scratch = Path(tempfile.mkdtemp(prefix="opentalk-minio-", dir=None if measured else memory.directory()))
    for name in ("data", "certs"):
        (scratch / name).mkdir()
    address = f"127.0.0.1:{free_port()}"
    process = ServerProcess(
        "MinIO",
        [str(binary), "--quiet", "--certs-dir", str(scratch / "certs"), "server", str(scratch / "data")]
        + ["--address", address],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("MINIO_")},
            "MINIO_ROOT_USER": access_key,
            "MINIO_ROOT_PASSWORD": secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "MINIO_CALLHOME_ENABLE": "off",
            # Several of these servers share a few processors, and threads that look for work take time.
            **({} if measured else {"GOMAXPROCS": "1", "GOGC": "400"}),
        },
        scratch=scratch,
    )
    endpoint = f"http://{address}"
    process.wait_until(lambda: _answers(f"{endpoint}/minio/health/cluster"))
    return S3Server("minio", description, endpoint, access_key, secret_key, process)


def _start_moto() -> S3Server:
    port = free_port()
    process = ServerProcess(
        "moto",
        [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)],
        # moto does not check the first three requests, which make the account.
        env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "3"},
    )
    endpoint = f"http://127.0.0.1:{port}"
    process.wait_until(lambda: _answers(f"{endpoint}/moto-api/"))
    access_key, secret_key = _create_moto_account(endpoint)
    description = f"moto {importlib.metadata.version('moto')}"
    return S3Server("moto", description, endpoint, access_key, secret_key, process)


def _create_moto_account(endpoint: str) -> tuple[str, str]:
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam = boto3.session.Session().client(
        "iam",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="unchecked",
        aws_secret_access_key="unchecked",
        config=Config(proxies={}, retries={"total_max_attempts": 1}),
    )
    iam.create_user(UserName="opentalk")
    iam.put_user_policy(UserName="opentalk", PolicyName="everything", PolicyDocument=json.dumps(everything))
    key = iam.create_access_key(UserName="opentalk")["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def _answers(url: str) -> bool:
    try:
        with _direct.open(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
