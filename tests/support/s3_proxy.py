# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recording proxy for S3. It knows the operations, and can refuse single keys in place of the storage."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from support.object_storage import ObjectStorageServer
from support.recording_server import Answer, RecordingProxy, Request

_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"

_LISTINGS = {
    "versioning": "GetBucketVersioning",
    "versions": "ListObjectVersions",
    "uploads": "ListMultipartUploads",
    "uploadId": "ListParts",
}
# The element of a listing that says when something was written.
_WRITTEN = {
    "Contents": "LastModified",
    "Version": "LastModified",
    "DeleteMarker": "LastModified",
    "Upload": "Initiated",
}


class S3Proxy(RecordingProxy):
    """A proxy in front of a running S3 server."""

    def __init__(self, server: ObjectStorageServer) -> None:
        super().__init__(server.endpoint)
        self._client = server.client()

    def operation(self, request: Request) -> str:
        if request.method == "POST" and "delete" in request.query:
            return "DeleteObjects"
        if request.method == "GET":
            for parameter, name in _LISTINGS.items():
                if parameter in request.query:
                    return name
            return "ListObjectsV2" if "list-type" in request.query else "GetObject"
        if request.method == "DELETE" and "uploadId" in request.query:
            return "AbortMultipartUpload"
        if request.method == "HEAD":
            return "HeadObject" if "/" in request.path.strip("/") else "HeadBucket"
        return request.method

    @property
    def deletions(self) -> list[list[str]]:
        """The keys of each DeleteObjects request so far."""
        return [
            [entry["Key"] for entry in _entries(request.body)]
            for request in self.writes
            if request.operation == "DeleteObjects"
        ]

    def make_older(self, keys: set[str], age: timedelta) -> None:
        """From now on, listings show what these keys have as if it were that much older."""

        def answer(request: Request) -> Answer:
            status, headers, body = self.answer(request)
            root = ElementTree.fromstring(body)
            found = [(entry, entry, _WRITTEN.get(entry.tag.removeprefix(_NAMESPACE), "")) for entry in root]
            found += [(root, part, "LastModified") for part in root.iterfind(f"{_NAMESPACE}Part")]
            for named, entry, element in found:
                modified = entry.find(f"{_NAMESPACE}{element}")
                if unquote_plus(named.findtext(f"{_NAMESPACE}Key", "")) in keys and modified is not None:
                    written = datetime.fromisoformat(str(modified.text).replace("Z", "+00:00"))
                    modified.text = f"{written - age:%Y-%m-%dT%H:%M:%S.%fZ}"
            return status, headers, ElementTree.tostring(root)

        listings = {"ListObjectsV2", "ListObjectVersions", "ListMultipartUploads", "ListParts"}
        self.fault(answer, lambda request: request.operation in listings)

    def refuse_keys(self, codes: dict[str, str]) -> None:
        """From now on, DeleteObjects does not delete these keys, and reports an error code for each of them."""

        def answer(request: Request) -> Answer:
            bucket = request.path.strip("/").partition("?")[0].partition("/")[0]
            entries = _entries(request.body)
            deleted = [entry for entry in entries if entry["Key"] not in codes]
            refused = [{**entry, "Code": codes[entry["Key"]]} for entry in entries if entry["Key"] in codes]
            if deleted:
                answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": deleted})
                refused += answer.get("Errors", [])
                deleted = answer.get("Deleted", [])
            root = ElementTree.Element("DeleteResult", xmlns=_NAMESPACE.strip("{}"))
            for entry in deleted:
                ElementTree.SubElement(ElementTree.SubElement(root, "Deleted"), "Key").text = entry["Key"]
            for entry in refused:
                error = ElementTree.SubElement(root, "Error")
                for name, value in {**entry, "Message": "refused"}.items():
                    ElementTree.SubElement(error, name).text = value
            return 200, {"Content-Type": "application/xml"}, ElementTree.tostring(root)

        self.fault(answer, lambda request: request.operation == "DeleteObjects")


def _entries(body: bytes) -> list[dict[str, str]]:
    root = ElementTree.fromstring(body)
    return [
        {child.tag.removeprefix(_NAMESPACE): child.text or "" for child in entry}
        for entry in root
        if entry.tag.removeprefix(_NAMESPACE) == "Object"
    ]
