# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database that answers from a script, and SQL as text without a connection."""

from __future__ import annotations

from collections import deque
from typing import Any

from psycopg2 import sql


def text(query: str | sql.Composable) -> str:
    """A query to read: names as they are, values as Python shows them."""
    if isinstance(query, sql.Composed):
        return "".join(map(text, query.seq))
    if isinstance(query, sql.SQL):
        return query.string
    if isinstance(query, sql.Identifier):
        return ".".join(query.strings)
    if isinstance(query, sql.Literal):
        return repr(query.wrapped)
    assert isinstance(query, str), query
    return query


class ScriptedDatabase:
    """Takes the place of a `Database`.

    :param answers: one for each query, in their order
    :ivar asked: the queries as text
    """

    def __init__(self, *answers: Any) -> None:
        self._answers = deque(answers)
        self.asked: list[str] = []

    def row(self, query: str | sql.Composable) -> Any:
        """The next answer, for what gives one row."""
        return self._next(query)

    def rows(self, query: str | sql.Composable) -> Any:
        """The next answer, for what gives any number of rows."""
        return self._next(query)

    def stream(self, query: str | sql.Composable) -> Any:
        """The next answer, for what gives rows one after the other."""
        return iter(self._next(query))

    def _next(self, query: str | sql.Composable) -> Any:
        self.asked.append(text(query))
        assert self._answers, f"Nobody expected this: {self.asked[-1]}"
        return self._answers.popleft()
