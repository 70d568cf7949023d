# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deleting the shared folders of a batch, a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from ..engine.errors import SharedFolderError
from ..systems.shared_folders.base import SharedFolder, SharedFolderProvider
from ..systems.shared_folders.client import ServerUnavailableError

# Why folders cannot be deleted, by the ids of their events.
Refusals = dict[str, str]


class FolderDeletion:
    """Deletes shared folders, or says why they cannot be deleted.

    :param provider: where the folders are, or None where the settings name no provider
    :param parallel: how many folders are worked on at once
    :param fail: whether a folder that cannot be deleted is an error
    """

    def __init__(self, provider: SharedFolderProvider | None, *, parallel: int, fail: bool) -> None:
        self._provider = provider
        self._parallel = parallel
        self._fail = fail
        self._deleted: dict[str, SharedFolder] = {}
        # Batches take turns, so that no more folders are worked on at once than allowed.
        self._turn = threading.Lock()

    def undeletable(self, folders: Iterable[SharedFolder]) -> Refusals:
        """The folders that no request may or can delete; found without any request."""
        return dict(filter(None, map(self._objection, folders)))

    def deletable(self, folders: Iterable[SharedFolder]) -> list[SharedFolder]:
        """The folders that are not undeletable."""
        return [folder for folder in folders if self._objection(folder) is None]

    def delete(self, folders: list[SharedFolder]) -> Refusals:
        """Delete the folders with their share links.

        :returns: those that could not be deleted
        :raises SharedFolderError: there are such, and that is an error
        :raises DeadlineExceeded: the deadline passed meanwhile
        """
        refused = self.undeletable(folders)
        if not (refused and self._fail):
            with self._turn:
                refused.update(self._each(self.deletable(folders), self._delete, stop=self._fail))
        if refused and self._fail:
            event_id, reason = next(iter(refused.items()))
            raise SharedFolderError(
                f"The shared folder of event {event_id} cannot be deleted ({reason}), and as"
                " fail_on_shared_folder_deletion_error is set, nothing of its batch was deleted from the database:"
                " mend the cause or remove the folder by hand, then run the job again."
            )
        return refused

    def look(self, folders: list[SharedFolder]) -> tuple[list[str], Refusals]:
        """Ask for folders that can be deleted, without changing anything.

        :returns: the ids of the events whose folder is not there any more, and the folders that cannot be asked for
        """
        missing: list[str] = []

        def exists(folder: SharedFolder, provider: SharedFolderProvider) -> None:
            if not provider.exists(folder):
                missing.append(folder.event_id)

        return missing, self._each(folders, exists, stop=False)

    def take_deleted(self) -> list[SharedFolder]:
        """The folders that were confirmed deleted since this was asked last."""
        with self._turn:
            deleted, self._deleted = self._deleted, {}
        return list(deleted.values())

    def _objection(self, folder: SharedFolder) -> tuple[str, str] | None:
        if self._provider is None:
            return folder.event_id, "the settings name no provider of shared folders"
        try:
            self._provider.check(folder)
        except SharedFolderError as error:
            return folder.event_id, str(error)
        return None

    def _delete(self, folder: SharedFolder, provider: SharedFolderProvider) -> None:
        provider.delete(folder)
        self._deleted[folder.event_id] = folder

    def _each(
        self, folders: list[SharedFolder], action: Callable[[SharedFolder, SharedFolderProvider], None], *, stop: bool
    ) -> Refusals:
        provider, refused = self._provider, Refusals()
        unavailable: list[ServerUnavailableError] = []
        if provider is None or not folders:
            return refused

        def attempt(folder: SharedFolder) -> None:
            if stop and refused:
                return
            try:
                if unavailable:  # the server was asked often enough for this batch
                    raise unavailable[0]
                action(folder, provider)
            except SharedFolderError as error:
                refused[folder.event_id] = str(error)
                if isinstance(error, ServerUnavailableError):
                    unavailable.append(error)

        executor = ThreadPoolExecutor(min(self._parallel, len(folders)))
        try:
            list(executor.map(attempt, folders))
        finally:
            executor.shutdown(cancel_futures=True)
        return refused
