# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's database schema at the migrations that the tests cover."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SCHEMAS = (52, 60, 61, 67)


def create_schema(connection: Any, version: int) -> None:
    """Create the schema at that migration in an empty database, and commit."""
    with connection.cursor() as cursor:
        for step in SCHEMAS:
            if step <= version:
                cursor.execute((Path(__file__).parent / "schema" / f"{step:03}.sql").read_text())
    connection.commit()
