# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the tests wait for what must come."""

from __future__ import annotations

# In seconds. What is not done by then hangs: a machine that is busy with other things takes long, but not that long.
HANGS = 3600.0
