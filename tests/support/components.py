# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests ran with, by the name of the component. The last lines of a run show it."""

from __future__ import annotations

COMPONENTS: dict[str, str] = {}
