# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The base class of the jobs, and the run that the engine gives to a job."""

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
from ...record.safety import Share
from ...systems.database import Database
from ...systems.settings import Settings
from ...systems.write_gate import WriteGate


@dataclass
class Run:
    """One execution of a job.

    :ivar parameters: the job's own parameters
    :ivar options: all options of the module
    :ivar gate: closed in a preview
    :ivar now: the database server's clock, UTC, read once; only where the job uses the database
    :ivar audit: closed in a preview, and if the operator asks for no audit log
    :ivar plan: the effects that the run sets out to have
    :ivar done: the effects that are confirmed
    :ivar touched: whether the run changed something that is not in ``done``
    :ivar failures: the first things that could not be done, each with kind, id and reason
    :ivar failure_count: the number of all things that could not be done
    :ivar identity: makes the plan's id; None if the job has no plan id, or this run does not need it
    :ivar affected: the number of things that the plan touches, for the safety limits
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
    """A maintenance job. It reads settings, makes a plan and applies it.

    :cvar job_type: the name of the job and of its module
    :cvar uses_database: whether it needs a session, and with it the lock
    """

    job_type: ClassVar[str]
    uses_database: ClassVar[bool] = True

    def __init__(self, run: Run) -> None:
        self.run = run

    def listings(self) -> dict[str, Listing]:
        """Empty listings of the kinds of things that the job reports."""
        return {}

    def prepare(self) -> None:  # noqa: B027 - optional
        """Read the settings that the job needs.

        :raises MaintenanceError: a setting is missing or wrong
        """

    @abstractmethod
    def plan(self) -> None:
        """Fill the run's plan, without changing anything."""

    def total(self) -> int:
        """The number of all things, of which ``affected`` is a share, for the limit in percent."""
        return 0

    def shares(self) -> list[Share]:
        """What the plan touches because one of two systems lacks it. A large share may come from a mistake."""
        return []

    def check_plan(self) -> None:  # noqa: B027 - optional
        """Refuse a complete plan that may come from a mistake, such as a wrong setting.

        :raises MaintenanceError: the plan is refused; a preview fails, too
        """

    @abstractmethod
    def apply(self) -> None:
        """Carry out the plan, and fill the run's ``done``."""

    def fail(self, kind: str, identifier: str, reason: str) -> None:
        """Record that a thing stays as it is. Only the first ``report_limit`` things are named, but at least one."""
        limit = max(1, self.run.options["report_limit"])
        self.run.failure_count += 1
        if self.run.failure_count > limit:
            if self.run.failure_count == limit + 1:
                self.run.log.error("More things stay as they are, which are counted only (see the option report_limit)")
            return
        self.run.failures.append({"kind": kind, "id": identifier, "reason": reason})
        self.run.log.error(f"{kind} {identifier}: {reason}")
