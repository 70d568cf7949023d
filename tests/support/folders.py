# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared folders that a database records: on a cloud server, and what must become of them when events go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from support.cloud_server import CloudServer
from support.snapshot import Snapshot, parsed


@dataclass
class FolderEffect:
    """What deleting events does to their shared folders.

    :ivar deleted: event id, provider and path of each folder that is deleted
    :ivar left_behind: ids of the events whose folder cannot be deleted
    :ivar folders: the server's folders afterwards
    :ivar shares: the server's share links afterwards
    """

    deleted: set[tuple[str, str, str]]
    left_behind: set[str]
    folders: set[str]
    shares: dict[str, str]


def stock(cloud: CloudServer, before: Snapshot) -> None:
    """Give the server the folders and share links that the database records for it, and others beside them.

    Every fifth is already gone, and of every other fifth only the folder.
    """
    cloud.folders.clear()
    cloud.shares.clear()
    for path in (cloud.directory, f"{cloud.directory}x/a", "private"):
        cloud.make_folder(path)
    for number, row in enumerate(parsed(before)["event_shared_folders"]):
        path = "/".join(_segments(row["path"]))
        if not path or ".." in path or number % 5 == 4:
            continue
        for suffix in ("", "/inner", "x") if number % 5 != 3 else ():
            cloud.make_folder(path + suffix)
        cloud.shares.update(dict.fromkeys(_record(row)[1], path))


def folder_effect(cloud: CloudServer | None, before: Snapshot, expected: Snapshot) -> FolderEffect:
    """What must become of the folders when the database becomes what is expected.

    :param cloud: a server with one of the stand-ins' share links that are known by a single id, or None: no settings
    """
    rows = parsed(before)["event_shared_folders"]
    kept = {row["event_id"] for row in parsed(expected)["event_shared_folders"]}
    effect = FolderEffect(set(), set(), set(cloud.folders) if cloud else set(), dict(cloud.shares) if cloud else {})
    for row in rows:
        if row["event_id"] in kept:
            continue
        provider, shares = _record(row)
        if cloud is None or provider != cloud.provider or not _inside(row["path"], cloud.directory):
            effect.left_behind.add(row["event_id"])
            continue
        effect.deleted.add((row["event_id"], provider, row["path"]))
        path = "/".join(_segments(row["path"]))
        found = path in effect.folders
        effect.folders = {folder for folder in effect.folders if not _at_or_below(folder, path)}
        effect.shares = {
            share: folder
            for share, folder in effect.shares.items()
            if share not in shares and not (found and _at_or_below(folder, path))
        }
    return effect


def _at_or_below(folder: str, path: str) -> bool:
    return f"{folder}/".startswith(f"{path}/")


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]


def _inside(path: str, directory: str) -> bool:
    segments, outer = _segments(path), _segments(directory)
    plain = all(segment not in (".", "..") for segment in segments) and path.isprintable()
    return plain and segments[: len(outer)] == outer and len(segments) > len(outer)


def _record(row: dict[str, Any]) -> tuple[str, list[str]]:
    """The provider's name and the ids of the share links, in either generation of columns."""
    data = row.get("provider_data") or {"type": "nextcloud", **row}
    if data["type"] == "nextcloud":
        return "nextcloud", [data["write_share_id"], data["read_share_id"]]
    return "opencloud", []
