# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many requests a server gets at once."""

from __future__ import annotations

import threading
import time

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.clouds.pace import QUICK, ROUND, SLOW, Pace


def answers(pace: Pace, *seconds: float, rounds: int = 1, kind: str = "DELETE") -> int:
    """Let a server answer so many rounds, and return how many requests it gets at once after that."""
    for number in range(rounds * ROUND):
        pace.took(kind, seconds[number % len(seconds)])
    return pace.allowed


def test_slower_answers_mean_fewer_requests_and_quick_ones_more() -> None:
    pace = Pace(4)
    assert answers(pace, 0.5, rounds=3) == 4
    assert answers(pace, 0.7 * SLOW) == 2
    assert answers(pace, 0.7 * SLOW) == 1
    assert answers(pace, 0.7 * SLOW) == 1
    assert answers(pace, 0.5) == 2
    assert answers(pace, 0.5, rounds=9) == 4


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param([QUICK / 100, QUICK * 2], id="quick answers differ by chance"),
        pytest.param([0.5, 0.5, 0.5, 0.5, 60], id="few are slow"),
        pytest.param([0.5, 1.4], id="not slow enough"),
    ],
)
def test_pace_is_kept(seconds: list[float]) -> None:
    assert answers(Pace(4), *seconds, rounds=20) == 4


def test_answers_of_other_kinds_are_not_compared() -> None:
    pace = Pace(4)
    answers(pace, 0.2, kind="gone")
    assert answers(pace, 2.0, kind="deleted", rounds=3) == 4


def test_server_that_became_slower_for_good_gets_as_many_again() -> None:
    pace = Pace(4)
    answers(pace, 0.2)
    assert answers(pace, 1.0) == 2
    assert answers(pace, 1.0, rounds=40) == 4


def test_turns_are_as_many_as_are_allowed() -> None:
    pace, lock, free, at_once = Pace(3), threading.Lock(), threading.Semaphore(0), list[int]()
    inside = 0

    def request() -> None:
        nonlocal inside
        with pace.turn():
            with lock:
                inside += 1
                at_once.append(inside)
            free.acquire()
            with lock:
                inside -= 1

    threads = [threading.Thread(target=request, daemon=True) for _unused in range(9)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 60
    for done in range(9):
        while len(at_once) < min(9, 3 + done):
            assert time.monotonic() < end, at_once
            time.sleep(0.001)
        free.release()
    for thread in threads:
        thread.join()
    assert max(at_once) == 3


def test_request_about_an_answer_needs_no_turn_of_its_own() -> None:
    pace = Pace(1)
    with pace.turn(), pace.turn():
        pass
    with pace.turn():
        pass


def test_turn_is_given_back_after_an_error() -> None:
    pace = Pace(1)
    for _unused in range(2):
        with pytest.raises(ValueError), pace.turn():
            raise ValueError
