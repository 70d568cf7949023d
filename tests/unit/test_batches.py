# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in batches: their sizes, and what becomes of rows that are locked."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.deadline import Deadline
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import (
    DatabaseError,
    DeadlineExceeded,
    LockTimeoutError,
    OutsideTimeoutError,
    PauseError,
    RowsRefusedError,
    TransientDatabaseError,
)
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.batches import (
    ATTEMPTS,
    FIRST,
    LOCK_ATTEMPTS,
    LOCK_PAUSE,
    MOST_LOCKED,
    MOST_SLOW,
    TARGET,
    Batches,
    BatchSizer,
)

Work = Callable[[list[str]], "float | None"]


class Patient(Deadline):
    """A deadline that writes down how long somebody wants to sleep, and does not."""

    def __init__(self) -> None:
        super().__init__(1000)
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        if seconds >= self.remaining():
            raise self.exceeded()
        self.slept.append(seconds)


class Running:
    """One run over rows called 0, 1 and so on.

    :ivar tried: the batches that were begun
    :ivar left: the rows that were left, with the reason
    :ivar done: the number of rows of which the progress was told
    """

    def __init__(self, worker: Work, largest: int = 1000) -> None:
        self.tried: list[list[str]] = []
        self.left: dict[str, str] = {}
        self.done = 0
        self.deadline = Patient()
        self._worker = worker
        self._largest = largest

    def run(self, number: int) -> None:
        batches = Batches(
            map(str, range(number)),
            self.left.__setitem__,
            self.deadline,
            largest=self._largest,
            progress=self._advance,
        )
        for batch in batches:
            with batches.attempt(batch):
                self.tried.append(batch.things)
                batch.waited = self._worker(batch.things) or 0.0

    def _advance(self, number: int) -> None:
        self.done += number


def deadlock() -> TransientDatabaseError:
    return TransientDatabaseError("A deadlock.", "a deadlock")


def lock_timeout() -> LockTimeoutError:
    return LockTimeoutError("A lock.", "it is locked")


@pytest.mark.parametrize(
    ("largest", "worthwhile", "took", "size"),
    [
        (1000, 1, [], FIRST),
        (7, 1, [], 7),
        (1000, 300, [], 300),
        (50, 300, [], 50),
        (1000, 1, [(100, 0.5 * TARGET, 0)], 200),
        (1000, 1, [(100, 0.001, 0)], 400),
        (1000, 1, [(100, 0.001, 0), (400, 0.001, 0)], 1000),
        (1000, 1, [(100, 2 * TARGET, 0)], 50),
        (1000, 1, [(100, 60, 0)], 25),
        (1000, 1, [(1, 60, 0)], 1),
        # Time that another server took shrinks batches to what is worthwhile, time of the database further.
        (1000, 80, [(100, 60, 59.5)], 80),
        (1000, 80, [(100, 60, 0)], 25),
    ],
)
def test_size_makes_a_batch_take_the_right_time(
    largest: int, worthwhile: int, took: list[tuple[int, float, float]], size: int
) -> None:
    sizer = BatchSizer(largest, worthwhile)
    for one in took:
        sizer.took(*one)
    assert sizer.size == size


def test_every_row_is_done_once_and_told() -> None:
    running = Running(lambda batch: None, largest=30)
    running.run(100)
    assert [row for batch in running.tried for row in batch] == [str(row) for row in range(100)]
    assert max(map(len, running.tried)) == 30 and running.done == 100 and running.left == {}


def test_locked_row_is_found_by_halves_and_left() -> None:
    def work(batch: list[str]) -> None:
        if "5" in batch:
            raise lock_timeout()

    running = Running(work)
    running.run(8)
    assert running.left == {"5": "it is locked"} and running.done == 8
    # In the order of the rows. Only the row itself is tried again. Nobody waits for a batch in the pauses.
    before = [list("01234567"), list("0123"), list("4567"), list("45"), list("4")]
    assert running.tried == [*before, *[["5"]] * LOCK_ATTEMPTS, list("67")]
    assert running.deadline.slept == [LOCK_PAUSE] * (3 + LOCK_ATTEMPTS)


def test_row_whose_lock_is_given_back_goes() -> None:
    failures = iter([lock_timeout()] * (LOCK_ATTEMPTS - 1))

    def work(batch: list[str]) -> None:
        for error in failures:
            raise error

    running = Running(work)
    running.run(1)
    assert running.left == {} and running.done == 1


def test_row_with_locks_and_deadlocks_in_turn_is_left() -> None:
    failures = itertools.cycle([lock_timeout(), lock_timeout(), deadlock()])

    def work(batch: list[str]) -> None:
        raise next(failures)

    running = Running(work)
    running.run(1)
    assert running.left.keys() == {"0"}


def test_deadlock_is_tried_again_before_rows_are_parted() -> None:
    failures = iter([deadlock()] * (ATTEMPTS - 1))

    def work(batch: list[str]) -> None:
        for error in failures:
            raise error

    running = Running(work)
    running.run(8)
    assert running.tried == [list("01234567")] * ATTEMPTS and running.left == {}
    assert running.deadline.slept == [0.1, 0.2]


def test_deadlock_that_strikes_every_time_leaves_the_row() -> None:
    def work(batch: list[str]) -> None:
        if "0" in batch:
            raise deadlock()

    running = Running(work)
    running.run(2)
    assert running.tried == [["0", "1"]] * ATTEMPTS + [["0"]] * ATTEMPTS + [["1"]]
    assert running.left == {"0": "a deadlock"}


def test_locked_table_ends_the_job() -> None:
    def work(batch: list[str]) -> None:
        raise lock_timeout()

    running = Running(work)
    with pytest.raises(LockTimeoutError):
        running.run(100)
    assert len(running.left) == MOST_LOCKED


def test_rows_that_the_database_refuses_are_left_however_many_they_are() -> None:
    def work(batch: list[str]) -> None:
        if any(int(row) % 2 for row in batch):
            raise RowsRefusedError("Refused.", "a trigger")

    running = Running(work, largest=64)
    running.run(200)
    assert running.left == {str(row): "a trigger" for row in range(200) if row % 2} and running.done == 200


def test_batch_for_which_other_servers_have_too_little_time_is_done_in_smaller_ones() -> None:
    def work(batch: list[str]) -> None:
        if len(batch) > 20:
            raise OutsideTimeoutError(10)

    running = Running(work, largest=64)
    running.run(200)
    assert FIRST > 20
    assert [len(batch) for batch in running.tried[:4]] == [FIRST, FIRST // 2, FIRST - FIRST // 2, FIRST // 2]
    assert running.left == {} and running.done == 200


def test_row_for_which_other_servers_take_too_long_is_left_unless_they_get_on() -> None:
    tries = iter([True, True, False])

    def work(batch: list[str]) -> None:
        if "0" in batch:
            error = OutsideTimeoutError(10)
            error.again = len(batch) == 1 and next(tries)
            raise error

    running = Running(work)
    running.run(2)
    assert running.tried == [["0", "1"], ["0"], ["0"], ["0"], ["1"]]
    assert list(running.left) == ["0"] and "took longer than 10 seconds" in running.left["0"]


def test_other_servers_that_take_too_long_for_every_row_end_the_job() -> None:
    def work(batch: list[str]) -> None:
        if int(batch[-1]) > 6:
            raise OutsideTimeoutError(10)

    running = Running(work, largest=4)
    with pytest.raises(OutsideTimeoutError):
        running.run(100)
    assert list(running.left) == [str(row) for row in range(7, 7 + MOST_SLOW)] and running.done == 7 + MOST_SLOW


def test_rows_that_take_too_long_here_and_there_are_left_however_many_they_are() -> None:
    def work(batch: list[str]) -> None:
        if any(int(row) % 2 for row in batch):
            raise OutsideTimeoutError(10)

    running = Running(work, largest=4)
    running.run(40)
    assert list(running.left) == [str(row) for row in range(40) if row % 2] and running.done == 40


def test_other_errors_end_the_job_at_once() -> None:
    def work(batch: list[str]) -> None:
        raise DatabaseError("Refused.")

    running = Running(work)
    with pytest.raises(DatabaseError):
        running.run(1000)
    assert len(running.tried) == 1 and running.left == {} and running.done == 0


def test_pause_is_kept_and_is_no_part_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = iter([PauseError(30), PauseError(12)])
    took: list[float] = []
    monkeypatch.setattr(BatchSizer, "took", lambda self, size, seconds, waited: took.append(waited))

    def work(batch: list[str]) -> float:
        for error in pauses:
            raise error
        return 1.5

    running = Running(work)
    running.run(3)
    assert running.tried == [list("012")] * 3 and running.deadline.slept == [30, 12] and took == [1.5]


def test_pause_beyond_the_timeout_ends_the_job() -> None:
    def work(batch: list[str]) -> None:
        raise PauseError(1001)

    running = Running(work)
    with pytest.raises(DeadlineExceeded):
        running.run(3)
    assert len(running.tried) == 1


def test_other_failure_ends_the_run() -> None:
    def work(batch: list[str]) -> None:
        if batch == ["2"]:
            raise DatabaseError("Refused.")

    running = Running(work, largest=1)
    with pytest.raises(DatabaseError):
        running.run(10)
    assert running.tried == [["0"], ["1"], ["2"]] and running.done == 2
