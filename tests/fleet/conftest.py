# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for the hosts of a controller."""

from __future__ import annotations

import pytest

from support.controllers import Controllers
from support.fleet import Fleet


@pytest.fixture(scope="session")
def controllers(fleet: Fleet) -> Controllers:
    return Controllers(fleet)
