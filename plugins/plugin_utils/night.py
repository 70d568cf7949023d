# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The jobs of a night: which of them run, in which order, and what became of each."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import ParameterError
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOB_TYPES, NIGHT, ON_REQUEST
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import job_variables

PREFIX = "all_jobs_"
_JOBS, _KEEP_GOING = f"{PREFIX}jobs", f"{PREFIX}keep_going"


def decide(
    variables: Mapping[str, Any],
    template: Callable[[dict[str, Any]], dict[str, Any]],
    undefined: type[Exception],
) -> dict[str, Any]:
    """What a night does, after the variables of all jobs were checked.

    :param variables: all variables of the host, before Ansible has evaluated their templates
    :param template: evaluates the templates in a dictionary, and leaves out entries that are omitted
    :param undefined: the error of a template that uses a variable which is not defined
    :returns: ``jobs``, the names in the order of the night, and ``keep_going``, whether a failure stops no other job
    :raises ParameterError: a variable is wrong. The error names all mistakes that it can.
    """
    problems = [*_unknown(variables)]
    for job_type in JOB_TYPES:
        try:
            job_variables.gather(job_type, variables, template, undefined)
        except ParameterError as error:
            problems.append(str(error))
    if problems:
        raise ParameterError(" ".join(dict.fromkeys(problems)))
    own = {
        name: job_variables.evaluated(name, name, variables, template, undefined).get(name)
        for name in (_JOBS, _KEEP_GOING)
        if name in variables
    }
    return {"jobs": _jobs(own.get(_JOBS)), "keep_going": _is_true(own.get(_KEEP_GOING))}


def outcome(result: Mapping[str, Any], job_type: str, check_mode: bool) -> dict[str, str]:
    """What became of a job.

    :param result: what its module returned; empty if the job was not started
    :returns: ``job``, ``status`` (``done``, ``planned``, ``failed``, ``skipped`` or ``not run``), and ``text``, one line
    """
    planned, done = _counts(result.get("plan")), _counts(result.get("done"))
    if not result:
        status, text = "not run", "not run"
    elif result.get("failed") or result.get("unreachable"):
        # Further lines could be a traceback with data that must not be in a log.
        reason = (str(result.get("msg") or "").strip().splitlines() or ["no reason was given"])[0].removesuffix(".")
        status, text = "failed", f"failed. {reason}. Planned: {planned or 'nothing'}. Done: {done or 'nothing'}."
    elif result.get("skipped"):
        status, text = "skipped", "skipped, because another run of this job is in progress"
    elif check_mode:
        status, text = "planned", f"would be done: {planned or 'nothing'}"
    else:
        status, text = "done", f"planned: {planned or 'nothing'}; done: {done or 'nothing'}"
    return {"job": job_type, "status": status, "text": f"{job_type}: {text}"}


def _counts(effects: Any) -> str:
    """The number of things of each kind, such as ``events 4, rooms 4``. What is empty is left out."""
    counts = {kind: value["count"] for kind, value in (effects or {}).items() if "count" in value}
    return ", ".join(f"{kind} {count}" for kind, count in counts.items() if count)


def _unknown(variables: Mapping[str, Any]) -> list[str]:
    known = {name.removeprefix(PREFIX): name for name in (_JOBS, _KEEP_GOING)}
    found = []
    for name in sorted(name for name in variables if name.startswith(PREFIX) and name not in known.values()):
        similar = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
        advice = f"did you mean {known[similar[0]]}?" if similar else "correct its name, or remove it."
        found.append(f"The variable {name} sets nothing; {advice}")
    return found


def _jobs(value: Any) -> list[str]:
    if value is None:
        return list(NIGHT)
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ParameterError(f"The variable {_JOBS} must be a list of names of jobs; the jobs are {', '.join(NIGHT)}.")
    for name in names:
        if name in ON_REQUEST:
            raise ParameterError(f"The job {name} in {_JOBS} runs on request only; take it out of the list.")
        if name not in NIGHT:
            raise ParameterError(f"There is no job {name}, which {_JOBS} names; the jobs are {', '.join(NIGHT)}.")
    return [name for name in NIGHT if name in names]


def _is_true(value: Any) -> bool:
    words = {None: False, False: False, True: True, "false": False, "no": False, "true": True, "yes": True}
    key = value.lower() if isinstance(value, str) else value
    if not isinstance(key, (str, bool, type(None))) or key not in words:
        raise ParameterError(f"The variable {_KEEP_GOING} must be true or false.")
    return words[key]
