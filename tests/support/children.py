# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in forked processes. It is as independent as on another host, but needs no time to start a new Python."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

_FORK = multiprocessing.get_context("fork")


class Child:
    """A forked process that runs one function.

    :param work: runs in the process; its result must be picklable
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self._answers, answering = _FORK.Pipe(duplex=False)
        self._process = _FORK.Process(target=_answer, args=(answering, work), daemon=True)
        self._process.start()
        answering.close()

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def result(self, timeout: float = 60) -> Any:
        """The result of the work. An error of the work is raised here."""
        assert self._answers.poll(timeout), "the process neither answers nor ends"
        succeeded, value = self._answers.recv()
        self._end(timeout)
        assert succeeded, value
        return value

    def was_killed(self, timeout: float = 60) -> bool:
        """Wait until the process ends, and return whether SIGKILL ended it."""
        self._end(timeout)
        return self._process.exitcode == -signal.SIGKILL

    def _end(self, timeout: float) -> None:
        self._process.join(timeout)
        assert not self.running, "the process does not end"
        self._answers.close()


def _answer(answering: Connection, work: Callable[[], Any]) -> None:
    try:
        answer = True, work()
    except BaseException:
        answer = False, traceback.format_exc()
    answering.send(answer)
