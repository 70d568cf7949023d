# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares the assets in the database with the objects in the bucket, as two streams in the order of their ids."""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ...base.errors import ObjectStorageError
from ...systems.object_storage import StoredObject

# The key of an asset, as the controller writes it.
KEY = re.compile(r"assets/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
# A string that sorts after every id.
_END = "~"


class Records:
    """UUIDs, each with some integers, in the order of their addition. A record takes only a few bytes.

    :param numbers: the number of integers with each UUID
    """

    def __init__(self, numbers: int = 0) -> None:
        self._format = struct.Struct("=16s" + numbers * "q")
        self._data = bytearray()

    def __len__(self) -> int:
        return len(self._data) // self._format.size

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for identifier, *numbers in self._format.iter_unpack(self._data):
            yield (str(uuid.UUID(bytes=identifier)), *numbers)

    def add(self, identifier: str, *numbers: int) -> None:
        self._data += self._format.pack(bytes.fromhex(identifier.replace("-", "")), *numbers)

    def ids(self) -> Iterator[str]:
        return (record[0] for record in self)


class Comparison:
    """The differences between assets and objects.

    :param empty: whether ``missing`` gets assets with a recorded size of zero, too
    :param accepts: gets the name of the attribute and the id of each difference, with the object if there is one; it says
        whether the difference counts
    :param unlinked: gets the id of each unlinked asset, with its object if it has one; it says whether the asset is to be
        deleted, so that nothing else must be done with it
    :ivar assets: the number of assets
    :ivar objects: the number of objects that have the key of an asset
    :ivar matched: the number of assets that have an object
    :ivar resized: assets whose recorded size differs from their object's, with both sizes in bytes
    :ivar missing: assets without an object, with their recorded size in bytes
    :ivar unknown: the number of objects that have another key
    :ivar unknown_bytes: the total size of these objects in bytes
    """

    def __init__(
        self,
        *,
        empty: bool,
        accepts: Callable[[str, str, StoredObject | None], bool],
        unlinked: Callable[[str, StoredObject | None], bool],
    ) -> None:
        self._empty = empty
        self._accepts = accepts
        self._unlinked = unlinked
        self.assets = 0
        self.objects = 0
        self.matched = 0
        self.resized = Records(2)
        self.missing = Records(1)
        self.unknown = 0
        self.unknown_bytes = 0

    def orphans(
        self, rows: Iterable[tuple[str, int, bool]], objects: Iterable[StoredObject]
    ) -> Iterator[tuple[str, StoredObject]]:
        """Compare, and yield each object without an asset together with the id in its key.

        :param rows: id and size of every asset, in the order of the ids, and whether it is unlinked
        :param objects: every object of the bucket, in the order of the keys
        :raises ObjectStorageError: the objects come in another order
        """
        numbered = iter(rows)
        asset_id, size, unlinked = self._next(numbered)
        for object_id, stored in self._of_assets(objects):
            while asset_id < object_id:
                self._miss(asset_id, size, unlinked)
                asset_id, size, unlinked = self._next(numbered)
            if asset_id == object_id:
                self.matched += 1
                if unlinked and self._unlinked(asset_id, stored):
                    pass
                elif size != stored.size and self._accepts("resized", asset_id, stored):
                    self.resized.add(asset_id, size, stored.size)
                asset_id, size, unlinked = self._next(numbered)
            else:
                yield object_id, stored
        while asset_id != _END:
            self._miss(asset_id, size, unlinked)
            asset_id, size, unlinked = self._next(numbered)

    def _next(self, rows: Iterator[tuple[str, int, bool]]) -> tuple[str, int, bool]:
        for row in rows:
            self.assets += 1
            return row
        return _END, 0, False

    def _of_assets(self, objects: Iterable[StoredObject]) -> Iterator[tuple[str, StoredObject]]:
        last = ""
        for stored in objects:
            match = KEY.fullmatch(stored.key)
            if match is None:
                self.unknown += 1
                self.unknown_bytes += stored.size
                continue
            self.objects += 1
            if match[1] <= last:
                raise ObjectStorageError(
                    "The object storage does not list its objects in the order of their keys, each of them once, so they"
                    " cannot be compared with the database; nothing was changed: use a server that keeps to the S3 API."
                )
            last = match[1]
            yield last, stored

    def _miss(self, asset_id: str, size: int, unlinked: bool) -> None:
        if unlinked and self._unlinked(asset_id, None):
            return
        if (size or self._empty) and self._accepts("missing", asset_id, None):
            self.missing.add(asset_id, size)
