# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds out how many requests a server can work on at once."""

from __future__ import annotations

import contextlib
import statistics
import threading
from collections.abc import Hashable, Iterator

# A server is slow when most answers take so many times as long as the quickest ones of their kind.
SLOW = 3.0
# Answers that come within so many seconds are never slow.
QUICK = 0.1
# Answers after which the number is thought over.
ROUND = 8
# How much longer the quickest answer of a kind counts as after each further one, so that a server may become slower for good.
_FORGET = 1.005


class Pace:
    """Limits how many requests are under way at once. Several threads may use it at the same time.

    While the server is slow, half as many requests are sent at once after each round of answers, down to one. While it is not,
    one more is sent after each round, up to the most.

    :param most: the most requests at once
    :ivar allowed: how many may be under way now
    """

    def __init__(self, most: int) -> None:
        self._most = self.allowed = most
        self._under_way = 0
        self._quickest: dict[Hashable, float] = {}
        self._round: list[float] = []
        self._changed = threading.Condition()
        self._own = threading.local()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until one more request may be under way, and send it in the block.

        A thread that needs another request to understand an answer, has its turn already.
        """
        if getattr(self._own, "turn", False):
            yield
            return
        with self._changed:
            self._changed.wait_for(lambda: self._under_way < self.allowed)
            self._under_way += 1
        self._own.turn = True
        try:
            yield
        finally:
            self._own.turn = False
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def took(self, kind: Hashable, seconds: float) -> None:
        """Take account of an answer.

        :param kind: answers of the same kind are compared with each other
        :param seconds: how long the answer took
        """
        with self._changed:
            quickest = self._quickest[kind] = min(seconds, self._quickest.get(kind, seconds) * _FORGET)
            self._round.append(seconds / max(quickest, QUICK))
            if len(self._round) == ROUND:
                slow = statistics.median(self._round) >= SLOW
                self.allowed = max(1, self.allowed // 2) if slow else min(self._most, self.allowed + 1)
                self._round.clear()
                self._changed.notify_all()
