# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of every run: options, settings, lock, plan, safety limits, then apply or report."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from datetime import timezone
from typing import Any

from ansible.module_utils.basic import missing_required_lib

from ..base import options, paths
from ..base.deadline import Budget, Deadline
from ..base.errors import AuditLogError, IncompleteError, MaintenanceError, MissingLibraryError, ParameterError
from ..base.log import JobLog
from ..base.progress import Progress
from ..jobs import registry
from ..jobs.job import Job, Work
from ..record import safety
from ..record.approval import Approval
from ..record.audit import AuditLog
from ..record.effects import Effects
from ..run import Run
from ..systems import snapshots
from ..systems.database import Database
from ..systems.settings import Settings
from ..systems.write_gate import WriteGate
from . import lock, report
from .module import JobModule


def main(job_class: type[Job]) -> None:
    """Run a job as an Ansible module, and end the process with its result."""
    spec = registry.JOBS[job_class.job_type].argument_spec()
    module = JobModule(argument_spec=spec, supports_check_mode=True)
    log = JobLog()
    log.info("Starting job execution")
    try:
        run = _prepare(job_class, module, log)
    except MaintenanceError as error:
        message = registry.JOBS[job_class.job_type].with_variables(str(error))
        log.error(f"Job failed: {message}")
        _fail(module, error, message, {"job_type": job_class.job_type, "changed": False, "log": log.lines})
        return
    failure: MaintenanceError | None = None
    try:
        with run.progress.written(), _planned(job_class(run), run, check_mode=module.check_mode) as work:
            if work:
                work.apply()
    except MaintenanceError as error:
        failure = error
    _end(module, run, failure)


def _prepare(job_class: type[Job], module: JobModule, log: JobLog) -> Run:
    deadline = Deadline(module.params["timeout"])
    options.check(module.params)
    log.info("Loading parameters")
    return Run(
        job_type=job_class.job_type,
        parameters=registry.JOBS[job_class.job_type].parameters.values(module.params),
        options=module.params,
        settings=Settings(module.params["controller_config"], module.params, paths.environment()),
        deadline=deadline,
        budget=Budget(deadline, module.params.get("outside_timeout", math.inf)),
        gate=WriteGate(is_open=not module.check_mode),
        log=log,
        progress=Progress(job_class.job_type),
        audit=AuditLog(None if module.check_mode else module.params.get("audit_log"), job_class.job_type),
    )


@contextlib.contextmanager
def _planned(job: Job, run: Run, *, check_mode: bool) -> Iterator[Work | None]:
    """The work of a job after its plan was accepted, with an open session and the lock; None if nothing is to be done.

    :raises MaintenanceError: there is no plan, or it is refused, or something of it could not be done
    """
    url = run.settings.database_url() if job.uses_database else ""
    work = job.work()
    run.plan, run.done = Effects(work.listings()), Effects(work.listings())
    run.log.info(f"Executing {job.job_type.replace('_', '-')} job")
    run.log.info()
    if not job.uses_database:
        yield work
        return
    run.database = Database(
        url,
        deadline=run.deadline,
        read_only=not run.gate.is_open,
        application_name=lock.session_name(job.job_type, run.deadline.timeout),
    )
    try:
        if not (lock.is_free if check_mode else lock.acquire)(run.database, job.job_type):
            other = lock.other_run(run.database, job.job_type, run.deadline.timeout)
            run.skipped = True
            run.warnings.append(f"{other}.")
            run.log.info(other)
            yield None
            return
        _plan(job, work, run, check_mode=check_mode)
        yield None if check_mode else work
        _check_completeness(run)
    finally:
        lock.release(run.database)
        run.database.close()


def _plan(job: Job, work: Work, run: Run, *, check_mode: bool) -> None:
    """Make the plan, and check that the run may carry it out."""
    (run.now,) = run.database.row("SELECT now()")
    _approve(run)
    # It comes before the plan, so that the plan sees all that the snapshot has.
    snapshot = snapshots.take(run.database) if check_mode and "approved_plan" in run.options else None
    try:
        work.plan()
    except MaintenanceError:
        # A part of the plan would look like the whole plan.
        run.plan = Effects(work.listings())
        raise
    safety.check(
        run.affected,
        work.total,
        max_affected=run.options.get("max_affected"),
        max_percent=run.options.get("max_affected_percent"),
        shares=work.shares(),
    )
    work.check_plan()
    run.audit.planned(run.plan.counts(), **_rule(run))
    if snapshot:
        run.preview = Approval(
            job_type=job.job_type,
            parameters=run.parameters,
            database=snapshot.database,
            snapshot=snapshot.text,
            moment=run.now,
            roots=run.roots,
            counts=run.plan.counts(),
        )


def _rule(run: Run) -> dict[str, Any]:
    """What the run decides by, for the audit log."""
    rule: dict[str, Any] = {"parameters": run.parameters, "moment": run.now.astimezone(timezone.utc).isoformat()}
    if run.approval:
        by = run.options["approved_by"]
        rule["approval"] = {"moment": rule["moment"], **({"by": by} if by else {})}
    return rule


def _check_completeness(run: Run) -> None:
    if run.failure_count:
        first = run.failures[0]
        raise IncompleteError(
            f"Not everything could be done: {run.failure_count} things stay as they are, of which the entries in"
            f" failures name {len(run.failures)}, the first of them {first['kind']} {first['id']} ({first['reason']});"
            " mend the cause and run the job again."
        )


def _approve(run: Run) -> None:
    """Hold the run to the preview that the operator approved. Its moment becomes that of the run, so that both choose alike."""
    value = run.options.get("approved_plan")
    if value is None:
        return
    approval = Approval.from_option(value, run.job_type, run.parameters)
    snapshot = snapshots.Snapshot(approval.database, approval.snapshot)
    snapshots.check(run.database, snapshot)
    if approval.moment > run.now:
        raise ParameterError(
            "The option approved_plan is from a moment that the database server's clock has not reached yet; take it from a"
            " preview on the same database."
        )
    run.now = approval.moment
    run.approval, run.visibility = approval, snapshots.Visibility(snapshot)


def _end(module: JobModule, run: Run, failure: MaintenanceError | None) -> None:
    """End the audit log and the process."""
    try:
        status = "failed" if failure else "skipped" if run.skipped else "succeeded"
        run.audit.ended(status, run.done.counts(), run.failure_count)
    except AuditLogError as error:
        failure = failure or error
    message = registry.JOBS[run.job_type].with_variables(str(failure))
    if failure is not None:
        if left_out := report.left_out(run):
            run.warn(left_out)
        run.log.error(f"Job failed: {message}")
    else:
        run.log.info()
        run.log.info("Job finished successfully")
    duration = None if module.params["hide_duration"] else run.deadline.elapsed()
    if duration is not None:
        run.log.info(f"Duration: {duration:.3f}s")
    values = report.result(run, check_mode=module.check_mode, failed=failure is not None, duration=duration)
    for warning in run.warnings:
        module.warn(warning)
    if run.preview and not failure:
        values["approval"] = run.preview.as_result()
    if module._diff:
        values["diff"] = report.diff(run.plan if module.check_mode else run.done)
    if failure is not None:
        _fail(module, failure, message, values)
    module.exit_json(**values)


def _fail(module: JobModule, error: MaintenanceError, message: str, values: dict[str, Any]) -> None:
    if isinstance(error, MissingLibraryError):
        module.fail_json(msg=missing_required_lib(error.library), exception=error.traceback, **values)
    module.fail_json(msg=message, **values)
