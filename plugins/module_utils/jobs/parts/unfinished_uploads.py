# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uploads of assets that nobody completed. A crash of the controller leaves them, and no listing of objects shows them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ...base.errors import MaintenanceError
from ...record.safety import Share
from ...run import Run
from ...systems.object_storage_client import StorageClient
from ...systems.object_storage_errors import RequestRefusedError
from ...systems.object_storage_leftovers import Parts, Upload, Uploads
from . import settling
from .approved_things import ApprovedThings
from .asset_comparison import KEY

KIND = "unfinished_uploads"
# The most uploads whose parts are asked for at once.
CHUNK = 100


class UnfinishedUploads:
    """Finds uploads that began long ago, and aborts them.

    An upload with a part that is younger is still being written.
    """

    def __init__(self, run: Run, client: StorageClient, approved: ApprovedThings) -> None:
        self._run = run
        self._uploads = Uploads(client)
        self._approved = approved
        self._minimum = run.parameters["orphan_min_age"]
        self._found: list[tuple[str, Upload, int]] = []
        self._sizes_are_known = True
        self.aborts = run.parameters[KIND] == "abort"

    def __len__(self) -> int:
        """How many are to be aborted."""
        return len(self._found)

    def share(self, matched: int) -> Share:
        """:param matched: the number of assets that have an object"""
        return Share("uploads", len(self._found), matched + len(self._found))

    def plan(self) -> None:
        listing = self._run.plan[KIND]
        try:
            for asset_id, upload, size in self._old():
                if self.aborts:
                    if not self._approved.accepts("uploads", asset_id, upload):
                        continue
                    self._found.append((asset_id, upload, size))
                listing.add_sized([(asset_id, size)])
        except RequestRefusedError:
            self._lack("which uploads were not completed", "s3:ListBucketMultipartUploads")

    def apply(self) -> None:
        if self.aborts:
            settling.each(self._run, "uploads", self._found, self._abort)

    def _old(self) -> Iterator[tuple[str, Upload, int]]:
        """The id, the upload and the bytes of each upload that is old enough."""
        listed = self._run.progress.counted(self._uploads.all(), "uploads found")
        found = ((match[1], upload) for upload in listed if (match := KEY.fullmatch(upload.key)))
        old = ((asset_id, upload) for asset_id, upload in found if upload.age >= self._minimum)
        while chunk := list(itertools.islice(old, CHUNK)):
            for (asset_id, upload), parts in zip(chunk, self._parts([upload for _id, upload in chunk]), strict=True):
                if parts and self._is_old(parts):
                    yield asset_id, upload, parts.bytes

    def _is_old(self, parts: Parts) -> bool:
        return parts.age is None or parts.age >= self._minimum

    def _parts(self, uploads: list[Upload]) -> list[Parts | None]:
        """The parts of uploads. If it is not allowed to ask, they are unknown: nothing of them is known to be young.

        Then uploads are reported without bytes, but none is aborted, because it may be in progress.
        """
        if self._sizes_are_known:
            try:
                return self._uploads.parts(uploads)
            except RequestRefusedError:
                self._sizes_are_known = False
                what = "how large uploads are that were not completed, and whether they are in progress"
                self._lack(what, "s3:ListMultipartUploadParts")
        return [None if self.aborts else Parts(0, None)] * len(uploads)

    def _lack(self, what: str, right: str) -> None:
        failure = ("uploads", self._run.settings.object_storage().bucket) if self.aborts else None
        settling.lack(self._run, KIND, what, settling.denied(right), failure)

    def _abort(self, found: list[tuple[str, Upload, int]]) -> None:
        # The second look: a part may have been written since the listing.
        parts = self._uploads.parts([upload for _id, upload, _size in found])
        old = [
            record
            for record, now in zip(found, parts, strict=True)
            if now and self._is_old(now) and now.bytes == record[2]
        ]
        kept = {upload.upload_id: asset_id for asset_id, upload, _size in old}
        left = {upload.upload_id: asset_id for asset_id, upload, _size in found}
        audit, done = self._run.audit.batch(), self._run.done[KIND]
        audit.deleting({"uploads": list(kept.values())})
        try:
            for asset_id, upload, size in old:
                try:
                    is_gone = self._uploads.abort(upload)
                except RequestRefusedError:
                    del left[upload.upload_id]
                    self._run.fail("uploads", asset_id, "this is not allowed: s3:AbortMultipartUpload")
                    continue
                # An upload that somebody completed meanwhile is an object now.
                if is_gone:
                    done.add_sized([(asset_id, size)])
                    del kept[upload.upload_id], left[upload.upload_id]
        except MaintenanceError:
            audit.not_deleted(certain=False)
            raise
        audit.deleted({}, {"uploads": list(kept.values())})
        settling.log_left(self._run, left.values())
