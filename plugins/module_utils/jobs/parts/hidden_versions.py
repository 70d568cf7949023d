# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions that a bucket keeps of objects that no asset knows: below delete markers, and behind the current objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...base.errors import MaintenanceError
from ...deletion.catalogue import Table
from ...record.safety import Share
from ...run import Run
from ...systems.object_storage import ObjectStorage, asset_key
from ...systems.object_storage_client import StorageClient
from ...systems.object_storage_errors import RequestRefusedError
from ...systems.object_storage_leftovers import Hidden, HiddenDeletion
from ...systems.object_storage_leftovers import HiddenVersions as StoredVersions
from . import asset_rows, settling
from .approved_things import ApprovedThings
from .asset_comparison import KEY, Records

KIND = "hidden_versions"


class HiddenVersions:
    """Finds keys with such versions, and deletes these.

    What happened last to a key decides how old all of it is: the delete marker, or the version that replaced the others.

    :param table: the table of assets
    :param with_objects: whether the job also handles what is behind a current object without an asset
    """

    def __init__(
        self,
        run: Run,
        client: StorageClient,
        storage: ObjectStorage,
        table: Table,
        approved: ApprovedThings,
        *,
        with_objects: bool,
    ) -> None:
        self._run = run
        self._storage = storage
        self._versions = StoredVersions(client, storage)
        self._table = table
        self._approved = approved
        self._with_objects = with_objects
        self._found = Records(2)
        self.deletes = run.parameters[KIND] == "delete"

    def __len__(self) -> int:
        """The number of keys of which something is to be deleted."""
        return len(self._found)

    def share(self, matched: int) -> Share:
        """:param matched: the number of assets that have an object"""
        return Share("keys with hidden versions", len(self._found), matched + len(self._found))

    def plan(self) -> None:
        """Compare the versions with the assets. It needs the transaction in which the objects were compared."""
        if not self._storage.may_keep_versions():
            return
        listing = self._run.plan[KIND]
        try:
            for asset_id, hidden in self._unknown():
                if self.deletes:
                    if not self._approved.accepts("versions", asset_id, hidden.stored):
                        continue
                    self._found.add(asset_id, hidden.stored.size, hidden.newest)
                listing.add_sized([(asset_id, hidden.stored.size)])
        except RequestRefusedError:
            failure = ("versions", self._run.settings.object_storage().bucket) if self.deletes else None
            what, reason = (
                "which versions the bucket keeps of deleted objects",
                settling.denied("s3:ListBucketVersions"),
            )
            settling.lack(self._run, KIND, what, reason, failure)
        if listing.count and not self.deletes:
            self._run.warn(
                f"The bucket keeps versions of objects that no asset knows, which nobody sees: those of {listing.count} keys"
                f" ({listing.bytes} bytes); hidden_versions: delete deletes them."
            )

    def apply(self) -> None:
        if self.deletes:
            settling.each(self._run, "versions", self._found, self._delete)

    def _unknown(self) -> Iterator[tuple[str, Hidden]]:
        """The id in each key that no asset knows, with what is hidden there, if that is old enough."""
        ids = asset_rows.ids(self._run.database, self._table)
        asset_id = next(ids, None)
        for object_id, hidden in self._of_assets(
            self._run.progress.counted(self._versions.below(asset_key("")), "keys with hidden versions compared")
        ):
            while asset_id is not None and asset_id < object_id:
                asset_id = next(ids, None)
            if asset_id != object_id and hidden.stored.age >= self._run.parameters["orphan_min_age"]:
                yield object_id, hidden

    def _of_assets(self, found: Iterable[Hidden]) -> Iterator[tuple[str, Hidden]]:
        for hidden in found:
            match = KEY.fullmatch(hidden.stored.key)
            if match and (self._with_objects or not hidden.has_object):
                yield match[1], hidden

    def _delete(self, records: list[tuple[str, int, int]]) -> None:
        sizes = {asset_id: size for asset_id, size, _newest in records}
        # The second look: an asset may have been recorded since the listing.
        known = asset_rows.present(self._run.database, self._table, list(sizes))
        keys = {asset_key(asset_id): newest for asset_id, _size, newest in records if asset_id not in known}
        ids = {asset_key(asset_id): asset_id for asset_id in sizes}
        audit, outcome, confirmed = self._run.audit.batch(), HiddenDeletion(), self._storage.confirmed
        audit.deleting({"versions": [ids[key] for key in keys]})
        try:
            self._versions.delete(keys, outcome)
        except MaintenanceError:
            audit.not_deleted(certain=False)
            raise
        finally:
            # Versions of keys that still have others may have gone.
            self._run.changed_more |= self._storage.confirmed > confirmed
        self._run.done[KIND].add_sized((ids[key], sizes[ids[key]]) for key in outcome.deleted)
        for key, reason in outcome.refused.items():
            self._run.fail("versions", ids[key], reason)
        changed = [ids[key] for key in outcome.changed]
        audit.deleted({}, {"versions": [*(ids[key] for key in outcome.refused), *changed]})
        settling.log_left(self._run, [*known, *changed])
