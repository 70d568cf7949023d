# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An S3 server for tests and the demo, and functions that show what is in it."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from support.s3_servers import REGION, S3Server, S3ServerUnavailable, start_minio, start_moto
from support.server_process import ServerFailed

CHECKSUMS = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}

if TYPE_CHECKING:
    from typing_extensions import Self  # noqa: UP035 - typing has it from Python 3.11 on

KEYS_PER_REQUEST = 1000
ARCHIVED_OBJECT_BYTES = 16 * 1024
UPLOAD_THREADS = 8


class ObjectStorageServer:
    """A running S3 server: `with ObjectStorageServer.start() as storage: ...`.

    `kind` is 'minio' or 'moto'; `description` is for people; `endpoint`, `access_key` and `secret_key` are for clients.
    Both kinds refuse wrong credentials.
    """

    def __init__(self, server: S3Server, *, remark: str = "") -> None:
        self.kind = server.kind
        self.description = server.description + (f" ({remark})" if remark else "")
        self.endpoint = server.endpoint
        self.access_key = server.access_key
        self.secret_key = server.secret_key
        self.region = REGION
        self._process = server.process
        self._client = self.client(max_pool_connections=UPLOAD_THREADS)

    @classmethod
    def start(
        cls, prefer: str = "minio", require: bool = False, *, build: bool = True, measured: bool = False
    ) -> ObjectStorageServer:
        """Start the server of kind `prefer`. If it is unavailable, start the other kind, unless `require` is set.

        `build` and `measured` are those of `start_minio`. Raises `S3ServerUnavailable` with the reasons.
        """
        starters: dict[str, Callable[[], S3Server]] = {
            "minio": lambda: start_minio(build=build, measured=measured),
            "moto": start_moto,
        }
        if prefer not in starters:
            raise ValueError(f"there is no S3 server of kind {prefer!r}")
        reasons: list[str] = []
        for kind in sorted(starters, key=lambda kind: kind != prefer):
            if kind != prefer and require:
                continue
            try:
                server = starters[kind]()
            except (S3ServerUnavailable, ServerFailed) as error:
                reasons.append(str(error))
            else:
                return cls(server, remark="; ".join(reasons))
        raise S3ServerUnavailable("; ".join(reasons))

    def stop(self) -> None:
        """End the server and drop its data."""
        self._process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def client(
        self,
        *,
        endpoint: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        **config: Any,
    ) -> Any:
        """A new boto3 client of this server, or of the proxy at `endpoint`; `config` is for botocore's `Config`.

        It uses path style and does not repeat requests, so that a test sees every failure once.
        """
        settings: dict[str, Any] = {
            "s3": {"addressing_style": "path"},
            # Before version 1.36, boto3 had neither these nor checksums that are not required.
            **(CHECKSUMS if hasattr(Config(), "request_checksum_calculation") else {}),
            "retries": {"total_max_attempts": 1},
            "proxies": {},
            **config,
        }
        return boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint or self.endpoint,
            region_name=self.region,
            aws_access_key_id=access_key or self.access_key,
            aws_secret_access_key=secret_key or self.secret_key,
            config=Config(**settings),
        )

    def create_bucket(self, name: str, versioned: bool = False, object_lock: bool = False) -> None:
        """Create a bucket; `object_lock` brings versioning with it."""
        self._client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=object_lock)
        if versioned and not object_lock:
            self._client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})

    def upload(self, bucket: str, items: Iterable[tuple[str, int]]) -> int:
        """Put an object of `size` zero bytes for each `(key, size)`, with distinct keys. Returns the number of objects."""
        archived, single = self._split(items)
        with ThreadPoolExecutor(UPLOAD_THREADS) as pool:
            batches = list(_batches(archived, KEYS_PER_REQUEST))
            for _unused in pool.map(lambda batch: self._put_archive(bucket, batch), batches):
                pass
            for _unused in pool.map(lambda item: self._put(bucket, *item), single):
                pass
        return len(archived) + len(single)

    def remove(self, bucket: str, keys: Iterable[str]) -> None:
        """Delete objects of a bucket that keeps no versions."""
        for batch in _batches(((key, "") for key in keys), KEYS_PER_REQUEST):
            self._client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key, _unused in batch]})

    def objects(self, bucket: str) -> dict[str, int]:
        """The sizes in bytes of all current objects by key."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}

    def versions(self, bucket: str) -> set[tuple[str, str]]:
        """All `(key, version id)`, with delete markers. In a bucket without versions the version id is 'null'."""
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=bucket)
        return {
            (entry["Key"], entry["VersionId"])
            for page in pages
            for entry in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        }

    def empty_bucket(self, name: str) -> None:
        """Delete every version of every object, also under a legal hold or governance retention."""
        refused = self._delete_versions(name, self.versions(name))
        for key, version in refused:
            self._client.put_object_legal_hold(Bucket=name, Key=key, VersionId=version, LegalHold={"Status": "OFF"})
        self._delete_versions(name, refused)
        left = self.versions(name)
        if left:
            raise RuntimeError(f"bucket {name} cannot be emptied: {len(left)} versions stay")

    def remove_bucket(self, name: str) -> None:
        """Delete a bucket with its content."""
        self.empty_bucket(name)
        self._client.delete_bucket(Bucket=name)

    def _delete_versions(self, bucket: str, versions: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Delete versions, and return those that the server refused to delete."""
        present = set(versions)
        for batch in _batches(sorted(present), KEYS_PER_REQUEST):
            entries = [{"Key": key, "VersionId": version} for key, version in batch]
            self._client.delete_objects(
                Bucket=bucket, Delete={"Objects": entries, "Quiet": True}, BypassGovernanceRetention=True
            )
        # moto's list of errors has no version ids. So the versions that still exist were refused.
        return present & self.versions(bucket)

    def _split(self, items: Iterable[tuple[str, int]]) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """The items to upload in archives, and the items to upload one by one."""
        archived: list[tuple[str, int]] = []
        single: list[tuple[str, int]] = []
        for key, size in items:
            # MinIO cleans the paths in an archive as file names.
            plain = posixpath.normpath(key) == key and not key.startswith(("/", "."))
            fits = self.kind == "minio" and plain and size <= ARCHIVED_OBJECT_BYTES
            (archived if fits else single).append((key, size))
        return archived, single

    def _put_archive(self, bucket: str, batch: Sequence[tuple[str, int]]) -> None:
        """Put many objects with one request that makes MinIO unpack a tar file. This is several times faster."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for key, size in batch:
                member = tarfile.TarInfo(key)
                member.size = size
                archive.addfile(member, io.BytesIO(bytes(size)))
        self._client.put_object(
            Bucket=bucket, Key="upload.tar", Body=buffer.getvalue(), Metadata={"Snowball-Auto-Extract": "true"}
        )

    def _put(self, bucket: str, key: str, size: int) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._client.put_object(Bucket=bucket, Key=key, Body=bytes(size))
        return answer


def _batches(items: Iterable[tuple[str, int]] | Iterable[tuple[str, str]], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
