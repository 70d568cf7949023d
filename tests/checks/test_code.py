# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tools say about the code in seconds: style, types, and which part may import which."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support import cache, code_tools, collection
from support.collection import ROOT
from support.limits import HANGS

SETTINGS = ROOT / "pyproject.toml"


@pytest.fixture
def collections(tmp_path: Path) -> Path:
    """A folder in which the tree is a collection."""
    return collection.link(tmp_path)


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_style(collections: Path, command: list[str]) -> None:
    code_tools.run(ROOT, collections, "ruff", *command, "--no-cache", ".")


def test_types(collections: Path) -> None:
    """Of all plugins; mypy's cache is kept, as it takes five times as long without."""
    kept = cache.directory() / "mypy"
    package = "ansible_collections.opentalk.maintenance.plugins"
    with cache.lock(kept.with_suffix(".lock"), time.monotonic() + HANGS):
        code_tools.run(collections, collections, "mypy", "--config-file", SETTINGS, "--cache-dir", kept, "-p", package)


def test_imports_go_down(collections: Path) -> None:
    command = ["lint-imports", SETTINGS, "--no-logo", "--no-cache"]
    said = code_tools.run(collections, collections, *command, PYTHONPATH=str(collections))
    assert " kept, 0 broken." in said and "Contracts: 0 kept" not in said
