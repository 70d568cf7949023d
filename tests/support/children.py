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

from support.limits import HANGS

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

    def result(self) -> Any:
        """The result of the work. An error of the work is raised here."""
        assert self._answers.poll(HANGS), "the process neither answers nor ends"
        succeeded, value = self._answers.recv()
        self._end()
        assert succeeded, value
        return value

    def kill(self) -> None:
        """End the process with SIGKILL."""
        self._process.kill()

    def was_killed(self) -> bool:
        """Wait until the process ends, and return whether SIGKILL ended it."""
        self._end()
        return self._process.exitcode == -signal.SIGKILL

    def _end(self) -> None:
        self._process.join(HANGS)
        assert not self.running, "the process does not end"
        self._answers.close()


def _answer(answering: Connection, work: Callable[[], Any]) -> None:
    try:
        answer = True, work()
    except BaseException:
        answer = False, traceback.format_exc()
    answering.send(answer)
