# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a shared folder is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SharedFolder:
    """A folder that an event shares with its participants.

    :ivar provider: ``nextcloud`` or ``opencloud``
    :ivar path: below the provider's root
    :ivar shares: the ids of the share links, by access: a string, or a mapping of ids
    """

    event_id: str
    provider: str
    path: str
    shares: dict[str, Any]

    @classmethod
    def from_record(cls, event_id: str, path: str, data: Mapping[str, Any]) -> SharedFolder:
        """A folder as the controller records it.

        :param data: the value of ``event_shared_folders.provider_data``
        """
        if data.get("type") == "nextcloud":
            shares = {"write": data.get("write_share_id"), "read": data.get("read_share_id")}
        else:
            shares = {"write": data.get("write"), "read": data.get("read")}
        return cls(event_id, str(data.get("type", "unknown")).partition("_")[0], path, shares)

    def as_item(self) -> dict[str, Any]:
        """The folder in a plan."""
        return {"event_id": self.event_id, "provider": self.provider, "path": self.path}

    def as_left_behind(self) -> dict[str, Any]:
        """The folder in the list of what somebody must remove by hand."""
        return {**self.as_item(), "shares": self.shares}
