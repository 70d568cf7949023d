# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""self_check: prints log lines of every level, and changes nothing."""

from __future__ import annotations

from ..record.effects import Listing
from ..record.safety import Share
from .job import Job


class SelfCheck(Job):
    job_type = "self_check"
    uses_database = False

    def work(self) -> SelfCheck:
        return self

    def listings(self) -> dict[str, Listing]:
        return {}

    def plan(self) -> None:
        """There is nothing to plan."""

    def total(self) -> int:
        return 0

    def shares(self) -> list[Share]:
        return []

    def check_plan(self) -> None:
        """There is nothing to refuse."""

    def apply(self) -> None:
        log = self.run.log
        log.trace("Test output in TRACE level")
        log.debug("Test output in DEBUG level")
        log.info("Test output in INFO level")
        log.warn("Test output in WARN level")
        log.error("Test output in ERROR level")
