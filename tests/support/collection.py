# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree as an installed collection, so that Ansible and Python find it by its name."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def link(directory: Path) -> Path:
    """Make the collection available below a directory, and return that: a value for ANSIBLE_COLLECTIONS_PATH."""
    namespace = directory / "ansible_collections" / "opentalk"
    namespace.mkdir(parents=True)
    (namespace / "maintenance").symlink_to(ROOT)
    return directory
