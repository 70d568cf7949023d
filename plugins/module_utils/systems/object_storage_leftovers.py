# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an S3 bucket has besides current objects: uploads that were not completed, and versions that are not current."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import unquote

from .object_storage import LARGEST, ObjectStorage, StoredObject, age, date_of, key_of
from .object_storage_client import PARALLEL_REQUESTS, StorageClient

# S3 allows 10,000 parts, which are ten requests.
_PARTS_PER_REQUEST = 1000


class Upload(NamedTuple):
    """A multipart upload that is not completed.

    :ivar begun: when it began, in ISO 8601
    :ivar listed_at: the time of the listing by the server's clock, as in the HTTP header Date
    """

    key: str
    upload_id: str
    begun: str
    listed_at: str

    @property
    def modified(self) -> str:
        """What tells this upload from every other one with the same key."""
        return f"{self.begun} {self.upload_id}"

    @property
    def age(self) -> float:
        """Seconds since it began, by the server's clock; -1 if the server does not give both times."""
        return age(self.begun, self.listed_at)


class Parts(NamedTuple):
    """The parts of an upload.

    :ivar bytes: the sum of their sizes
    :ivar age: seconds since the last of them was written; None without parts, -1 if the server does not give the times
    """

    bytes: int
    age: float | None


class Uploads:
    """Multipart uploads that are not completed."""

    def __init__(self, client: StorageClient) -> None:
        self._client = client

    def all(self) -> Iterator[Upload]:
        """All of them, in no particular order.

        :raises RequestRefusedError: the client has no right to list them, or the server cannot
        :raises ObjectStorageError: a request failed
        """
        # No prefix: with one, MinIO lists only the uploads of the object with exactly this key.
        markers = {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"}
        for page in self._client.pages(_list_uploads, **markers):
            listed_at = date_of(page)
            for entry in page.get("Uploads", ()):
                upload_id = entry.get("UploadId")
                if not key_of(entry) or not isinstance(upload_id, str):
                    raise self._client.not_understood()
                yield Upload(unquote(entry["Key"]), upload_id, entry.get("Initiated", ""), listed_at)

    def parts(self, uploads: list[Upload]) -> list[Parts | None]:
        """The parts of each upload; None if it is completed or aborted meanwhile. The errors are those of :meth:`all`."""
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as executor:
            return list(executor.map(self._parts, uploads))

    def abort(self, upload: Upload) -> bool:
        """Abort an upload, which deletes its parts.

        :returns: whether there was still an upload to abort
        :raises ObjectStorageError: the server did not confirm it
        """

        def request(client: Any) -> bool:
            return _if_known(
                client,
                lambda: client.abort_multipart_upload(
                    Bucket=self._client.bucket, Key=upload.key, UploadId=upload.upload_id
                ),
            )

        return bool(self._client.call(request))

    def _parts(self, upload: Upload) -> Parts | None:
        size, youngest = 0, None
        pages = self._client.pages(partial(_list_parts, upload=upload), PartNumberMarker="NextPartNumberMarker")
        for page in pages:
            if page.get("gone"):
                return None
            listed_at = date_of(page)
            for part in page.get("Parts", ()):
                number = part.get("Size")
                if not isinstance(number, int) or not 0 <= number < LARGEST:
                    raise self._client.not_understood()
                size += number
                written = age(part.get("LastModified", ""), listed_at)
                youngest = written if youngest is None else min(youngest, written)
        return Parts(size, youngest)


class Hidden(NamedTuple):
    """What a key has besides its current object.

    :ivar stored: the key, the bytes of the versions that are not current, and the time of the key's newest entry
    :ivar newest: a number for the newest entry, which is a version or a delete marker
    :ivar has_object: whether the newest entry is a version, so that the key has a current object
    """

    stored: StoredObject
    newest: int
    has_object: bool


@dataclass
class HiddenDeletion:
    """What became of keys.

    :ivar deleted: the keys whose hidden versions are gone
    :ivar refused: the keys with a version that the server did not delete, with the reason
    :ivar changed: the keys that have another newest entry now, of which nothing was deleted
    """

    deleted: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)


class HiddenVersions:
    """Versions that no listing of objects shows."""

    def __init__(self, client: StorageClient, storage: ObjectStorage) -> None:
        self._client = client
        self._storage = storage

    def below(self, prefix: str) -> Iterator[Hidden]:
        """Each key that has something hidden, in the order of the keys.

        Delete markers are hidden, too. So a key with nothing but a delete marker is one of them.

        :raises RequestRefusedError: the client has no right to list versions, or the server cannot
        :raises ObjectStorageError: a request failed, or the keys come in another order
        """
        last = ""
        for key, entries in itertools.groupby(self._entries(prefix), key_of):
            if key <= last:
                raise self._client.not_understood()
            last = key
            if found := self._hidden(key, list(entries)):
                yield found

    def delete(self, keys: Mapping[str, int], outcome: HiddenDeletion) -> None:
        """Delete the hidden versions of keys, by the ids of the versions.

        The delete marker that hides them goes last. Otherwise a version would come back if the next request failed.

        :param keys: the number of the newest entry that each key must still have
        :param outcome: gets what was done, also if an error is raised
        :raises ObjectStorageError: a request failed as a whole
        """
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as executor:
            entries = dict(zip(keys, executor.map(self._entries_of, keys), strict=True))
        versions: list[dict[str, str]] = []
        markers: list[dict[str, str]] = []
        for key, found in entries.items():
            newest = _newest(found)
            if newest is None or _number(newest) != keys[key]:
                outcome.changed.append(key)
                continue
            versions += [_identifier(key, entry) for entry in found if entry is not newest]
            if "Size" not in newest:
                markers.append(_identifier(key, newest))
        outcome.refused.update(self._storage.delete_versions(versions))
        outcome.refused.update(
            self._storage.delete_versions(marker for marker in markers if marker["Key"] not in outcome.refused)
        )
        left = {*outcome.refused, *outcome.changed}
        outcome.deleted += [key for key in entries if key not in left]

    def _hidden(self, key: str, entries: list[dict[str, Any]]) -> Hidden | None:
        newest = _newest(entries)
        # Without a newest entry, the key changed between two pages. The next run sees it.
        if newest is None or ("Size" in newest and len(entries) == 1):
            return None
        size = sum(entry.get("Size", 0) for entry in entries if entry is not newest)
        stored = StoredObject(key, size, newest.get("LastModified", ""), newest["listed_at"])
        return Hidden(stored, _number(newest), "Size" in newest)

    def _entries_of(self, key: str) -> list[dict[str, Any]]:
        return [entry for entry in self._entries(key) if entry["Key"] == key]

    def _entries(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Versions and delete markers in the order of the keys. Only versions have a size."""
        request = partial(_list_versions, prefix=prefix)
        markers = {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"}
        for page in self._client.pages(request, **markers):
            listed_at = date_of(page)
            versions, deleted = page.get("Versions", ()), page.get("DeleteMarkers", ())
            for entry in versions:
                size = entry.get("Size")
                if not isinstance(size, int) or not 0 <= size < LARGEST:
                    raise self._client.not_understood()
            for entry in heapq.merge(versions, deleted, key=key_of):
                if not key_of(entry):
                    raise self._client.not_understood()
                yield {**entry, "listed_at": listed_at}


def _newest(entries: list[dict[str, Any]]) -> dict[str, Any] | None:
    newest = [entry for entry in entries if entry.get("IsLatest")]
    return newest[0] if len(newest) == 1 else None


def _number(entry: dict[str, Any]) -> int:
    """A number for an entry, which fits into a bigint. The version without an id can be written again, with another time."""
    text = f"{entry.get('VersionId', 'null')} {entry.get('LastModified', '')}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


def _identifier(key: str, entry: dict[str, Any]) -> dict[str, str]:
    return {"Key": key, "VersionId": entry.get("VersionId", "null")}


def _if_known(client: Any, request: Any) -> Any:
    """The answer to a request about an upload; False if there is no such upload any more."""
    try:
        return request() or True
    except client.exceptions.ClientError as error:
        if error.response.get("Error", {}).get("Code") != "NoSuchUpload":
            raise
        return False


def _list_uploads(client: Any, *, bucket: str, position: dict[str, str]) -> Any:
    # Keys of others may have characters that XML cannot hold.
    position = {name: unquote(value) if name == "KeyMarker" else value for name, value in position.items()}
    return client.list_multipart_uploads(Bucket=bucket, EncodingType="url", **position)


def _list_parts(client: Any, *, bucket: str, position: dict[str, Any], upload: Upload) -> Any:
    request = partial(
        client.list_parts, Bucket=bucket, Key=upload.key, UploadId=upload.upload_id, MaxParts=_PARTS_PER_REQUEST
    )
    return _if_known(client, lambda: request(**position)) or {"IsTruncated": False, "gone": True}


def _list_versions(client: Any, *, bucket: str, position: dict[str, str], prefix: str) -> Any:
    return client.list_object_versions(Bucket=bucket, Prefix=prefix, **position)
