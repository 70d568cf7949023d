# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test does where a real component is missing."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(component: str, reason: object) -> NoReturn:
    """Skip the test, or fail it if REQUIRE_REAL names the component."""
    if component in os.environ.get("REQUIRE_REAL", "").split(","):
        pytest.fail(f"A component that REQUIRE_REAL names is missing: {reason}")
    pytest.skip(str(reason))
