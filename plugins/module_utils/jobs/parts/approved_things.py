# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The assets and objects that a preview lists for its approval, and those that an approval lets a run touch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

# Kinds of things that are in the storage. All others are rows of assets.
STORED = frozenset({"objects", "uploads", "versions"})
REWRITTEN = "its object was written after the preview; look at a new preview"


class Dated(Protocol):
    """What is in the storage."""

    @property
    def modified(self) -> str:
        """The time of its last write, or what else tells it from a later one."""


class ApprovedThings:
    """Each thing has a name: an id, with the time of the last write where an object decides.

    :param approved: the names of all approved things by kind; None if everything may be touched
    :param later: ids of assets whose rows came or were changed after the approved preview
    :param fail: gets kind, id and reason of each approved thing that must stay
    :param keeps: whether to keep the names
    :ivar names: the names of the things that were accepted, by kind
    """

    def __init__(
        self,
        approved: Mapping[str, list[str]] | None,
        later: Mapping[str, str],
        fail: Callable[[str, str, str], None],
        *,
        keeps: bool,
    ) -> None:
        self._approved: dict[str, Mapping[str, str]] | None = None
        self._uploads: frozenset[str] = frozenset()
        if approved is not None:
            self._approved = {
                kind: dict(name.partition(" ")[::2] for name in names) for kind, names in approved.items()
            }
            # Several uploads can have the same id.
            self._uploads = frozenset(approved.get("uploads", ()))
        self._later = later
        self._fail = fail
        self._keeps = keeps
        self.names: dict[str, list[str]] = {}

    def accepts(self, kind: str, identifier: str, stored: Dated | None = None) -> bool:
        """Whether the run may touch this thing. Otherwise it is reported, if it was approved.

        :param stored: the object that decides, if it is one
        """
        written = stored.modified if stored else ""
        name = f"{identifier} {written}".rstrip()
        if self._approved is not None and kind == "uploads":
            return name in self._uploads
        if self._approved is not None:
            things = self._approved.get(kind, {})
            if identifier not in things:
                return False
            if reason := self._later.get(identifier) or (REWRITTEN if things[identifier] != written else ""):
                self._fail(kind if kind in STORED else "assets", identifier, reason)
                return False
        if self._keeps:
            self.names.setdefault(kind, []).append(name)
        return True
