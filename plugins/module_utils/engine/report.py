# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The result of a module: values and diff."""

from __future__ import annotations

import json
from typing import Any

from .job import Run
from .plan import Effects


def result(job_type: str, run: Run, *, check_mode: bool, duration: float | None) -> dict[str, Any]:
    """The return values that all jobs have.

    :param duration: seconds, or None where it shall not be shown
    """
    values = {
        "job_type": job_type,
        "changed": bool(run.plan) and not run.skipped if check_mode else bool(run.done),
        "skipped": run.skipped,
        "log": run.log.lines,
        "failures": run.failures,
        "shared_folders_left_behind": run.shared_folders_left_behind,
        "plan": run.plan.as_result(),
        "done": run.done.as_result(),
    }
    if duration is not None:
        values["duration"] = round(duration, 3)
    return values


def diff(effects: Effects) -> list[dict[str, str]]:
    """What goes or went, an entry for each kind of thing, as YAML."""
    entries = []
    for kind, values in effects.as_result().items():
        listing = effects.listings.get(kind)
        if values and values.get("count", True) and not (listing and listing.informative):
            lines = list(_yaml_lines(values))
            entries.append(
                {
                    "before_header": kind,
                    "after_header": kind,
                    "before": f"{kind}:\n" + "".join(f"  {line}\n" for line in lines),
                    "after": "",
                }
            )
    return entries


def _yaml_lines(values: dict[str, Any]) -> Any:
    # JSON scalars and flow mappings are YAML, so that no library is needed on the host for these few lines.
    for key, value in values.items():
        if isinstance(value, list):
            yield f"{key}:"
            for item in value:
                yield f"  - {item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)}"
        else:
            yield f"{key}: {json.dumps(value)}"
