# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The expected effect of deleting events on their shared folders."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import unquote

from support.cloud_server import CloudServer
from support.shared_folders import record, segments
from support.snapshot import Snapshot, parsed


@dataclass
class FolderEffect:
    """The effect of deleting events on their shared folders.

    :ivar deleted: event id, provider and path of each folder that is deleted
    :ivar left_behind: ids of the events whose folder cannot be deleted
    :ivar folders: the server's folders afterwards
    :ivar links: the server's share links afterwards that lead to a folder
    """

    deleted: set[tuple[str, str, str]]
    left_behind: set[str]
    folders: set[str]
    links: dict[str, str]


def folder_effect(
    cloud: CloudServer | None, before: Snapshot, expected: Snapshot, refused: Collection[str] = ()
) -> FolderEffect:
    """The effect that a run must have on the folders, if it changes the database as expected.

    :param cloud: a stand-in whose share links have a single id each; None if the settings name no cloud
    :param refused: paths of folders that the cloud refuses to delete; each belongs to one event
    """
    rows = parsed(before)["event_shared_folders"]
    staying = parsed(expected)["event_shared_folders"]
    kept = {row["event_id"] for row in staying}
    needed = {(record(row)[0], "/".join(segments(row["path"]))) for row in staying}
    effect = FolderEffect(set(), set(), set(cloud.folders) if cloud else set(), cloud.links if cloud else {})
    for row in rows:
        if row["event_id"] in kept:
            continue
        provider, shares = record(row)
        path = "/".join(segments(row["path"]))
        deletable = cloud is not None and provider == cloud.provider and _inside(row["path"], cloud.directory)
        if not deletable or any(other == provider and _at_or_below(folder, path) for other, folder in needed):
            effect.left_behind.add(row["event_id"])
            continue
        if path in refused:
            effect.left_behind.add(row["event_id"])
            effect.links = {share: folder for share, folder in effect.links.items() if share not in shares}
            continue
        effect.deleted.add((row["event_id"], provider, row["path"]))
        found = path in effect.folders
        effect.folders = {folder for folder in effect.folders if not _at_or_below(folder, path)}
        effect.links = {
            share: folder
            for share, folder in effect.links.items()
            if share not in shares and not (found and _at_or_below(folder, path))
        }
    return effect


def _at_or_below(folder: str, path: str) -> bool:
    return f"{folder}/".startswith(f"{path}/")


def _inside(path: str, directory: str) -> bool:
    """Whether the path is inside the directory, both as it is and decoded."""
    return _is_inside(path, directory) and _is_inside(unquote(path), unquote(directory))


def _is_inside(path: str, directory: str) -> bool:
    names, outer = segments(path), segments(directory)
    plain = all(segment not in (".", "..") for segment in names) and path.isprintable()
    return plain and names[: len(outer)] == outer and len(names) > len(outer)
