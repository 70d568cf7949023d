# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines in the journal (syslog) of the host: the only output of a module before its end, and of a module that is killed."""

from __future__ import annotations

import syslog
import threading

from .text import one_line

INFO, WARNING = syslog.LOG_INFO, syslog.LOG_WARNING
# The whole process has one tag, so only one thread may set it and write at a time.
_LOCK = threading.Lock()


def tag(job_type: str) -> str:
    """The name under which a job's lines are in the journal, such as ``opentalk-maintenance-event-cleanup``."""
    return f"opentalk-maintenance-{job_type.replace('_', '-')}"


def write(job_type: str, text: str, severity: int = INFO) -> None:
    """Write one line with the job's tag.

    A host without syslog loses the line.
    """
    with _LOCK:
        syslog.openlog(tag(job_type), syslog.LOG_PID, syslog.LOG_USER)
        syslog.syslog(severity, f"{job_type}: {one_line(text)}")
        syslog.closelog()
