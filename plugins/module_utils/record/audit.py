# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The audit log: JSON lines that say what is about to be deleted, and later what was deleted. See docs/audit-log.md.

The lines have ids, counts and the names of kinds and tables, but no personal data. Lines about shared folders that
somebody must remove by hand also say where these are.
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from ..base.errors import AuditLogError
from ..base.paths import native


class AuditLog:
    """Appends the lines of one run to a file.

    :param path: the file, which is created if it is missing, or None for no audit log
    :param job: the job's type
    :ivar run_id: a UUID in every line of this run
    :raises AuditLogError: the file cannot be opened or written
    """

    def __init__(self, path: str | None, job: str) -> None:
        self.run_id = str(uuid.uuid4())
        self._path = path
        self._common = {"job": job, "run": self.run_id, "host": socket.gethostname()}
        self._batches = 0
        self._file: int | None = None
        if path is not None:
            self._open(native(path))
            self._write([{"event": "run_started"}], sync=True)

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def planned(self, counts: Mapping[str, int], **rule: Any) -> None:
        """Record how many things of each kind the plan has.

        :param rule: what the run decided by: ``parameters``, ``moment``, and ``approval`` if it is held to one
        :raises AuditLogError: the file cannot be written
        """
        self._write([{"event": "planned", "counts": dict(counts), **rule}])

    def failed(self, kind: str, identifier: str, reason: str) -> None:
        """Record that a thing of the plan stays as it is.

        This raises no error. If the file cannot be written, the next batch or the end of the run says so.
        """
        with suppress(AuditLogError):
            self._write([{"event": "failed", "kind": kind, "id": identifier, "reason": reason}])

    def ended(self, status: str, counts: Mapping[str, int], failures: int) -> None:
        """Record the end of the run, and close the file.

        :param status: ``succeeded``, ``failed`` or ``skipped``
        :param counts: how many things of each kind were deleted or changed
        :param failures: how many things of the plan stay as they are
        :raises AuditLogError: the file cannot be written
        """
        line = {"event": "run_ended", "status": status, "counts": dict(counts), "failures": failures}
        self._write([line], sync=True)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def batch(self) -> AuditBatch:
        """Begin the record of the next batch."""
        self._batches += 1
        return AuditBatch(self, self._batches)

    def _open(self, path: str) -> None:
        try:
            is_new = not os.path.exists(path)
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":  # a crash cut off the last line
                os.write(self._file, b"\n")
            if is_new:
                self._sync_directory(path)
        except OSError as error:
            raise self._error(error) from None

    @staticmethod
    def _sync_directory(path: str) -> None:
        directory = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _write(self, lines: Iterable[dict[str, Any]], *, sync: bool = False) -> None:
        if self._file is None:
            return
        time = datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
        text = "".join(json.dumps({"time": time, **line, **self._common}) + "\n" for line in lines)
        data = memoryview(text.encode())
        try:
            while data:
                data = data[os.write(self._file, data) :]
            if sync:
                os.fsync(self._file)
        except OSError as error:
            raise self._error(error) from None

    def _error(self, error: OSError) -> AuditLogError:
        return AuditLogError(
            f"The audit log {self._path} cannot be written ({error.strerror}), and nothing is deleted without it;"
            " correct the option audit_log, or the permissions or the free space there."
        )


class AuditBatch:
    """The record of one batch."""

    def __init__(self, log: AuditLog, number: int) -> None:
        self._log = log
        self._number = number
        self._announced: dict[str, int] = {}

    @property
    def is_open(self) -> bool:
        return self._log.is_open

    def deleting(self, things: Mapping[str, list[str]], due: Mapping[str, str] | None = None) -> None:
        """Record what is about to be deleted. The lines are on the disk when this returns.

        :param things: ids by kind
        :param due: since when things may be deleted, by id, as far as this is known; ISO 8601, UTC
        :raises AuditLogError: the file cannot be written, so nothing may be deleted
        """
        self._announced = {kind: len(ids) for kind, ids in things.items() if ids}
        if self._announced:
            lines = self._lines("deleting", things)
            for line in lines:
                if due and line["id"] in due:
                    line["due"] = due[line["id"]]
            self._log._write(lines, sync=True)

    def left_behind(self, things: Iterable[dict[str, Any]]) -> None:
        """Record things that cannot be deleted, on the disk, before the commit deletes the rows that name them.

        :param things: mappings with ``kind``, ``id``, and the fields that say where the thing is
        :raises AuditLogError: the file cannot be written, so the batch must not be committed
        """
        self._log._write([{"event": "left_behind", "batch": self._number, **thing} for thing in things], sync=True)

    def deleted(self, rows: Mapping[str, int], kept: Mapping[str, list[str]]) -> None:
        """Record that the batch's transaction was committed.

        :param rows: the number of deleted rows by table
        :param kept: ids, by kind, of the announced things that are still there
        :raises AuditLogError: the file cannot be written
        """
        if self._announced:
            counts = {kind: number - len(kept.get(kind, ())) for kind, number in self._announced.items()}
            summary = {
                "event": "deleted",
                "batch": self._number,
                "counts": counts,
                "rows": {table: rows[table] for table in sorted(rows) if rows[table]},
            }
            self._log._write([*self._lines("kept", kept), summary])

    def not_deleted(self, *, certain: bool) -> None:
        """Record that the batch ended with an error. This raises no error, because it would hide the first one.

        :param certain: whether all rows of the batch are certainly still there
        """
        if self._announced:
            with suppress(AuditLogError):
                event = "rolled_back" if certain else "unknown"
                self._log._write([{"event": event, "batch": self._number}], sync=True)

    def _lines(self, event: str, things: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        return [
            {"event": event, "batch": self._number, "kind": kind, "id": identifier}
            for kind, ids in things.items()
            for identifier in ids
        ]
