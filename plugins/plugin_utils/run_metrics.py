# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the metrics of a job's last run for Prometheus, in the text format.

The systemd unit runs this file after every run, also after a failed one, with the variables of ExecStopPost=:
https://www.freedesktop.org/software/systemd/man/systemd.exec.html#%24EXIT_CODE
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PREFIX = "opentalk_maintenance_last_"
_NEVER_STARTED = 255
_HELP = {
    "run_timestamp_seconds": "When the last run of the job ended on this host.",
    "success_timestamp_seconds": "When a run of the job on this host last did its work; 0 is never, skipped runs do not count.",
    "run_duration_seconds": "How long the last run took.",
    "run_exit_code": "The exit code of the last run, 128 and the number of the signal where one ended it.",
    "run_success": "Whether the last run succeeded or was skipped.",
    "run_skipped": "Whether the last run was skipped because another one was in progress.",
    "run_count": "How many things of each kind the last run deleted, changed or failed at.",
}


def samples(
    outcome: Mapping[str, Any], environment: Mapping[str, str], *, now: float, last_success: float
) -> list[tuple[str, dict[str, str], float]]:
    """The name without prefix, the further labels and the value of each sample.

    :param outcome: the outcome that the callback plugin job_log wrote; empty if it wrote none
    :param now: seconds since 1970, in UTC, as for ``last_success``
    :param last_success: the end of the last run that did its work before this one, 0 for never
    """
    success, skipped = environment.get("SERVICE_RESULT") == "success", bool(outcome.get("skipped"))
    known: list[tuple[str, dict[str, str], float]] = [
        ("run_timestamp_seconds", {}, now),
        ("success_timestamp_seconds", {}, now if success and not skipped else last_success),
        ("run_exit_code", {}, _exit_code(environment)),
        ("run_success", {}, int(success)),
        ("run_skipped", {}, int(skipped)),
    ]
    if "started" in outcome:
        known.append(("run_duration_seconds", {}, now - outcome["started"]))
    known.extend(("run_count", {"kind": kind}, count) for kind, count in outcome.get("counts", {}).items())
    return known


def text(job_type: str, values: list[tuple[str, dict[str, str], float]]) -> str:
    """The samples in Prometheus' text format."""
    lines = []
    for name, description in _HELP.items():
        selected = [(labels, value) for other, labels, value in values if other == name]
        if selected:
            lines += [f"# HELP {PREFIX}{name} {description}", f"# TYPE {PREFIX}{name} gauge"]
        for labels, value in selected:
            pairs = ",".join(f'{key}="{label}"' for key, label in {"job_type": job_type, **labels}.items())
            lines.append(f"{PREFIX}{name}{{{pairs}}} {value:.3f}".removesuffix(".000"))
    return "\n".join(lines) + "\n"


def _exit_code(environment: Mapping[str, str]) -> int:
    status = environment.get("EXIT_STATUS", "")
    if environment.get("EXIT_CODE") == "exited":
        return int(status)
    try:
        return 128 + signal.Signals[f"SIG{status}"].value
    except KeyError:
        return _NEVER_STARTED


def _last_success(path: Path) -> float:
    try:
        found = re.search(rf"^{PREFIX}success_timestamp_seconds\{{.*\}} ([\d.]+)$", path.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return float(found[1]) if found else 0


def _outcome(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):  # the run ended before it wrote the file, or meanwhile
        return {}


def _replace(path: Path, content: str) -> None:
    # The node exporter must never read half a file.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the metrics of a job's last run.")
    parser.add_argument("job_type")
    parser.add_argument("--result", type=Path, required=True, help="what the callback plugin job_log wrote")
    parser.add_argument("--output", type=Path, required=True, help="the text file")
    arguments = parser.parse_args()
    values = samples(
        _outcome(arguments.result), os.environ, now=time.time(), last_success=_last_success(arguments.output)
    )
    _replace(arguments.output, text(arguments.job_type, values))


if __name__ == "__main__":
    main()
