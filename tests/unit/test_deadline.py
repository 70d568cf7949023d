# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The moment at which a job must have ended."""

from __future__ import annotations

import threading
import time

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.deadline import Deadline
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import DeadlineExceeded


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock: what is in it at place 0."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_time_runs_out(clock: list[float]) -> None:
    deadline = Deadline(60)
    assert (deadline.remaining(), deadline.elapsed(), deadline.bound(10), deadline.bound(100)) == (60, 0, 10, 60)
    clock[0] += 59
    deadline.check()
    assert (deadline.remaining(), deadline.elapsed(), deadline.bound(10)) == (1, 59, 1)
    clock[0] += 1
    assert deadline.expired() and deadline.remaining() == 0
    clock[0] += 1000
    assert deadline.remaining() == 0
    for late in (deadline.check, lambda: deadline.bound(10), lambda: deadline.run(list), lambda: deadline.sleep(0)):
        with pytest.raises(DeadlineExceeded, match="timeout of 60 seconds"):
            late()


def test_wait_that_would_outlast_the_job_is_not_begun(clock: list[float]) -> None:
    deadline = Deadline(60)
    deadline.sleep(20)
    assert clock == [1020]
    with pytest.raises(DeadlineExceeded):
        deadline.sleep(40)
    assert clock == [1020]


def test_what_is_called_in_time_gives_its_result_or_its_error() -> None:
    deadline = Deadline(60)
    assert deadline.run(lambda: threading.current_thread() is threading.main_thread()) is False
    for error in (ValueError("wrong"), SystemExit(3)):

        def fail(error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)) as raised:
            deadline.run(fail)
        assert raised.value is error


def test_what_hangs_is_abandoned() -> None:
    """Its thread does not keep the process, either."""
    release, threads = threading.Event(), []

    def hang() -> None:
        threads.append(threading.current_thread())
        release.wait(20)

    deadline = Deadline(0.2)
    with pytest.raises(DeadlineExceeded):
        deadline.run(hang)
    assert threads[0].is_alive() and threads[0].daemon
    release.set()
