# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of the messages of failed jobs."""

from __future__ import annotations

import re


def is_sentence(message: str) -> bool:
    """Whether the message is one sentence on one line."""
    return message.isprintable() and message.endswith(".") and len(re.findall(r"\.( |$)", message)) == 1
