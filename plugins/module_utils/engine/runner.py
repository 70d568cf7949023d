# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of every run: options, settings, lock, plan, safety limits, then apply or report."""

from __future__ import annotations

import os
from typing import Any

from ansible.module_utils.basic import missing_required_lib

from ..base import options
from ..base.deadline import Deadline
from ..base.errors import AuditLogError, IncompleteError, MaintenanceError, MissingLibraryError, ParameterError
from ..base.log import JobLog
from ..base.progress import Progress
from ..jobs import registry
from ..jobs.bases.job import Job, Run
from ..record import safety
from ..record.audit import AuditLog
from ..record.effects import Effects
from ..record.plan_id import ExpectedPlan, PlanIdentity, parse
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
        log.error(f"Job failed: {error}")
        _fail(module, error, {"job_type": job_class.job_type, "changed": False, "log": log.lines})
        return
    failure: MaintenanceError | None = None
    try:
        with run.progress.written():
            _execute(job_class(run), run, check_mode=module.check_mode)
    except MaintenanceError as error:
        failure = error
    failure = _end_audit(run, failure)
    if failure is not None:
        log.error(f"Job failed: {failure}")
    else:
        log.info()
        log.info("Job finished successfully")
    duration = None if module.params["hide_duration"] else run.deadline.elapsed()
    if duration is not None:
        log.info(f"Duration: {duration:.3f}s")
    values = report.result(job_class.job_type, run, check_mode=module.check_mode, duration=duration)
    for warning in run.warnings:
        module.warn(warning)
    if module.check_mode and run.identity and not failure:
        values["plan_id"] = run.identity.id()
    if module._diff:
        values["diff"] = report.diff(run.plan if module.check_mode else run.done)
    if failure is not None:
        _fail(module, failure, values)
    module.exit_json(**values)


def _prepare(job_class: type[Job], module: JobModule, log: JobLog) -> Run:
    deadline = Deadline(module.params["timeout"])
    options.check(module.params)
    log.info("Loading parameters")
    return Run(
        parameters=registry.JOBS[job_class.job_type].parameters.values(module.params),
        options=module.params,
        settings=Settings(module.params["controller_config"], module.params, os.environ),
        deadline=deadline,
        gate=WriteGate(is_open=not module.check_mode),
        log=log,
        progress=Progress(job_class.job_type),
        audit=AuditLog(None if module.check_mode else module.params.get("audit_log"), job_class.job_type),
    )


def _execute(job: Job, run: Run, *, check_mode: bool) -> None:
    url = run.settings.database_url() if job.uses_database else ""
    job.prepare()
    run.plan, run.done = Effects(job.listings()), Effects(job.listings())
    run.log.info(f"Executing {job.job_type.replace('_', '-')} job")
    run.log.info()
    if not job.uses_database:
        job.plan()
        job.apply()
        return
    run.database = Database(
        url,
        deadline=run.deadline,
        read_only=not run.gate.is_open,
        application_name=f"opentalk.maintenance {job.job_type}",
    )
    try:
        _execute_with_database(job, run, check_mode=check_mode)
    finally:
        lock.release(run.database)
        run.database.close()


def _execute_with_database(job: Job, run: Run, *, check_mode: bool) -> None:
    if not (lock.is_free if check_mode else lock.acquire)(run.database, job.job_type):
        run.skipped = True
        run.log.info("Another run of this job is in progress, so this one is skipped")
        return
    (run.now,) = run.database.row("SELECT now()")
    expected = _expected_plan(run, job.job_type)
    if "expected_plan_id" in run.options and (expected or check_mode):
        run.identity = PlanIdentity(job.job_type, run.now, expected)
    try:
        job.plan()
    except MaintenanceError:
        # A part of the plan would look like the whole plan.
        run.plan = Effects(job.listings())
        raise
    safety.check(
        run.affected,
        job.total,
        max_affected=run.options.get("max_affected"),
        max_percent=run.options.get("max_affected_percent"),
        shares=job.shares(),
    )
    job.check_plan()
    if run.identity:
        run.identity.check()
    if check_mode:
        return
    run.audit.planned(run.plan.counts())
    job.apply()
    if run.failure_count:
        first = run.failures[0]
        raise IncompleteError(
            f"Not everything could be done: {run.failure_count} things stay as they are, of which the entries in"
            f" failures name {len(run.failures)}, the first of them {first['kind']} {first['id']} ({first['reason']});"
            " mend the cause and run the job again."
        )


def _expected_plan(run: Run, job_type: str) -> ExpectedPlan | None:
    """The plan that the operator approved. Its moment becomes the moment of the run, so that both choose alike."""
    text = run.options.get("expected_plan_id")
    if text is None:
        return None
    expected = parse(text, job_type)
    if expected.now > run.now:
        raise ParameterError(
            "The option expected_plan_id is from a moment that the database server's clock has not reached yet;"
            " take it from a preview on the same database."
        )
    run.now = expected.now
    return expected


def _end_audit(run: Run, failure: MaintenanceError | None) -> MaintenanceError | None:
    """Write the last line of the audit log, and return the error with which the job ends."""
    status = "failed" if failure else "skipped" if run.skipped else "succeeded"
    try:
        run.audit.ended(status, run.done.counts(), run.failure_count)
    except AuditLogError as error:
        return failure or error
    return failure


def _fail(module: JobModule, error: MaintenanceError, values: dict[str, Any]) -> None:
    if isinstance(error, MissingLibraryError):
        module.fail_json(msg=missing_required_lib(error.library), exception=error.traceback, **values)
    module.fail_json(msg=str(error), **values)
