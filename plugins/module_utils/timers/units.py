# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names that the role timers gives to what belongs to a job."""

from __future__ import annotations

# systemd makes it for the services (StateDirectory). run_metrics.py leaves a file for each job there.
STATE_DIRECTORY = "/var/lib/opentalk-maintenance"


def unit(job_type: str, kind: str) -> str:
    """The name of the job's unit of that kind, service or timer."""
    return f"opentalk-maintenance-{job_type.replace('_', '-')}.{kind}"


def state_file(job_type: str) -> str:
    """The name of the file in the state directory that tells of the job's last run."""
    return f"{job_type}.json"
