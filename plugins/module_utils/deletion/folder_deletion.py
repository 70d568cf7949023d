# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Deletes the shared folders of a batch, a few at a time."""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

from ..base.errors import OutsideTimeoutError, PauseError, SharedFolderError
from ..systems.clouds.paths import normal
from ..systems.clouds.shared_folder import UNKNOWN, Copy, SharedFolder, SharedFolderProvider
from .folder_records import depth, name

NEEDED = "an event that stays has the same folder, or one inside it"
# After this number of folders that the cloud did not delete in time, without a success in between, it is taken for dead.
MOST_SLOW = 3
_IN_TRASH = "its copy in the trash bin cannot be deleted"
# Reasons why shared folders cannot be deleted, by the ids of their events.
Refusals = dict[str, str]


class FolderDeletion:
    """Deletes shared folders, or gives reasons why they cannot be deleted.

    :param provider: deletes one folder; None if the settings name no provider
    :param parallel: the most folders that it works on at once
    :param fail: whether a folder that cannot be deleted is an error
    :param empty_trash: whether the copies of deleted folders in the trash bin of the cloud go, too
    """

    def __init__(
        self, provider: SharedFolderProvider | None, *, parallel: int, fail: bool, empty_trash: bool = False
    ) -> None:
        self._provider = provider
        self._parallel = parallel
        self._fail = fail
        self._empty_trash = empty_trash
        # When folders were deleted whose copies may be in the trash bin, and folders without such a copy, by root and path.
        self._since: dict[tuple[str, str], datetime | None] = {}
        self._emptied: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._deleted: dict[str, SharedFolder] = {}
        self._unreported: list[SharedFolder] = []
        self._deferred: dict[tuple[str, str], list[SharedFolder]] = defaultdict(list)
        self._slow: Refusals = {}
        self._slow_in_a_row = 0
        self._earlier = 0

    def undeletable(self, folders: Iterable[SharedFolder]) -> Refusals:
        """The folders that must not or cannot be deleted, as far as this is known without a request."""
        return dict(filter(None, map(self._objection, folders)))

    def deletable(self, folders: Iterable[SharedFolder]) -> list[SharedFolder]:
        """The folders without the undeletable ones."""
        return [folder for folder in folders if self._objection(folder) is None]

    def delete(self, folders: list[SharedFolder]) -> Refusals:
        """Delete the folders of events that go.

        :returns: the folders that could not be deleted
        :raises SharedFolderError: a folder could not be deleted, and that is an error
        :raises PauseError: the cloud asks for a pause that is longer than a transaction may wait
        :raises OutsideTimeoutError: the cloud took longer than the batch may hold its locks
        :raises DeadlineExceeded: the deadline passed meanwhile
        """
        refused = self.attempt(folders)
        if refused and self._fail:
            event_id, reason = next(iter(refused.items()))
            raise SharedFolderError(
                f"The shared folder of event {event_id} cannot be deleted ({reason}), and as"
                " fail_on_shared_folder_deletion_error is set, nothing of its batch was deleted from the database:"
                " mend the cause or remove the folder by hand, then run the job again."
            )
        return refused

    def attempt(self, folders: list[SharedFolder]) -> Refusals:
        """Delete the folders with their share links, except those that this run has deleted already.

        If a folder that cannot be deleted is an error, no other one is begun after it.

        :returns: the folders that could not be deleted; the other errors are those of :meth:`delete`
        """
        self._earlier = len(self._deleted) + len(self._emptied)
        refused = self.undeletable(folders)
        if not (refused and self._fail):
            # The share links of a folder inside of another one cannot be deleted any more after that one.
            inside_out = sorted(self.deletable(folders), key=depth, reverse=True)
            refused.update(self._delete_places(inside_out))
        if self._empty_trash and not (refused and self._fail):
            refused.update(self._delete_copies([folder for folder in folders if folder.event_id not in refused]))
        return refused

    def in_trash(self, folder: SharedFolder) -> bool:
        """Whether a copy of a deleted folder may be in the trash bin."""
        return self._provider is None or _place(folder, self._provider) not in self._emptied

    def look(self, folders: list[SharedFolder]) -> tuple[list[str], Refusals]:
        """Ask the cloud whether deletable folders exist, without changing anything.

        One request asks for all folders in one place. Where that is refused, each folder has a request.

        :returns: the ids of events whose folder does not exist any more, and the folders for which there was no answer
        """
        known = self._look_into_places(folders)
        missing = [event_id for event_id, exists in known.items() if not exists]
        others = [folder for folder in folders if folder.event_id not in known]

        def exists(folder: SharedFolder, provider: SharedFolderProvider) -> None:
            try:
                if not provider.exists(folder):
                    missing.append(folder.event_id)
            except PauseError as error:
                raise SharedFolderError(f"the server asks to be left alone for {error.seconds:.0f} seconds") from None

        return missing, self._each(others, exists, stop=False)

    def defer(self, folder: SharedFolder) -> None:
        """Leave a folder to the deletion of another event that has the same folder. It counts as deleted with that one."""
        self._deferred[name(folder)].append(folder)

    def take_deferred(self) -> list[SharedFolder]:
        """The folders that were left to the deletion of another event, and that no other event took with it."""
        deferred, self._deferred = self._deferred, defaultdict(list)
        return list(itertools.chain(*deferred.values()))

    def sign_in(self, folders: Iterable[SharedFolder]) -> None:
        """Send the cloud its first request, so that a wrong password is sent once. Call it while nobody waits for locks.

        If the cloud does not work, the reason is kept for the folders.
        """
        folder = next((folder for folder in folders if self._objection(folder) is None), None)
        if self._provider is not None and folder is not None:
            # A pause is waited for before the first batch is done again.
            with contextlib.suppress(SharedFolderError, PauseError):
                self._provider.sign_in(folder)

    @property
    def lacks_directory(self) -> str:
        """The directory of the settings, if folders counted as gone and the cloud has no such directory; otherwise empty."""
        return self._provider.lacks_directory if self._provider is not None else ""

    def look_again(self) -> None:
        """Ask a cloud that did not work whether it works now, if that is due. Call it while nobody waits for locks."""
        if self._provider is not None:
            self._provider.look_again()

    def took_too_long(self, folders: list[SharedFolder], error: OutsideTimeoutError, *, alone: bool) -> bool:
        """Find out what to do after the cloud did not delete these folders in time. Call it while nobody waits for locks.

        :param alone: whether the folders are those of one root, so that they cannot be tried in smaller batches
        :returns: whether to try the same folders again: some were deleted, or the others are refused from now on
        """
        left = [folder for folder in self.deletable(folders) if not self._is_finished(folder)]
        if self._provider is None or not left:
            return False
        if not self._provider.works(left[0], error.cause):
            return True
        if len(self._deleted) + len(self._emptied) > self._earlier:
            return alone
        if alone:
            self._slow.update((folder.event_id, error.cause) for folder in left)
            self._slow_in_a_row += 1
        if self._slow_in_a_row < MOST_SLOW:
            return alone
        self._provider.give_up(left[0], error.cause)
        return True

    def take_deleted(self) -> list[SharedFolder]:
        """The folders whose deletion was confirmed since the last call."""
        with self._lock:
            deleted, self._unreported = self._unreported, []
        return deleted

    def _look_into_places(self, folders: list[SharedFolder]) -> dict[str, bool]:
        """Whether folders exist, by the ids of their events, as far as lists tell of the folders that they are in."""
        known: dict[str, bool] = {}
        if (provider := self._provider) is None:
            return known
        by_place: dict[tuple[str, ...], list[SharedFolder]] = defaultdict(list)
        for folder in folders:
            by_place[provider.place(folder)].append(folder)
        for same in by_place.values():
            if len(same) > 1:
                with contextlib.suppress(SharedFolderError, PauseError):
                    known.update(provider.which_exist(same))
        return known

    def _objection(self, folder: SharedFolder) -> tuple[str, str] | None:
        if self._provider is None:
            return folder.event_id, "the settings name no provider of shared folders"
        if folder.event_id in self._slow:
            return folder.event_id, self._slow[folder.event_id]
        if folder.is_needed:
            return folder.event_id, NEEDED
        try:
            self._provider.check(folder)
        except SharedFolderError as error:
            return folder.event_id, str(error)
        return None

    def _delete_places(self, folders: list[SharedFolder]) -> Refusals:
        """Delete folders, and each only once, however many events have it.

        :returns: the folders that could not be deleted
        """
        if (provider := self._provider) is None:
            return {}
        by_place: dict[tuple[str, str], list[SharedFolder]] = defaultdict(list)
        for folder in folders:
            # A batch may be done again after its transaction was rolled back.
            if self._deleted.get(folder.event_id) != folder:
                by_place[_place(folder, provider)].append(folder)
        firsts = [first for first, *_others in by_place.values()]
        refused = self._each(
            firsts, lambda first, provider: self._delete(by_place[_place(first, provider)], provider), stop=self._fail
        )
        for first, *others in by_place.values():
            if first.event_id in refused:
                refused.update((folder.event_id, refused[first.event_id]) for folder in others)
        return refused

    def _delete(self, folders: list[SharedFolder], provider: SharedFolderProvider) -> None:
        """Delete one folder that these events have."""
        first, *others = folders
        others += self._deferred_same(first, provider)
        since = provider.delete(_with_links(first, others), skip_trash=self._empty_trash)
        place = _place(first, provider)
        with self._lock:
            self._slow_in_a_row = 0
            # An earlier batch may have deleted it, and only one of them finds it.
            self._since[place] = since or self._since.get(place)
            fresh = [folder for folder in folders if folder.event_id not in self._deleted]
            if fresh:
                self._unreported += [*fresh, *self._take_same(first, provider)]
            self._deleted.update((folder.event_id, folder) for folder in folders)

    def _is_finished(self, folder: SharedFolder) -> bool:
        return self._deleted.get(folder.event_id) == folder and not (self._empty_trash and self.in_trash(folder))

    def _delete_copies(self, folders: list[SharedFolder]) -> Refusals:
        """Delete the copies of deleted folders in the trash bin.

        :returns: the folders whose copy could not be deleted
        """
        provider, refused = self._provider, Refusals()
        if provider is None:
            return refused
        by_trash: dict[str, list[SharedFolder]] = defaultdict(list)
        for folder in folders:
            if self._deleted.get(folder.event_id) == folder and self.in_trash(folder):
                by_trash[provider.trash(folder)].append(folder)
        for same in by_trash.values():
            try:
                copies = self._copies(provider, same)
            except SharedFolderError as error:
                refused.update((folder.event_id, f"{_IN_TRASH} ({error})") for folder in same)
                continue
            with self._lock:
                self._emptied.update(_place(folder, provider) for folder in same if folder.event_id not in copies)
            there = [folder for folder in same if folder.event_id in copies]
            kept = self._each(there, functools.partial(self._delete_copy, copies), stop=self._fail)
            refused.update((event_id, f"{_IN_TRASH} ({reason})") for event_id, reason in kept.items())
        return refused

    def _delete_copy(
        self, copies: Mapping[str, Copy | None], folder: SharedFolder, provider: SharedFolderProvider
    ) -> None:
        copy = copies[folder.event_id]
        if copy is None:
            raise SharedFolderError("it cannot be told from other folders of the same path")
        provider.delete_copy(folder, copy)
        with self._lock:
            self._slow_in_a_row = 0
            self._emptied.add(_place(folder, provider))

    def _copies(self, provider: SharedFolderProvider, folders: list[SharedFolder]) -> dict[str, Copy | None]:
        """The copies of the folders in their common trash bin, by event; None if it cannot be told which one it is."""
        by_location: dict[str, list[Copy]] = defaultdict(list)
        for copy in provider.copies(folders[0]):
            by_location[copy.location].append(copy)
        found: dict[str, Copy | None] = {}
        for folder in folders:
            same = by_location.get(normal(folder.path), [])
            own = [copy for copy in same if copy.item in folder.items]
            since = self._since.get(_place(folder, provider))
            if own:
                found[folder.event_id] = own[0]
            elif same and since == UNKNOWN:
                found[folder.event_id] = None
            else:
                # A run that died may have deleted the folder before, and then its copy is the newest one.
                dated = [copy for copy in same if copy.at and (since is None or copy.at >= since)]
                if dated:
                    found[folder.event_id] = max(dated, key=lambda copy: copy.at or UNKNOWN)
        return found

    def _take_same(self, folder: SharedFolder, provider: SharedFolderProvider) -> list[SharedFolder]:
        """Take the deferred folders that went with this one."""
        same = self._deferred_same(folder, provider)
        deferred = self._deferred.pop(name(folder), [])
        if len(same) < len(deferred):
            self._deferred[name(folder)] = [other for other in deferred if other not in same]
        return same

    def _deferred_same(self, folder: SharedFolder, provider: SharedFolderProvider) -> list[SharedFolder]:
        """The deferred folders that are this one. A folder with the same path may be on another drive."""
        deferred = self._deferred.get(name(folder), [])
        return [other for other in deferred if provider.root(other) == provider.root(folder)]

    def _each(
        self, folders: list[SharedFolder], action: Callable[[SharedFolder, SharedFolderProvider], None], *, stop: bool
    ) -> Refusals:
        provider, refused = self._provider, Refusals()
        if provider is None or not folders:
            return refused

        def attempt(folder: SharedFolder) -> None:
            if stop and refused:
                return
            try:
                action(folder, provider)
            except SharedFolderError as error:
                refused[folder.event_id] = str(error)

        executor = ThreadPoolExecutor(min(self._parallel, len(folders)))
        try:
            list(executor.map(attempt, folders))
        finally:
            executor.shutdown(cancel_futures=True)
        return refused


def _with_links(folder: SharedFolder, others: list[SharedFolder]) -> SharedFolder:
    """The folder, also with the share links that other events have to it."""
    links = {f"{access} of {other.event_id}": ids for other in others for access, ids in other.shares.items()}
    return replace(folder, shares={**folder.shares, **links}) if links and not folder.found else folder


def _place(folder: SharedFolder, provider: SharedFolderProvider) -> tuple[str, str]:
    """Root and normal path of a folder, which are equal for the same folder."""
    return provider.root(folder), normal(folder.path)
