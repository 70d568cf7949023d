# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are held to a preview, while somebody else changes the database. What must stay is worked out row by row from
snapshots, without code of the collection."""

from __future__ import annotations

import functools
import itertools
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.deletion_run import DeletionRun

from support.cases import CASES, Case
from support.messages import is_sentence
from support.snapshot import Snapshot, removed
from support.tangle import Tangle
from support.world import World

# A table and the text of one of its rows.
Row = tuple[str, str]
# The most rows that are added to find one that belongs to a root.
MOST_ADDED = 10


def _touched(case: Case, before: Snapshot, roots: set[str]) -> set[Row]:
    """The rows that go or are changed if these roots go."""
    return {(table, row) for table, rows in removed(before, case.effect(before, roots)).items() for row in rows}


class HeldRun:
    """A preview of a job on a tangled database, its approval, and a run that is held to it.

    :param name: a key of :data:`support.cases.CASES`
    :param seed: chooses the parameters
    """

    def __init__(self, world: World, tangle: Tangle, name: str, seed: int) -> None:
        self.world, self.tangle, self._name, self._seed = world, tangle, name, seed
        self.before = world.rows()
        self.case = self._chosen(self.before)
        self.preview = world.run(self.case.module, check_mode=True, report_limit=0, **self.case.options)
        assert not self.preview.get("failed"), self.preview.get("msg")
        self.approval = json.loads(json.dumps(self.preview["approval"]))
        assert set(self.approval["roots"][self.case.table]) == self.case.roots
        self.later: set[Row] = set()

    @functools.cached_property
    def rows(self) -> dict[str, set[Row]]:
        """For each root, the rows that would go or be changed if only this root went."""
        return {root: _touched(self.case, self.before, {root}) for root in self.case.roots}

    def _chosen(self, rows: Snapshot) -> Case:
        return CASES[self._name](random.Random(self._seed), rows, self.tangle.now)

    # Somebody else

    def touch(self, table: str, text: str) -> None:
        """Write a row again, with the same values."""
        (column, *_unused) = json.loads(text)
        assert self._change(f'UPDATE "{table}" t SET "{column}" = "{column}" WHERE to_jsonb(t)::text = %s', text) == 1
        self.later.add((table, text))

    def delete(self, table: str, text: str) -> bool:
        """Delete a row, with the rows that PostgreSQL deletes or changes because of it, and return whether it agreed."""
        before = self.world.rows()
        if not self._change(f'DELETE FROM "{table}" t WHERE to_jsonb(t)::text = %s', text):
            return False
        self.note_changes(before)
        return True

    def add(self, table: str) -> bool:
        """Add a row that goes or is changed with the roots of the preview, if chance finds one."""
        ids = {(name, json.loads(text).get("id")) for rows in self.rows.values() for name, text in rows}

        def refers(row: dict[str, Any]) -> bool:
            return table == "casbin_rule" or not ids.isdisjoint(self.tangle.references(table, row))

        for text in itertools.islice(self.tangle.more(table, refers), MOST_ADDED):
            rows = self.world.rows()
            case = self._chosen(rows)
            if (table, text) in _touched(case, rows, case.roots & self.case.roots):
                self.later.add((table, text))
                return True
            self._change(f'DELETE FROM "{table}" t WHERE to_jsonb(t)::text = %s', text)
        return False

    def note_changes(self, since: Snapshot) -> None:
        """Take all rows that are not in an earlier snapshot for later than the preview."""
        for table, rows in removed(self.world.rows(), since).items():
            self.later.update((table, row) for row in rows)

    def _change(self, statement: str, text: str) -> int:
        connection = self.world.connection
        with connection.cursor() as cursor:
            try:
                cursor.execute(statement, (text,))
            except Exception:
                connection.rollback()
                return 0
            connection.commit()
            return cursor.rowcount

    # The run

    def run(self, in_flight: Callable[[], None] = lambda: None, **options: Any) -> set[str]:
        """Run, check everything, and return the roots that stayed because of later rows.

        :param in_flight: changes rows after the plan was made and before the first batch
        """
        stay = self._stay(self.world.rows())

        def act() -> None:
            in_flight()
            self._now = self.world.rows()

        with _before_batches(act):
            run = self.world.run(
                self.case.module, approved_plan=self.approval, batch_size=self._batch_size(), **self.case.options, **options
            )
        stay |= self._stay(self._now)
        chosen = self._chosen(self._now)
        after, expected = self.world.rows(), chosen.effect(self._now, (chosen.roots & self.case.roots) - stay)
        assert after == expected, f"missing: {removed(expected, after)}; too much: {removed(after, expected)}"
        assert {failure["id"] for failure in run["failures"]} == stay, (run["failures"], stay)
        for failure in run["failures"]:
            assert failure["kind"] == chosen.table and "after the preview" in failure["reason"]
        assert bool(run.get("failed")) == bool(stay), run.get("msg")
        assert not stay or is_sentence(run["msg"])
        return stay

    def _stay(self, rows: Snapshot) -> set[str]:
        """The approved roots with which a later row would go or be changed."""
        case = self._chosen(rows)
        if rows == self.before:
            return {root for root, touched in self.rows.items() if not touched.isdisjoint(self.later)}
        approved = case.roots & self.case.roots
        return {root for root in approved if not _touched(case, rows, {root}).isdisjoint(self.later)}

    def _batch_size(self) -> int:
        return random.Random(self._seed).choice((1, 3, 1000))


@contextmanager
def _before_batches(act: Callable[[], None]) -> Iterator[None]:
    original = DeletionRun.apply

    def apply(self: DeletionRun) -> None:
        act()
        original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DeletionRun, "apply", apply)
        yield
