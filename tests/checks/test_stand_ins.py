# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes the place of MinIO and Keycloak where these cannot be had, which is not where the tests run every day."""

from __future__ import annotations

import os
import subprocess
import sys

from support.collection import ROOT
from support.keycloak_program import HOME_VARIABLE
from support.limits import HANGS
from support.minio import BINARY_VARIABLE

TESTS = (
    "test_sync_storage_files.py::test_plan_is_effect[67-400-delete-delete_asset_entry]",
    "test_sync_storage_files.py::test_orphan_that_the_storage_refuses_to_delete",
    "test_objects_of_deleted_rows.py::test_asset_that_comes_after_the_plan_leaves_no_version",
    "test_keycloak_account_sync.py::test_external_ids",
    "test_keycloak_account_sync.py::test_list_that_shrinks_once",
    "test_keycloak_account_sync.py::test_role_that_is_missing_shows_no_account_as_missing",
)


def test_the_same_tests_pass_with_them() -> None:
    played = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-q",
            *(f"tests/integration/{test}" for test in TESTS),
        ],
        cwd=ROOT,
        env={**os.environ, BINARY_VARIABLE: "none", HOME_VARIABLE: "none", "REQUIRE_REAL": "postgresql"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=HANGS,
        check=False,
    )
    assert played.returncode == 0, played.stdout
    assert f"{len(TESTS)} passed, 0 failed, 0 skipped" in played.stdout
    used = dict(line.split(": ", 1) for line in played.stdout.splitlines() if line.endswith(", stand-in"))
    assert used.keys() == {"minio", "keycloak"}
