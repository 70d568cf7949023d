# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One execution of a job: its options and connections, and the record of what it set out to do and did."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .base import journal
from .base.deadline import Budget, Deadline
from .base.log import JobLog
from .base.progress import Progress
from .record import effects
from .record.approval import Approval
from .record.audit import AuditLog
from .record.effects import Effects
from .systems.database import Database
from .systems.settings import Settings
from .systems.snapshots import Visibility
from .systems.write_gate import WriteGate


@dataclass
class Run:
    """One execution of a job.

    :ivar job_type: the job
    :ivar parameters: the job's own parameters
    :ivar options: all options of the module
    :ivar budget: the deadline for the object storage and the cloud, which is nearer while a batch holds locks
    :ivar gate: closed in a preview
    :ivar now: the database server's clock, UTC, read once; only where the job uses the database
    :ivar audit: closed in a preview, and if the operator asks for no audit log
    :ivar plan: the effects that the run sets out to have
    :ivar done: the effects that are confirmed
    :ivar changed_more: whether the run changed something that is not in ``done``
    :ivar failures: the first things that could not be done, each with kind, id and reason
    :ivar failure_count: the number of all things that could not be done
    :ivar approval: the preview that the operator approved, if the run is held to one
    :ivar visibility: tells what came or was changed after that preview
    :ivar preview: the approval that a preview gives
    :ivar roots: the ids of everything that the plan decided on, by kind; only in a preview, for its approval
    :ivar more: return values that only this job has
    :ivar affected: the number of things that the plan touches, for the safety limits
    """

    job_type: str
    parameters: dict[str, Any]
    options: dict[str, Any]
    settings: Settings
    deadline: Deadline
    budget: Budget
    gate: WriteGate
    log: JobLog
    audit: AuditLog
    progress: Progress
    plan: Effects = field(default_factory=lambda: Effects({}))
    done: Effects = field(default_factory=lambda: Effects({}))
    changed_more: bool = False
    failures: list[dict[str, Any]] = field(default_factory=list)
    failure_count: int = 0
    shared_folders_left_behind: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    skipped: bool = False
    affected: int = 0
    roots: dict[str, list[str]] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    approval: Approval | None = None
    visibility: Visibility | None = None
    preview: Approval | None = None
    now: datetime = field(init=False)
    database: Database = field(init=False)

    def warn(self, text: str) -> None:
        """Warn in the result and in the log."""
        self.warnings.append(text)
        self.log.warn(text)

    def fail(self, kind: str, identifier: str, reason: str) -> None:
        """Record that a thing stays as it is. The result names only the first ones, but at least one. The journal has all."""
        self.audit.failed(kind, identifier, reason)
        limit = max(1, min(self.options["report_limit"], effects.LISTED_AFTER_FAILURE))
        self.failure_count += 1
        journal.write(self.job_type, f"{kind} {identifier}: {reason}", journal.WARNING)
        if self.failure_count > limit:
            if self.failure_count == limit + 1:
                self.log.error(
                    "More things stay as they are, which are counted only; the journal of this host names them"
                )
            return
        self.failures.append({"kind": kind, "id": identifier, "reason": reason})
        self.log.error(f"{kind} {identifier}: {reason}")
