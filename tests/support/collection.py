# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree as an installed collection, so that Ansible and Python find it by its name."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from support import cache

ROOT = Path(__file__).resolve().parents[2]


def link(directory: Path) -> Path:
    """Make the collection available below a directory, and return that: a value for ANSIBLE_COLLECTIONS_PATH."""
    namespace = directory / "ansible_collections" / "opentalk"
    namespace.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (namespace / "maintenance").symlink_to(ROOT)
    return directory


def linked() -> Path:
    """The same at a place that is the same in each run, so that what Python has compiled can be used again."""
    return link(cache.directory() / "trees" / hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:12])
