# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects in an S3 bucket: https://docs.aws.amazon.com/AmazonS3/latest/API/."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..engine.deadline import Deadline
from ..engine.errors import MissingLibraryError, ObjectStorageError
from .object_storage_errors import failure, refusal
from .settings import ObjectStorageSettings
from .write_gate import WriteGate

# The most keys that DeleteObjects takes.
KEYS_PER_REQUEST = 1000
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
ATTEMPTS = 4
# Requests for the versions of single keys that are under way at once.
PARALLEL_LISTINGS = 8
# Seconds by which a request may begin late without a shorter timeout.
TOLERANCE = 1.0


def asset_key(asset_id: str) -> str:
    """The key under which the controller stores an asset."""
    return f"assets/{asset_id}"


class ObjectStorage:
    """The controller's bucket. The connection is made when it is first used.

    :param gate: asked before every request
    :param ca_path: a file of CA certificates, or None for those of the system
    """

    def __init__(
        self,
        settings: ObjectStorageSettings,
        *,
        deadline: Deadline,
        gate: WriteGate,
        validate_certs: bool,
        ca_path: str | None,
    ) -> None:
        self._settings = settings
        self._deadline = deadline
        self._gate = gate
        self._verify: bool | str = (ca_path or True) if validate_certs else False
        self._client: Any = None
        self._client_timeout = 0.0
        self._versioned = False

    def check(self) -> list[str]:
        """Make sure that the bucket is there and may be read.

        :returns: warnings
        :raises ObjectStorageError: it is not, or the server cannot be reached
        """
        self._call(lambda client: client.head_bucket(Bucket=self._settings.bucket))
        try:
            answer = self._call(lambda client: client.get_bucket_versioning(Bucket=self._settings.bucket))
        except ObjectStorageError:
            return [
                f"It is unknown whether bucket {self._settings.bucket} keeps versions, because the server refuses to tell;"
                " older versions of deleted objects may remain."
            ]
        self._versioned = "Status" in answer
        return []

    def delete(self, keys: Iterable[str]) -> dict[str, str]:
        """Delete objects, with all their versions where the bucket keeps versions.

        An object that is not there counts as deleted.

        :returns: the keys that the server refused to delete, with the reason
        :raises ObjectStorageError: a request failed as a whole
        :raises DeadlineExceeded: the deadline passed meanwhile
        """
        refused: dict[str, str] = {}
        for chunk in _chunks(self._identifiers(keys), KEYS_PER_REQUEST):
            answer = self._call(
                lambda client, chunk=chunk: client.delete_objects(
                    Bucket=self._settings.bucket, Delete={"Objects": chunk, "Quiet": True}
                )
            )
            for error in answer.get("Errors", ()):
                if error.get("Code") not in ("NoSuchKey", "NoSuchVersion"):
                    refused[error["Key"]] = refusal(error.get("Code", "unknown"))
        return refused

    def _identifiers(self, keys: Iterable[str]) -> Iterator[dict[str, str]]:
        if not self._versioned:
            yield from ({"Key": key} for key in keys)
            return
        with ThreadPoolExecutor(PARALLEL_LISTINGS) as executor:
            for chunk in _chunks(keys, KEYS_PER_REQUEST):
                for versions in executor.map(self._versions, chunk):
                    yield from versions

    def _versions(self, key: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        position: dict[str, str] = {}
        while True:
            listing = {"Bucket": self._settings.bucket, "Prefix": key, **position}
            page = self._call(lambda client, listing=listing: client.list_object_versions(**listing))
            for version in itertools.chain(page.get("Versions", ()), page.get("DeleteMarkers", ())):
                if version["Key"] == key:
                    found.append({"Key": key, "VersionId": version["VersionId"]})
            if not page.get("IsTruncated"):
                return found
            position = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def _call(self, request: Callable[[Any], Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        while True:
            self._deadline.check()
            try:
                return request(self._connected())
            except _TimeoutTooLong:
                self._client = None
            except (BotoCoreError, ClientError) as error:
                self._deadline.check()
                raise failure(error, self._settings) from None
            except ValueError:
                # botocore refuses addresses without saying so in an exception of its own.
                raise ObjectStorageError(
                    "The address of the object storage cannot be used; correct the key uri of section [minio] in the"
                    " controller's settings or in the option object_storage."
                ) from None

    def _connected(self) -> Any:
        # A client's timeouts are fixed when it is made, so near the deadline a new one is needed.
        if self._client is None or self._client_timeout > self._deadline.remaining() + TOLERANCE:
            self._client_timeout = self._deadline.bound(READ_TIMEOUT)
            self._client = self._make_client(self._client_timeout)
        return self._client

    def _make_client(self, timeout: float) -> Any:
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise MissingLibraryError("boto3", traceback.format_exc()) from None
        session = boto3.session.Session(
            aws_access_key_id=self._settings.access_key,
            aws_secret_access_key=self._settings.secret_key,
            region_name=self._settings.region,
        )
        client = session.client(
            "s3",
            endpoint_url=self._settings.uri,
            verify=self._verify,
            config=Config(
                connect_timeout=min(CONNECT_TIMEOUT, timeout),
                read_timeout=timeout,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                max_pool_connections=PARALLEL_LISTINGS,
                s3={"addressing_style": "path" if self._settings.force_path_style else "auto"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        client.meta.events.register("before-send.s3", self._before_send)
        return client

    def _before_send(self, request: Any, **kwargs: Any) -> None:
        self._gate.check(request.method, "the object storage")
        if self._deadline.remaining() + TOLERANCE < self._client_timeout:
            raise _TimeoutTooLong


class _TimeoutTooLong(Exception):
    """A request, or its repetition, would end after the deadline with the timeout that the client has."""


def _chunks(things: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(things)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
