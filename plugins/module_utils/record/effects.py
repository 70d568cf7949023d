# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The effects of a run. A plan and the effects that are done have the same shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

# The most entries of each list in the result of a run that failed: Ansible prints such a result as one line.
LISTED_AFTER_FAILURE = 5


class Listing:
    """Things of one kind. All are counted, the first ones are listed.

    :param limit: the most things that are listed
    :param key: the name of the list in the result
    :param informative: whether the job only reports these things, so that they are no effect
    :cvar changes: whether the things change instead of being deleted; only then :meth:`change` may be called
    """

    changes = False

    def __init__(self, limit: int, key: str = "ids", *, informative: bool = False) -> None:
        self.limit = limit
        self.key = key
        self.informative = informative
        self.count = 0
        self.listed: list[Any] = []

    def add(self, things: Iterable[Any], count: int | None = None) -> None:
        """Count and list more things.

        :param things: the things, or the first of them
        :param count: the number of things, if ``things`` has only the first of them
        """
        number = 0
        for thing in things:
            number += 1
            if len(self.listed) < self.limit:
                self.listed.append(thing)
        self.count += number if count is None else count

    def merge(self, other: Listing) -> None:
        """Add another listing of the same kind."""
        self.add(other.listed, count=other.count)

    def change(self, thing: Any) -> tuple[Any, Any]:
        """One thing before and after its change, for people."""
        raise NotImplementedError

    def as_result(self, most: int | None = None) -> dict[str, Any]:
        """The listing as a module returns it.

        :param most: the most things that are listed, None for all that were kept
        """
        listed = self.listed[:most]
        return {"count": self.count, self.key: listed, "truncated": self.count > len(listed)}

    def left_out(self, most: int) -> int:
        """The number of things that are counted only, if so many are listed."""
        return self.count - min(len(self.listed), most)


class ChangeListing(Listing):
    """A listing of things that change their state.

    :param before: the state before the change
    :param after: the state after the change
    """

    changes = True

    def __init__(self, limit: int, before: str, after: str) -> None:
        super().__init__(limit)
        self._states = before, after

    def change(self, thing: Any) -> tuple[Any, Any]:
        before, after = self._states
        return {thing: before}, {thing: after}


class ResizeListing(Listing):
    """A listing of things that change their size: mappings with ``id``, and the sizes in bytes ``from`` and ``to``."""

    changes = True

    def __init__(self, limit: int) -> None:
        super().__init__(limit, key="items")

    def change(self, thing: Any) -> tuple[Any, Any]:
        return {thing["id"]: f"{thing['from']} bytes"}, {thing["id"]: f"{thing['to']} bytes"}


class SizedListing(Listing):
    """A listing of things that have a size, with the sum of the sizes in bytes."""

    def __init__(self, limit: int, key: str = "ids", *, informative: bool = False) -> None:
        super().__init__(limit, key, informative=informative)
        self.bytes = 0

    def add_sized(self, things: Iterable[tuple[Any, int]]) -> None:
        """Count and list more things, each with its size in bytes."""
        for thing, size in things:
            self.add([thing])
            self.bytes += size

    def merge(self, other: Listing) -> None:
        super().merge(other)
        self.bytes += other.bytes if isinstance(other, SizedListing) else 0

    def as_result(self, most: int | None = None) -> dict[str, Any]:
        return {**super().as_result(most), "bytes": self.bytes}


class SearchedListing(SizedListing):
    """A listing of things with a size that a job finds only with further rights.

    :ivar complete: whether the job had all rights, so that these are all things and all bytes
    """

    def __init__(self, limit: int, key: str = "ids", *, informative: bool = False) -> None:
        super().__init__(limit, key, informative=informative)
        self.complete = True

    def as_result(self, most: int | None = None) -> dict[str, Any]:
        return {**super().as_result(most), "complete": self.complete}


class Tally(SizedListing):
    """The number of things that have no id to show, and the sum of their sizes in bytes."""

    def __init__(self, *, informative: bool = False) -> None:
        super().__init__(0, informative=informative)

    def as_result(self, most: int | None = None) -> dict[str, Any]:
        return {"count": self.count, "bytes": self.bytes}

    def left_out(self, most: int) -> int:
        return 0


class Effects:
    """The effects of one run, planned or done.

    :param listings: a listing for each kind of things, by the name of the kind in the result
    """

    def __init__(self, listings: dict[str, Listing]) -> None:
        self.listings = listings
        self.rows_deleted: Counter[str] = Counter()
        self.rows_updated: Counter[str] = Counter()

    def __getitem__(self, kind: str) -> Any:
        return self.listings[kind]

    def __bool__(self) -> bool:
        """Whether there is any effect."""
        return bool(
            any(listing.count and not listing.informative for listing in self.listings.values())
            or sum(self.rows_deleted.values())
            or sum(self.rows_updated.values())
        )

    def add(self, other: Effects) -> None:
        """Add other effects of the same job."""
        for kind, listing in other.listings.items():
            self.listings[kind].merge(listing)
        self.rows_deleted.update(other.rows_deleted)
        self.rows_updated.update(other.rows_updated)

    def counts(self) -> dict[str, int]:
        """The number of things of each kind, without kinds that are empty or no effect."""
        return {
            kind: listing.count for kind, listing in self.listings.items() if listing.count and not listing.informative
        }

    def left_out(self, most: int) -> int:
        """The number of things that are counted only, if each listing has so many."""
        return sum(listing.left_out(most) for listing in self.listings.values())

    def as_result(self, most: int | None = None) -> dict[str, Any]:
        """The effects as a module returns them; tables without rows are left out.

        :param most: the most things that each listing has, None for all that were kept
        """
        return {
            **{kind: listing.as_result(most) for kind, listing in self.listings.items()},
            "rows_deleted": {table: count for table, count in sorted(self.rows_deleted.items()) if count},
            "rows_updated": {table: count for table, count in sorted(self.rows_updated.items()) if count},
        }
