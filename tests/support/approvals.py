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

import psycopg2
import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.deletion.deletion_run import DeletionRun

from support.cases import CASES, Case
from support.messages import is_sentence
from support.oracle import addresses_of_others
from support.snapshot import Snapshot, deleted, parsed, removed
from support.tangle import Tangle
from support.world import World

# A table and the text of one of its rows.
Row = tuple[str, str]
# The most rows that are added to find one that belongs to a root.
MOST_ADDED = 25


def touched(case: Case, before: Snapshot, roots: set[str]) -> set[Row]:
    """The rows that go or are changed if these roots go."""
    return {(table, row) for table, rows in removed(before, case.effect(before, roots)).items() for row in rows}


class HeldRun:
    """A preview of a job on a tangled database, its approval, and a run that is held to it.

    :param name: a key of :data:`support.cases.CASES`
    :param seed: chooses the parameters
    :ivar rows: for each root, the rows that would go or be changed if only this root went
    :ivar later: the rows that came or were changed after the preview
    :ivar tables: after the run, all tables whose rows the job may delete or change, without permissions
    """

    tables: set[str]

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
        return {root: touched(self.case, self.before, {root}) for root in self.case.roots}

    def _chosen(self, rows: Snapshot) -> Case:
        return CASES[self._name](random.Random(self._seed), rows, self.tangle.now)

    # Somebody else

    def touch(self, table: str, text: str) -> None:
        """Write a row again, with the same values."""
        (column, *_unused) = json.loads(text)
        assert self._execute(f'UPDATE "{table}" t SET "{column}" = "{column}" WHERE to_jsonb(t)::text = %s', text) == 1
        self.later.add((table, text))

    def change(self, table: str, text: str) -> None:
        """Give a column of a row another value, if the database accepts it."""
        column, value = self.tangle.other_value(table)
        with self._noted():
            if self._execute(f'UPDATE "{table}" t SET "{column}" = %s WHERE to_jsonb(t)::text = %s', value, text):
                # It may have had this value.
                self.later.add((table, text))

    def delete(self, table: str, text: str) -> bool:
        """Delete a row, with the rows that PostgreSQL deletes or changes because of it, and return whether it agreed."""
        with self._noted():
            return bool(self._execute(f'DELETE FROM "{table}" t WHERE to_jsonb(t)::text = %s', text))

    def add_any(self, table: str) -> None:
        """Add a row of chance."""
        with self._noted():
            list(itertools.islice(self.tangle.more(table, lambda _row: True, 5), 1))

    def add(self, table: str) -> bool:
        """Add a row that goes or is changed with the roots of the preview, if chance finds one. It may be much like another."""
        ids = {(name, json.loads(text).get("id")) for rows in self.rows.values() for name, text in rows}

        def refers(row: dict[str, Any]) -> bool:
            return table == "casbin_rule" or not ids.isdisjoint(self.tangle.references(table, row))

        alike = (self.tangle.alike(table, text) for rows in self.rows.values() for name, text in rows if name == table)
        others = itertools.islice(self.tangle.more(table, refers), MOST_ADDED)
        with self._noted():
            for text in itertools.chain(others, itertools.chain.from_iterable(itertools.islice(alike, MOST_ADDED))):
                rows = self.world.rows()
                case = self._chosen(rows)
                if (table, text) in touched(case, rows, case.roots & self.case.roots):
                    return True
                self._execute(f'DELETE FROM "{table}" t WHERE to_jsonb(t)::text = %s', text)
        return False

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Take all rows that have changed at the end of the block for later than the preview."""
        before = self.world.rows()
        yield
        for table, rows in removed(self.world.rows(), before).items():
            self.later.update((table, row) for row in rows)

    def _execute(self, statement: str, *values: Any) -> int:
        connection = self.world.connection
        with connection.cursor() as cursor:
            try:
                cursor.execute(statement, values)
            except psycopg2.Error:
                connection.rollback()
                return 0
            connection.commit()
            return cursor.rowcount

    # The run

    def run(self, in_flight: Callable[[], None] = lambda: None, **options: Any) -> set[str]:
        """Run, check everything, and return the roots that stayed because of later rows.

        :param in_flight: changes rows after the plan was made and before the first batch
        """
        at_plan = self.world.rows()
        # What a change in flight makes due again is no part of the plan.
        planned = self._chosen(at_plan).roots & self.case.roots

        def act() -> None:
            in_flight()
            self._now = self.world.rows()

        with self._before_batches(act):
            run = self.world.run(
                self.case.module,
                approved_plan=self.approval,
                **{"batch_size": self._batch_size(), **self.case.options, **options},
            )
        stay = self._stay(self._now) & planned
        chosen = self._chosen(self._now)
        after, expected = self.world.rows(), chosen.effect(self._now, (chosen.roots & planned) - stay)
        assert after == expected, f"missing: {removed(expected, after)}; too much: {removed(after, expected)}"
        assert {failure["id"] for failure in run["failures"]} == stay, (run["failures"], stay)
        for failure in run["failures"]:
            assert failure["kind"] == chosen.table and "after the preview" in failure["reason"]
        assert bool(run.get("failed")) == bool(stay), run.get("msg")
        assert not stay or is_sentence(run["msg"])
        return stay

    def check_preview(self) -> set[str]:
        """A preview with the approval shows what the run will do if nothing changes any more.

        :returns: the roots that stay because of later rows
        """
        rows = self.world.rows()
        chosen, stay = self._chosen(rows), self._stay(rows)
        preview = self.world.run(self.case.module, check_mode=True, approved_plan=self.approval, **self.case.options)
        assert {failure["id"] for failure in preview["failures"]} == stay, (
            preview["failures"],
            stay,
            sorted(self.later),
        )
        after = chosen.effect(rows, (chosen.roots & self.case.roots) - stay)
        assert preview["plan"]["rows_deleted"] == deleted(rows, after)
        assert self.world.rows() == rows
        return stay

    def _stay(self, rows: Snapshot) -> set[str]:
        """The approved roots with which a later row would go or be changed."""
        case = self._chosen(rows)
        if case.table == "users":
            return self._users_who_stay(case, rows)
        if rows == self.before:
            return {root for root, rows in self.rows.items() if not rows.isdisjoint(self.later)}
        approved = case.roots & self.case.roots
        return {root for root in approved if not touched(case, rows, {root}).isdisjoint(self.later)}

    def _users_who_stay(self, case: Case, rows: Snapshot) -> set[str]:
        """The same for users, one after the other: an invitation by mail goes with the last user who has the address."""
        shared = addresses_of_others(parsed(self.before)["users"], self.case.roots)
        stay = set()
        for root in sorted(case.roots & self.case.roots):
            was_shared = root in shared and not addresses_of_others(parsed(rows)["users"], {root})
            after = case.effect(rows, {root})
            gone = {(table, row) for table, texts in removed(rows, after).items() for row in texts}
            if was_shared or not gone.isdisjoint(self.later):
                stay.add(root)
            else:
                rows = after
        return stay

    def _batch_size(self) -> int:
        return random.Random(self._seed).choice((1, 3, 1000))

    @contextmanager
    def _before_batches(self, act: Callable[[], None]) -> Iterator[None]:
        original = DeletionRun.apply

        def apply(run: DeletionRun) -> None:
            graph = run._graph
            self.tables = {
                table.label for table in (*graph.tables, *(change.reference.table for change in graph.changes))
            }
            act()
            original(run)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DeletionRun, "apply", apply)
            yield
