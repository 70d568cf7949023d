# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""self_check: prints log lines of every level, looks at what jobs need if that is wanted, and changes nothing."""

from __future__ import annotations

from ..base.errors import IncompleteError
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
        if self.run.parameters["connections"]:
            self._look_at_connections()

    def _look_at_connections(self) -> None:
        """:raises IncompleteError: something that jobs need does not work"""
        # It imports almost everything, which takes longer than all the rest of this job.
        from .parts import connection_checks

        found = self.run.more["connections"] = []
        for check in connection_checks.checks(self.run):
            found.append(check.as_item())
            write = self.run.log.error if check.status == connection_checks.FAILED else self.run.log.info
            write(
                f"{check.name}: {check.details if check.status != connection_checks.NOT_SET else f'not set, {check.details}'}"
            )
        failed = [entry["name"] for entry in found if entry["status"] == connection_checks.FAILED]
        if failed:
            raise IncompleteError(
                f"Jobs cannot use {', '.join(failed)}; mend what connections in the result says about it."
            )
