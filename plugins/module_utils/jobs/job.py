# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The base class of the jobs, and the work that a job gives to the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from ..record.effects import Listing
from ..record.safety import Share
from ..run import Run


class Work(Protocol):
    """The work of one run: it makes a plan, and carries it out."""

    def listings(self) -> dict[str, Listing]:
        """Empty listings of the kinds of things that the work reports."""

    def plan(self) -> None:
        """Fill the run's plan, without changing anything."""

    def total(self) -> int:
        """The number of all things, of which ``affected`` is a share, for the limit in percent."""

    def shares(self) -> list[Share]:
        """What the plan touches because one of two systems lacks it. A large share may come from a mistake."""

    def check_plan(self) -> None:
        """Refuse a complete plan that may come from a mistake, such as a wrong setting.

        :raises MaintenanceError: the plan is refused; a preview fails, too
        """

    def apply(self) -> None:
        """Carry out the plan, and fill the run's ``done``."""


class Job(ABC):
    """A maintenance job.

    :cvar job_type: the name of the job and of its module
    :cvar uses_database: whether it needs a session, and with it the lock
    """

    job_type: ClassVar[str]
    uses_database: ClassVar[bool] = True

    def __init__(self, run: Run) -> None:
        self.run = run

    @abstractmethod
    def work(self) -> Work:
        """Read the settings that the job needs, and give its work.

        :raises MaintenanceError: a setting is missing or wrong
        """
