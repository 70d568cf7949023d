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


class S3Proxy(RecordingProxy):
    """A proxy in front of a running S3 server."""

    def __init__(self, server: ObjectStorageServer) -> None:
        super().__init__(server.endpoint)
        self._client = server.client()

    def operation(self, request: Request) -> str:
        if request.method == "POST" and "delete" in request.query:
            return "DeleteObjects"
        if request.method == "GET":
            for parameter, name in (("versioning", "GetBucketVersioning"), ("versions", "ListObjectVersions")):
                if parameter in request.query:
                    return name
            return "ListObjectsV2" if "list-type" in request.query else "GetObject"
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
        """From now on, listings show these objects as if they were that much older."""

        def answer(request: Request) -> Answer:
            status, headers, body = self.answer(request)
            root = ElementTree.fromstring(body)
            for entry in root.iterfind(f"{_NAMESPACE}Contents"):
                modified = entry.find(f"{_NAMESPACE}LastModified")
                if unquote_plus(entry.findtext(f"{_NAMESPACE}Key", "")) in keys and modified is not None:
                    written = datetime.fromisoformat(str(modified.text).replace("Z", "+00:00"))
                    modified.text = f"{written - age:%Y-%m-%dT%H:%M:%S.%fZ}"
            return status, headers, ElementTree.tostring(root)

        self.fault(answer, lambda request: request.operation == "ListObjectsV2")

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
