# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The audit log: JSON lines that say what is about to be deleted, and what became of it. Described in docs/audit-log.md.

Ids, counts and the names of kinds and tables only: no personal data. Of shared folders that somebody must remove by hand
also where they are.
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


class AuditLog:
    """Appends the lines of one run to a file.

    :param path: the file, which is made if it is not there, or None for no audit log
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
            self._open(path)
            self._write([{"event": "run_started"}], sync=True)

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def planned(self, counts: Mapping[str, int]) -> None:
        """Record how much of each kind the run sets out to do.

        :raises AuditLogError: it cannot be written
        """
        self._write([{"event": "planned", "counts": dict(counts)}])

    def ended(self, status: str, counts: Mapping[str, int], failures: int) -> None:
        """Record the end of the run, and close the file.

        :param status: ``succeeded``, ``failed`` or ``skipped``
        :param counts: how much of each kind was done
        :param failures: the number of things that stay although they were planned
        :raises AuditLogError: it cannot be written
        """
        line = {"event": "run_ended", "status": status, "counts": dict(counts), "failures": failures}
        self._write([line], sync=True)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def batch(self) -> AuditBatch:
        """The record of a batch that begins."""
        self._batches += 1
        return AuditBatch(self, self._batches)

    def _open(self, path: str) -> None:
        try:
            is_new = not os.path.exists(path)
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":  # the end of a line that a crash cut off
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
    """The record of what is deleted together."""

    def __init__(self, log: AuditLog, number: int) -> None:
        self._log = log
        self._number = number
        self._announced: dict[str, int] = {}

    @property
    def is_open(self) -> bool:
        return self._log.is_open

    def deleting(self, things: Mapping[str, list[str]]) -> None:
        """Record what is about to be deleted; on disk when this returns.

        :param things: ids by kind
        :raises AuditLogError: it cannot be written, so nothing may be deleted
        """
        self._announced = {kind: len(ids) for kind, ids in things.items() if ids}
        if self._announced:
            self._log._write(self._lines("deleting", things), sync=True)

    def left_behind(self, things: Iterable[dict[str, Any]]) -> None:
        """Record what cannot be deleted and will be known to nobody once the batch is committed; on disk on return.

        :param things: mappings with ``kind``, ``id``, and whatever it takes to find the thing
        :raises AuditLogError: it cannot be written, so the batch must not be committed
        """
        self._log._write([{"event": "left_behind", "batch": self._number, **thing} for thing in things], sync=True)

    def deleted(self, rows: Mapping[str, int], kept: Mapping[str, list[str]]) -> None:
        """Record that the batch is done, after its transaction was committed.

        :param rows: the number of deleted rows by table
        :param kept: what of that which was about to be deleted is still there, ids by kind
        :raises AuditLogError: it cannot be written
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
        """Record that the batch ended with an error, which is what matters, so that no further one is raised.

        :param certain: whether all of its rows are still there, else nobody knows
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
