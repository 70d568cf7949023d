# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks of the collection, and measurements of what it costs others."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from support import collection

# Many modules import the collection, so it must be found before them.
_COLLECTIONS = tempfile.TemporaryDirectory(prefix="opentalk-collections-")
sys.path.insert(0, str(collection.link(Path(_COLLECTIONS.name))))
