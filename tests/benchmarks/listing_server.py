# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An S3 server that lists any number of objects without storing them, for measuring memory."""

from __future__ import annotations

from support.recording_server import Answer, RecordingServer, Request

KEYS_PER_PAGE = 1000


class ListingServer(RecordingServer):
    """Lists `assets/<id>` for the ids from 0 on.

    :param objects: the number of objects
    :param size: the size of each object in bytes
    """

    def __init__(self, objects: int, size: int) -> None:
        super().__init__()
        self._objects, self._size = objects, size

    def answer(self, request: Request) -> Answer:
        headers = {"Content-Type": "application/xml"}
        if "uploads" in request.query:
            body = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
            return 200, headers, body.encode()
        if "list-type" not in request.query:
            return 200, headers, b"<VersioningConfiguration/>"
        first = int(request.query.get("continuation-token", ["0"])[0])
        last = min(first + KEYS_PER_PAGE, self._objects)
        entries = "".join(
            f"<Contents><Key>assets/{_uuid(number)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;0&quot;</ETag><Size>{self._size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for number in range(first, last)
        )
        more = f"<NextContinuationToken>{last}</NextContinuationToken>" if last < self._objects else ""
        truncated = "true" if more else "false"
        body = f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{more}{entries}</ListBucketResult>"
        return 200, headers, body.encode()


def _uuid(number: int) -> str:
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
