# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many roots the next batch takes."""

from __future__ import annotations

# Seconds that the locks of one batch are held, about.
TARGET = 1.0
FIRST = 100


class BatchSizer:
    """Grows and shrinks batches so that each takes about a second.

    :param largest: the most roots of a batch
    :param smallest: the fewest, unless largest is less
    """

    def __init__(self, largest: int, smallest: int = 1) -> None:
        self._largest = largest
        self._smallest = min(smallest, largest)
        self.size = min(FIRST, largest)

    def took(self, seconds: float) -> None:
        """Learn how long a batch of the current size took."""
        factor = min(4.0, max(0.25, TARGET / max(seconds, 0.001)))
        self.size = max(self._smallest, min(self._largest, int(self.size * factor)))
