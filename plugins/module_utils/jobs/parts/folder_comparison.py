# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares the folders on a cloud with the events and with the records of folders in the database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from ...base.errors import SharedFolderError
from ...deletion import folder_records
from ...deletion.catalogue import Catalogue
from ...deletion.keys import Sql
from ...systems.clouds.paths import normal
from ...systems.clouds.shared_folder import ITEM, Directory, Found, SharedFolder, SharedFolderProvider
from ...systems.clouds.webdav import Resource
from ...systems.database import Database, array_literal, sql

# The names that the controller gives to the folders of events. The id is in lower case.
NAME = re.compile(r"opentalk-event-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


@dataclass
class Place:
    """A directory on the cloud.

    :ivar path: its path without superfluous slashes; empty for the account's root
    :ivar listing: what the cloud lists there
    :ivar recorded: the number of folders that the database records there
    :ivar missing: those of them that are not in the listing
    """

    path: str
    provider: SharedFolderProvider
    listing: Directory = field(default_factory=lambda: Directory("", None, None))
    recorded: int = 0
    missing: list[SharedFolder] = field(default_factory=list)

    def folders(self) -> Iterator[tuple[SharedFolder, Resource]]:
        """The folders with a name that the controller gives, in the order of their names."""
        for name, resource in sorted((self.listing.entries or {}).items()):
            match = NAME.fullmatch(name)
            if match and resource.is_folder:
                found = Found(self.listing.drive, resource.properties.get(ITEM, ""))
                path = f"{self.path}/{name}" if self.path else name
                yield SharedFolder(match[1], self.provider.name, path, {}, found=found), resource

    def age(self, resource: Resource, now: datetime) -> float | None:
        """The seconds since the thing came or was changed last, by the cloud's clock; None if that time is unknown.

        :param now: the clock to use if the cloud does not tell the time
        """
        written = resource.written
        return None if written is None else ((self.listing.now or now) - written).total_seconds()


def compare_records(places: Iterable[Place], records: Iterable[SharedFolder]) -> tuple[set[str], int]:
    """Find the records whose folder is not on the cloud, and note them at their places.

    :returns: the ids in all names of folders in all records, and the number of records of folders in other places
    """
    by_path = {place.path: place for place in places}
    named: set[str] = set()
    elsewhere = 0
    for folder in records:
        named.update(NAME.findall(folder.path))
        directory, _slash, name = normal(folder.path).rpartition("/")
        place = by_path.get(directory)
        if place is None or not _is_in(folder, place):
            elsewhere += 1
            continue
        place.recorded += 1
        if name not in (place.listing.entries or {}):
            place.missing.append(folder)
    return named, elsewhere


def known(database: Database, catalogue: Catalogue, ids: Iterable[str]) -> set[str]:
    """Those of the ids that an event has now."""
    query = sql.SQL("SELECT id::text FROM {} WHERE id = ANY (%(ids)s::uuid[])")
    return {
        row[0] for row in database.rows(query.format(Sql.name(catalogue.table("events"))), {"ids": array_literal(ids)})
    }


def named(database: Database, catalogue: Catalogue, folders: Iterable[SharedFolder]) -> set[str]:
    """The ids of those folders whose name is in the path of a record now."""
    if not catalogue.has(folder_records.TABLE):
        return set()
    query = sql.SQL("SELECT path FROM {} WHERE path LIKE ANY (%(patterns)s::text[])")
    patterns = array_literal(f"%{folder.event_id}%" for folder in folders)
    table = Sql.name(catalogue.table(folder_records.TABLE))
    return {
        found for (path,) in database.rows(query.format(table), {"patterns": patterns}) for found in NAME.findall(path)
    }


def recorded(database: Database, catalogue: Catalogue, ids: Iterable[str]) -> set[str]:
    """Those of the events' ids that have a record of a folder now."""
    query = sql.SQL("SELECT event_id::text FROM {} WHERE event_id = ANY (%(ids)s::uuid[])")
    table = Sql.name(catalogue.table(folder_records.TABLE))
    return {row[0] for row in database.rows(query.format(table), {"ids": array_literal(ids)})}


def _is_in(folder: SharedFolder, place: Place) -> bool:
    """Whether a recorded folder is on the cloud and the drive of a place."""
    provider = place.provider
    if folder.provider != provider.name:
        return False
    try:
        here = SharedFolder("", provider.name, "", {}, found=Found(place.listing.drive))
        return provider.root(folder) == provider.root(here)
    except SharedFolderError:
        return False
