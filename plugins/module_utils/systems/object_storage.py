# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects in an S3 bucket: https://docs.aws.amazon.com/AmazonS3/latest/API/."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, NamedTuple

from .object_storage_client import PARALLEL_REQUESTS, StorageClient
from .object_storage_errors import RequestRefusedError, refusal

# The most keys that DeleteObjects takes.
KEYS_PER_REQUEST = 1000
# More than any object has, and the first number that a bigint cannot hold.
LARGEST = 2**63


def asset_key(asset_id: str) -> str:
    """The key under which the controller stores an asset."""
    return f"assets/{asset_id}"


class StoredObject(NamedTuple):
    """An object as a listing shows it.

    :ivar size: in bytes
    :ivar modified: when it was last written, in ISO 8601
    :ivar listed_at: the server's clock when it was listed, as in the HTTP header Date
    """

    key: str
    size: int
    modified: str
    listed_at: str

    @property
    def age(self) -> float:
        """Seconds since it was last written, by the server's clock; -1 where the server does not tell."""
        try:
            modified = datetime.fromisoformat(self.modified.replace("Z", "+00:00"))
            # The header has whole seconds, so that what was just written can seem to be of the future.
            return max(0.0, (parsedate_to_datetime(self.listed_at) - modified).total_seconds())
        except (ValueError, TypeError):
            return -1.0


class ObjectStorage:
    """The controller's bucket."""

    def __init__(self, client: StorageClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._keeps_versions: bool | None = None
        self._warnings: list[str] = []
        self._deleted: dict[str, None] = {}

    def check(self) -> None:
        """Make sure that the bucket is there and may be read.

        :raises ObjectStorageError: it is not, or the server cannot be reached
        """
        self._client.call(lambda client: client.head_bucket(Bucket=self._client.bucket))
        self.keeps_versions()

    def keeps_versions(self) -> bool:
        """Whether the bucket keeps versions, or has kept some; the server is asked once.

        :returns: False also where the server refuses to tell, of which there is a warning
        :raises ObjectStorageError: the server did not answer this time
        """
        with self._lock:
            if self._keeps_versions is None:
                self._keeps_versions = self._ask_for_versioning()
            return self._keeps_versions

    def take_warnings(self) -> list[str]:
        """What the operator should know, as far as it was not asked for before."""
        with self._lock:
            warnings, self._warnings = self._warnings, []
        return warnings

    def objects(self) -> Iterator[StoredObject]:
        """Every current object of the bucket, in the order of the keys, with a request for each thousand.

        :raises ObjectStorageError: a request failed; what was listed until then is not all
        :raises DeadlineExceeded: the deadline passed meanwhile
        """
        position: dict[str, str] = {}
        while True:
            page = self._client.call(partial(_list_objects, bucket=self._client.bucket, position=position))
            self._check_listing(page)
            listed_at = page["ResponseMetadata"]["HTTPHeaders"].get("date", "")
            for entry in page.get("Contents", ()):
                key, size = _key(entry), entry.get("Size")
                if not key or not isinstance(size, int) or not 0 <= size < LARGEST:
                    raise self._client.not_understood()
                yield StoredObject(key, size, entry.get("LastModified", ""), listed_at)
            position = self._next_page(page, position, ContinuationToken="NextContinuationToken")
            if not position:
                return

    def absent(self, keys: list[str]) -> set[str]:
        """Those of the keys that have no object at this moment.

        :raises ObjectStorageError: the server did not tell of one of them
        :raises DeadlineExceeded: the deadline passed meanwhile
        """
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as executor:
            found = dict(zip(keys, executor.map(self._exists, keys), strict=True))
        missing = {key for key, exists in found.items() if not exists}
        if missing:
            # An object in a bucket that is gone is "not found" as well.
            self._client.call(lambda client: client.head_bucket(Bucket=self._client.bucket))
        return missing

    def delete(self, keys: Iterable[str]) -> dict[str, str]:
        """Delete objects, with all their versions where the bucket keeps versions.

        An object that is not there counts as deleted. What was deleted is known to :meth:`take_deleted`, whatever is
        raised.

        :returns: the keys that the server refused to delete or did not confirm, with the reason
        :raises ObjectStorageError: a request failed as a whole
        :raises DeadlineExceeded: the deadline passed meanwhile
        """
        refused: dict[str, str] = {}
        for identifiers, complete in self._requests(keys):
            refused.update(self._delete_at_once(identifiers))
            with self._lock:
                self._deleted.update(dict.fromkeys(key for key in complete if key not in refused))
        return refused

    def take_deleted(self) -> list[str]:
        """The keys that were confirmed deleted, with all their versions, since this was asked last."""
        with self._lock:
            deleted, self._deleted = self._deleted, {}
        return list(deleted)

    def forget_deleted(self, keys: Iterable[str]) -> None:
        """Take these keys for told of: what they stood for is accounted for otherwise."""
        with self._lock:
            for key in keys:
                self._deleted.pop(key, None)

    def _ask_for_versioning(self) -> bool:
        try:
            answer = self._client.call(lambda client: client.get_bucket_versioning(Bucket=self._client.bucket))
        except RequestRefusedError:
            self._warnings.append(
                f"It is unknown whether bucket {self._client.bucket} keeps versions, because the server refuses to tell;"
                " older versions of deleted objects may remain."
            )
            return False
        return "Status" in answer

    def _delete_at_once(self, identifiers: list[dict[str, str]]) -> dict[str, str]:
        """Delete with one request; gives what :meth:`delete` gives."""
        refused: dict[str, str] = {}
        if not identifiers:
            return refused
        answer = self._client.call(partial(_delete_objects, bucket=self._client.bucket, identifiers=identifiers))
        # What is in neither list was not answered by an S3 server, whatever the HTTP status says.
        open_keys = Counter(identifier["Key"] for identifier in identifiers)
        open_keys.subtract(map(_key, answer.get("Deleted", ())))
        for error in answer.get("Errors", ()):
            key, code = _key(error), str(error.get("Code", "unknown"))
            if key in open_keys:
                open_keys[key] -= 1
                if code not in ("NoSuchKey", "NoSuchVersion"):
                    refused[key] = refusal(code)
        for key in open_keys:
            if open_keys[key] > 0:
                refused.setdefault(key, "the object storage did not confirm that it was deleted")
        return refused

    def _check_listing(self, page: dict[str, Any]) -> None:
        # A page of another server, such as that of a login, has no such element and would seem to be an empty listing.
        if "IsTruncated" not in page:
            raise self._client.not_understood()

    def _next_page(self, page: dict[str, Any], position: dict[str, str], **names: str) -> dict[str, str]:
        """The parameters that ask for the page after this one; none after the last.

        :param names: which of the page's elements each of them is
        """
        if not page.get("IsTruncated"):
            return {}
        following = {parameter: page.get(element, "") for parameter, element in names.items()}
        if not any(following.values()) or following == position:
            # The server would be asked for the same page for ever.
            raise self._client.not_understood()
        return following

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
        """What to delete with one request each, and the keys of which nothing is left after it."""
        identifiers: list[dict[str, str]] = []
        complete: list[str] = []
        for key, versions in self._identifiers(keys):
            for version in versions:
                if len(identifiers) == KEYS_PER_REQUEST:
                    yield identifiers, complete
                    identifiers, complete = [], []
                identifiers.append(version)
            complete.append(key)
        yield identifiers, complete

    def _identifiers(self, keys: Iterable[str]) -> Iterator[tuple[str, list[dict[str, str]]]]:
        # A plain deletion in a bucket with versions would hide the object, and delete nothing.
        if not self.keeps_versions():
            yield from ((key, [{"Key": key}]) for key in keys)
            return
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as executor:
            for chunk in _chunks(keys, KEYS_PER_REQUEST):
                yield from zip(chunk, executor.map(self._versions, chunk), strict=True)

    def _versions(self, key: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        position: dict[str, str] = {}
        while True:
            page = self._client.call(partial(_list_versions, bucket=self._client.bucket, prefix=key, position=position))
            self._check_listing(page)
            for version in itertools.chain(page.get("Versions", ()), page.get("DeleteMarkers", ())):
                if _key(version) == key:
                    found.append({"Key": key, "VersionId": version.get("VersionId", "null")})
            position = self._next_page(page, position, KeyMarker="NextKeyMarker", VersionIdMarker="NextVersionIdMarker")
            if not position:
                return found


def _key(entry: dict[str, Any]) -> str:
    """The key in an element of an answer; empty where there is none, or more than one."""
    key = entry.get("Key")
    return key if isinstance(key, str) else ""


def _list_objects(client: Any, *, bucket: str, position: dict[str, str]) -> Any:
    return client.list_objects_v2(Bucket=bucket, **position)


def _list_versions(client: Any, *, bucket: str, prefix: str, position: dict[str, str]) -> Any:
    return client.list_object_versions(Bucket=bucket, Prefix=prefix, **position)


def _delete_objects(client: Any, *, bucket: str, identifiers: list[dict[str, str]]) -> Any:
    return client.delete_objects(Bucket=bucket, Delete={"Objects": identifiers})


def _chunks(things: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(things)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
