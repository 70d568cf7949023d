# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a message of a failed job must look like."""

from __future__ import annotations

import re


def is_sentence(message: str) -> bool:
    """Whether it is one sentence on one line."""
    return message.isprintable() and message.endswith(".") and len(re.findall(r"\.( |$)", message)) == 1
