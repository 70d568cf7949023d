# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines in the journal (syslog) of the host: a module has no other way out before its end, and a killed one none at all."""

from __future__ import annotations

import syslog
import threading

from .text import one_line

INFO, WARNING = syslog.LOG_INFO, syslog.LOG_WARNING
# The tag is one for the whole process.
_LOCK = threading.Lock()


def write(job_type: str, text: str, severity: int = INFO) -> None:
    """Write one line, tagged after the job, such as ``opentalk-maintenance-event-cleanup``.

    Where there is no syslog it goes nowhere.
    """
    with _LOCK:
        syslog.openlog(f"opentalk-maintenance-{job_type.replace('_', '-')}", syslog.LOG_PID, syslog.LOG_USER)
        syslog.syslog(severity, f"{job_type}: {one_line(text)}")
        syslog.closelog()
