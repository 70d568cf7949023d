# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reads the code comes from a module's main to the deletion in six moves."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from psycopg2 import sql

from support.world import World

JOBS = {
    "event_cleanup": {},
    "user_cleanup": {"days_since_user_has_been_disabled": 0},
    "invite_cleanup": {},
    "invite_cleanup delete_invites": {"delete_invites": True},
}


@pytest.mark.parametrize("job", JOBS)
def test_from_main_to_the_deletion(open_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch, job: str) -> None:
    from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.database import Database

    world, ways = open_world(52), []
    world.fill()

    def watched(name: str) -> Any:
        original = getattr(Database, name)

        def call(self: Database, statement: Any, parameters: Any = None) -> Any:
            if isinstance(statement, sql.Composable) and "DELETE FROM" in statement.as_string(world.connection):
                ways.append(way())
            return original(self, statement, parameters)

        return call

    for name in ("execute", "row"):
        monkeypatch.setattr(Database, name, watched(name))
    run = world.run(job.split()[0], **JOBS[job])
    assert run["done"]["rows_deleted"] and ways
    longest = max(ways, key=len)
    print(" > ".join(longest))
    assert len(longest) <= 6


def way() -> list[str]:
    """The functions of the collection between a module's main and here, the database's own last."""
    found, frame = ["Database"], sys._getframe(2)
    while frame.f_code.co_name != "main" or "/plugins/modules/" not in frame.f_code.co_filename:
        found.append(frame.f_code.co_qualname if sys.version_info >= (3, 11) else frame.f_code.co_name)
        assert frame.f_back
        frame = frame.f_back
    return found[::-1]
