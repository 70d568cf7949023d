# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables that set the options of a job in the playbooks."""

from __future__ import annotations

import datetime
import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.opentalk.maintenance.plugins.module_utils.base import options
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import ParameterError
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOB_TYPES, JOBS

COMMON = "opentalk_maintenance"
# Variables of the playbooks that are no options.
_OTHERS = {f"{COMMON}_{name}": name for name in ("hosts", "job")}


def variables_of(job_type: str) -> dict[str, str]:
    """The variables that set options of a job, with the option of each. If two set the same option, the later one wins."""
    registration = JOBS[job_type]
    own = {*registration.parameters.properties, *options.APPROVAL, *options.PERSONS}
    found = {}
    for option in registration.argument_spec():
        if option not in own:
            found[f"{COMMON}_{option}"] = option
        if option in own or option in options.SAFETY:
            found[f"{job_type}_{option}"] = option
    return found


def variable(job_type: str, option: str) -> str:
    """The variable that sets an option of a job. If there are two, it is the one with the job's name."""
    return {of: name for name, of in variables_of(job_type).items()}[option]


def gather(
    job_type: Any,
    variables: Mapping[str, Any],
    template: Callable[[dict[str, Any]], dict[str, Any]],
    undefined: type[Exception],
) -> dict[str, Any]:
    """The options of a job that variables set.

    :param job_type: the name of the job
    :param variables: all variables of the host, before Ansible has evaluated their templates
    :param template: evaluates the templates in a dictionary, and leaves out entries that are omitted
    :param undefined: the error of a template that uses a variable which is not defined
    :returns: the options as numbers, text, lists and dictionaries
    :raises ParameterError: there is no such job or variable, or a variable cannot be evaluated
    """
    if job_type not in JOB_TYPES:
        raise ParameterError(f"There is no job {job_type}; the jobs are {', '.join(JOB_TYPES)}.")
    problems = _unknown(job_type, variables)
    if problems:
        raise ParameterError(" ".join(problems))
    found: dict[str, Any] = {}
    for name, option in variables_of(job_type).items():
        if name in variables:
            found.update(_value(name, option, variables, template, undefined))
    return found


def _unknown(job_type: str, names: Iterable[str]) -> list[str]:
    """A sentence for every variable with a prefix of the job that sets nothing."""
    own = variables_of(job_type)
    # The variables for all jobs may have options that this job lacks.
    common = {
        name: of for each in JOB_TYPES for name, of in variables_of(each).items() if name.startswith(f"{COMMON}_")
    }
    known = {**common, **_OTHERS, **own}
    return [
        _sentence(name, prefix, known)
        for prefix in (job_type, COMMON)
        for name in sorted(names)
        if name.startswith(f"{prefix}_") and name not in known
    ]


def _sentence(name: str, prefix: str, known: dict[str, str]) -> str:
    # If an option has two variables, the one with this prefix comes last and is named.
    ordered = sorted(known.items(), key=lambda pair: pair[0].startswith(f"{prefix}_"))
    by_option = {option: variable for variable, option in ordered}
    similar = difflib.get_close_matches(name.removeprefix(f"{prefix}_"), by_option, n=1)
    if similar:
        return f"The variable {name} sets nothing; did you mean {by_option[similar[0]]}?"
    return f"The variable {name} sets nothing; correct its name, or remove it."


def _value(
    name: str,
    option: str,
    variables: Mapping[str, Any],
    template: Callable[[dict[str, Any]], dict[str, Any]],
    undefined: type[Exception],
) -> dict[str, Any]:
    """The option with its value, or nothing if it is omitted. No error has the value or the template, which may be secret."""
    try:
        found = _plain(template({option: variables[name]}))
    except undefined:
        raise ParameterError(
            f"The variable {name} uses a variable that is not defined; define that one, or remove {name}."
        ) from None
    except Exception:  # the text of whatever a filter raises may have the value in it
        raise ParameterError(
            f"The variable {name} cannot be evaluated; correct its template, or give Ansible the vault password that it needs."
        ) from None
    # Up to ansible-core 2.18, the variable omit is a text that stands for an option that is left out.
    omitted = "omit" in variables and found.get(option) == variables["omit"]
    return {} if omitted else found


def _plain(value: Any) -> Any:
    """The value in a form that ansible-core 2.17 and 2.18 can turn into text and back, as they do with every template."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if value is None or isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return value.isoformat() if isinstance(value, datetime.date) else str(value)
