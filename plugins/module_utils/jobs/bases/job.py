# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a job is to the engine, and what the engine gives it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from ...base.deadline import Deadline
from ...base.log import JobLog
from ...base.progress import Progress
from ...record.audit import AuditLog
from ...record.effects import Effects, Listing
from ...record.plan_id import PlanIdentity
from ...record.safety import DefaultLimit
from ...systems.database import Database
from ...systems.settings import Settings
from ...systems.write_gate import WriteGate


@dataclass
class Run:
    """One run of a job.

    :ivar parameters: the job's own parameters
    :ivar options: all options of the module
    :ivar gate: closed in check mode
    :ivar now: the database server's clock, UTC, read once; only where the job uses the database
    :ivar audit: closed in check mode and where no audit log is asked for
    :ivar plan: what the run sets out to do
    :ivar done: what was confirmed done
    :ivar touched: whether something was changed that done does not tell of
    :ivar failures: the first things that could not be done: kind, id and reason of each
    :ivar failure_count: how many things could not be done
    :ivar identity: takes in the things that the plan deletes, where the job has such and the plan's id is wanted
    :ivar affected: how many things the plan touches, for the safety limits
    """

    parameters: dict[str, Any]
    options: dict[str, Any]
    settings: Settings
    deadline: Deadline
    gate: WriteGate
    log: JobLog
    audit: AuditLog
    progress: Progress
    plan: Effects = field(default_factory=lambda: Effects({}))
    done: Effects = field(default_factory=lambda: Effects({}))
    touched: bool = False
    failures: list[dict[str, Any]] = field(default_factory=list)
    failure_count: int = 0
    shared_folders_left_behind: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    skipped: bool = False
    affected: int = 0
    identity: PlanIdentity | None = None
    now: datetime = field(init=False)
    database: Database = field(init=False)

    def warn(self, text: str) -> None:
        """Warn in the result and in the log."""
        self.warnings.append(text)
        self.log.warn(text)


class Job(ABC):
    """A maintenance job: what it reads, and how it plans and applies.

    :cvar job_type: its name, which is the module's
    :cvar uses_database: whether it needs a database connection, and with it the lock
    :cvar default_limit: how much it may touch where the operator sets no limit, None for any number
    """

    job_type: ClassVar[str]
    uses_database: ClassVar[bool] = True
    default_limit: ClassVar[DefaultLimit | None] = None

    def __init__(self, run: Run) -> None:
        self.run = run

    def listings(self) -> dict[str, Listing]:
        """The kinds of things that the job reports, empty."""
        return {}

    def prepare(self) -> None:  # noqa: B027 - optional
        """Read the settings that the job needs.

        :raises MaintenanceError: one is missing or wrong
        """

    @abstractmethod
    def plan(self) -> None:
        """Fill the run's plan, without changing anything."""

    def total(self) -> int:
        """The number of things of which ``affected`` is a part, for the limit in percent."""
        return 0

    def check_plan(self) -> None:  # noqa: B027 - optional
        """Refuse a plan that is complete, but rests on something doubtful.

        :raises MaintenanceError: it is not carried out, and the check mode fails as well
        """

    @abstractmethod
    def apply(self) -> None:
        """Do what is planned, and fill the run's record of what was done."""

    def fail(self, kind: str, identifier: str, reason: str) -> None:
        """Record that something stays as it is; named are as many things as are listed of one kind, but at least one."""
        limit = max(1, self.run.options["report_limit"])
        self.run.failure_count += 1
        if self.run.failure_count > limit:
            if self.run.failure_count == limit + 1:
                self.run.log.error("More things stay as they are, which are counted only (see the option report_limit)")
            return
        self.run.failures.append({"kind": kind, "id": identifier, "reason": reason})
        self.run.log.error(f"{kind} {identifier}: {reason}")
