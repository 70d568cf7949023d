# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of sync_storage_files if every asset or object is a finding: it keeps few bytes of each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.job_process import run_job
from benchmarks.listing_server import ListingServer
from support.builders import Builder
from support.world import World

FEW, MANY = 20_000, 70_000
# For each finding more. The approval of a preview lists every id, as a string of Python and in the result.
MOST_BYTES = 300


@pytest.mark.parametrize(
    ("assets", "handling"),
    [(True, "delete_asset_entry"), (True, "set_file_size_to_zero"), (False, "set_file_size_to_zero")],
)
def test_memory_hardly_grows_with_the_findings(open_world: Callable[..., World], assets: bool, handling: str) -> None:
    """Either no asset has an object, or no object has an asset."""
    world, memory = open_world(), []
    tenant = Builder(world.connection).tenant()
    for number in (FEW, MANY):
        if assets:
            world.query(
                "INSERT INTO assets (id, kind, filename, size, namespace, tenant_id)"
                " SELECT gen_random_uuid(), 'recording', 'x', 1, 'x', %s FROM generate_series(1, %s)",
                (tenant, number - len(world.ids("assets"))),
            )
        with ListingServer(0 if assets else number, 1) as server:
            options = {**world.options_of("sync_storage_files"), "max_affected": number, "report_limit": 0}
            options["object_storage"] = {**world.options["object_storage"], "uri": server.url}
            run = run_job("sync_storage_files", {**options, "missing_storage_file_handling": handling}, check_mode=True)
        assert run.result["plan"]["assets_missing" if assets else "orphaned_objects"]["count"] == number
        memory.append(run.memory)
    assert memory[1] - memory[0] < MOST_BYTES * (MANY - FEW), memory
