# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects in an S3 bucket: https://docs.aws.amazon.com/AmazonS3/latest/API/."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from .object_storage_client import PARALLEL_REQUESTS, StorageClient
from .object_storage_errors import RequestRefusedError, refusal

# The most keys that DeleteObjects takes.
KEYS_PER_REQUEST = 1000
# In bytes: every object is smaller. It is the first number that a bigint cannot hold.
LARGEST = 2**63


def asset_key(asset_id: str) -> str:
    """The key under which the controller stores an asset."""
    return f"assets/{asset_id}"


def age(written: str, listed_at: str) -> float:
    """Seconds between a time in ISO 8601 and one as in the HTTP header Date; -1 if the server does not give both."""
    # Only a few jobs list objects, and the import takes longer than the rest of this file.
    from email.utils import parsedate_to_datetime

    try:
        moment = datetime.fromisoformat(written.replace("Z", "+00:00"))
        # The header has whole seconds, so an object that was just written can seem to be from the future.
        return max(0.0, (parsedate_to_datetime(listed_at) - moment).total_seconds())
    except (ValueError, TypeError):
        return -1.0


class StoredObject(NamedTuple):
    """An object as a listing shows it.

    :ivar size: in bytes
    :ivar modified: the time of the last write, in ISO 8601
    :ivar listed_at: the time of the listing by the server's clock, as in the HTTP header Date
    """

    key: str
    size: int
    modified: str
    listed_at: str

    @property
    def age(self) -> float:
        """Seconds since the last write, by the server's clock; -1 if the server does not give both times."""
        return age(self.modified, self.listed_at)


class ObjectStorage:
    """The controller's bucket.

    :ivar confirmed: the number of objects and versions whose deletion was confirmed so far
    """

    def __init__(self, client: StorageClient) -> None:
        self._client = client
        self._keeps_versions: bool | None = None
        self._versioning_is_known = True
        self._warnings: list[str] = []
        self._deleted: dict[str, None] = {}
        self._most_keys = KEYS_PER_REQUEST
        self._keys_under_way = 0
        self.confirmed = 0

    def check(self) -> None:
        """Check that the bucket exists and may be read.

        :raises ObjectStorageError: the bucket is missing or may not be read, or the server cannot be reached
        """
        self._client.call(lambda client: client.head_bucket(Bucket=self._client.bucket))
        self.keeps_versions()

    def keeps_versions(self) -> bool:
        """Whether the bucket keeps versions, or kept some in the past. The server is asked once.

        :returns: False also if the server refuses to say it; then there is a warning
        :raises ObjectStorageError: the server did not answer this time
        """
        if self._keeps_versions is None:
            self._keeps_versions = self._ask_for_versioning()
        return self._keeps_versions

    def may_keep_versions(self) -> bool:
        """Whether the bucket keeps versions, or it is unknown whether it does; the errors are those of :meth:`keeps_versions`."""
        return self.keeps_versions() or not self._versioning_is_known

    def take_warnings(self) -> list[str]:
        """The warnings for the operator since the last call."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def objects(self) -> Iterator[StoredObject]:
        """All current objects of the bucket in the order of their keys. There is one request for each thousand.

        :raises ObjectStorageError: a request failed; the objects until then are not all
        :raises DeadlineExceeded: the deadline passed meanwhile
        """
        for page in self._client.pages(_list_objects, ContinuationToken="NextContinuationToken"):
            listed_at = date_of(page)
            for entry in page.get("Contents", ()):
                key, size = key_of(entry), entry.get("Size")
                if not key or not isinstance(size, int) or not 0 <= size < LARGEST:
                    raise self._client.not_understood()
                yield StoredObject(key, size, entry.get("LastModified", ""), listed_at)

    def absent(self, keys: list[str]) -> set[str]:
        """The keys that have no object at this moment.

        :raises ObjectStorageError: the server gave no answer about one of them
        :raises DeadlineExceeded: the deadline passed meanwhile
        """
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as executor:
            found = dict(zip(keys, executor.map(self._exists, keys), strict=True))
        missing = {key for key, exists in found.items() if not exists}
        if missing:
            # The server also answers "not found" if the whole bucket is missing.
            self._client.call(lambda client: client.head_bucket(Bucket=self._client.bucket))
        return missing

    def delete(self, keys: Iterable[str]) -> dict[str, str]:
        """Delete objects, with all their versions if the bucket keeps versions.

        An object that does not exist counts as deleted. After an error, too, :meth:`take_deleted` gives the keys that
        were deleted. Until they are taken or forgotten, they are not deleted again.

        :returns: the keys that the server refused to delete or did not confirm, with the reason
        :raises ObjectStorageError: a request failed as a whole
        :raises DeadlineExceeded: the deadline passed meanwhile
        """
        refused: dict[str, str] = {}
        for identifiers, complete in self._requests(key for key in keys if key not in self._deleted):
            self._keys_under_way = len(identifiers)
            failed = self._delete_at_once(identifiers)
            self._keys_under_way = 0
            self._most_keys = min(KEYS_PER_REQUEST, 2 * self._most_keys)
            self.confirmed += len(identifiers) - len(failed)
            refused.update(failed)
            self._deleted.update(dict.fromkeys(key for key in complete if key not in refused))
        return refused

    def delete_versions(self, identifiers: Iterable[dict[str, str]]) -> dict[str, str]:
        """Delete versions by their ids; the errors are those of :meth:`delete`.

        :param identifiers: each has ``Key`` and ``VersionId``
        :returns: the keys with a version that the server refused to delete or did not confirm, with the reason
        """
        refused: dict[str, str] = {}
        remaining = iter(identifiers)
        while chunk := list(itertools.islice(remaining, KEYS_PER_REQUEST)):
            failed = self._delete_at_once(chunk)
            self.confirmed += len(chunk) - len(failed)
            refused.update(failed)
        return refused

    def ask_for_less(self) -> bool:
        """Use smaller requests for a while, if :meth:`delete` ended because a request took too long.

        :returns: whether that is possible
        """
        under_way, self._keys_under_way = self._keys_under_way, 0
        if under_way < 2:
            return False
        self._most_keys = under_way // 4 or 1
        return True

    def take_deleted(self) -> list[str]:
        """The keys whose deletion, with all versions, was confirmed since the last call."""
        deleted, self._deleted = self._deleted, {}
        return list(deleted)

    def forget_deleted(self, keys: Iterable[str]) -> None:
        """Leave these keys out of :meth:`take_deleted`, because the caller reports them in another way."""
        for key in keys:
            self._deleted.pop(key, None)

    def _ask_for_versioning(self) -> bool:
        try:
            answer = self._client.call(lambda client: client.get_bucket_versioning(Bucket=self._client.bucket))
        except RequestRefusedError:
            self._versioning_is_known = False
            self._warnings.append(
                f"It is unknown whether bucket {self._client.bucket} keeps versions, because the server refuses to tell;"
                " older versions of deleted objects may remain."
            )
            return False
        return "Status" in answer

    def _delete_at_once(self, identifiers: list[dict[str, str]]) -> dict[str, str]:
        """Delete with one request; the result is as in :meth:`delete`."""
        refused: dict[str, str] = {}
        if not identifiers:
            return refused
        answer = self._client.call(partial(_delete_objects, bucket=self._client.bucket, identifiers=identifiers))
        # An S3 server puts every key in one of two lists. A key in neither list is not confirmed, whatever the status is.
        open_keys = Counter(identifier["Key"] for identifier in identifiers)
        open_keys.subtract(map(key_of, answer.get("Deleted", ())))
        for error in answer.get("Errors", ()):
            key, code = key_of(error), str(error.get("Code", "unknown"))
            if key in open_keys:
                open_keys[key] -= 1
                if code not in ("NoSuchKey", "NoSuchVersion"):
                    refused[key] = refusal(code)
        for key in open_keys:
            if open_keys[key] > 0:
                refused.setdefault(key, "the object storage did not confirm that it was deleted")
        return refused

    def _exists(self, key: str) -> bool:
        def head(client: Any) -> bool:
            try:
                client.head_object(Bucket=self._client.bucket, Key=key)
            except client.exceptions.ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                    raise
                return False
            return True

        return self._client.call(head)

    def _requests(self, keys: Iterable[str]) -> Iterator[tuple[list[dict[str, str]], list[str]]]:
        """The identifiers to delete with each request, and the keys whose last version this request deletes."""
        identifiers: list[dict[str, str]] = []
        complete: list[str] = []
        for key, versions in self._identifiers(keys):
            for version in versions:
                if len(identifiers) >= self._most_keys:
                    yield identifiers, complete
                    identifiers, complete = [], []
                identifiers.append(version)
            complete.append(key)
        yield identifiers, complete

    def _identifiers(self, keys: Iterable[str]) -> Iterator[tuple[str, list[dict[str, str]]]]:
        # In a bucket with versions, a deletion without the id of a version would only hide the object.
        if not self.keeps_versions():
            yield from ((key, [{"Key": key}]) for key in keys)
            return
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as executor:
            remaining = iter(keys)
            while chunk := list(itertools.islice(remaining, self._most_keys)):
                self._keys_under_way = len(chunk)
                yield from zip(chunk, executor.map(self._versions, chunk), strict=True)

    def _versions(self, key: str) -> list[dict[str, str]]:
        pages = self._client.pages(
            partial(_list_versions, prefix=key), KeyMarker="NextKeyMarker", VersionIdMarker="NextVersionIdMarker"
        )
        return [
            {"Key": key, "VersionId": version.get("VersionId", "null")}
            for page in pages
            for version in itertools.chain(page.get("Versions", ()), page.get("DeleteMarkers", ()))
            if key_of(version) == key
        ]


def key_of(entry: dict[str, Any]) -> str:
    """The key in an element of an answer; empty if it has no key or more than one."""
    key = entry.get("Key")
    return key if isinstance(key, str) else ""


def date_of(page: dict[str, Any]) -> str:
    """When the server gave an answer, by its clock, as in the HTTP header Date; empty if it does not say so."""
    return str(page["ResponseMetadata"]["HTTPHeaders"].get("date", ""))


def _list_objects(client: Any, *, bucket: str, position: dict[str, str]) -> Any:
    return client.list_objects_v2(Bucket=bucket, **position)


def _list_versions(client: Any, *, bucket: str, prefix: str, position: dict[str, str]) -> Any:
    return client.list_object_versions(Bucket=bucket, Prefix=prefix, **position)


def _delete_objects(client: Any, *, bucket: str, identifiers: list[dict[str, str]]) -> Any:
    return client.delete_objects(Bucket=bucket, Delete={"Objects": identifiers})
