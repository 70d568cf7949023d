# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""sync_shared_folders: finds folders of events that are gone, and recorded folders that are not on the cloud."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timezone
from functools import partial

from ..base.errors import (
    ConfigurationError,
    MaintenanceError,
    ParameterError,
    PauseError,
    SafetyLimitExceeded,
    SharedFolderError,
)
from ..deletion import folder_records
from ..deletion.batches import Batches
from ..deletion.catalogue import Catalogue, read_catalogue
from ..deletion.folder_deletion import FolderDeletion
from ..deletion.hindrances import check_reading
from ..record.effects import Listing
from ..record.safety import ALWAYS, Share
from ..systems.clouds.availability import MOST_PAUSES
from ..systems.clouds.paths import directory_names
from ..systems.clouds.providers import provider
from ..systems.clouds.shared_folder import SharedFolder
from ..systems.clouds.webdav import Resource
from .job import Job
from .parts import folder_comparison
from .parts.folder_comparison import Place

CHANGED = "something was written into the folder after the preview; look at a new preview"
_RIGHT = "make sure that the settings name the right account, the right directory and the right database"


class SyncSharedFolders(Job):
    job_type = "sync_shared_folders"

    _catalogue: Catalogue
    _places: list[Place]
    _orphans: list[tuple[Place, list[SharedFolder]]]
    _matched = 0

    def listings(self) -> dict[str, Listing]:
        limit = self.run.options["report_limit"]
        kinds = ("young_orphaned_shared_folders", "undated_orphaned_shared_folders", "missing_shared_folders")
        return {
            "orphaned_shared_folders": Listing(limit, key="items", informative=not self._deletes),
            **{kind: Listing(limit, key="items", informative=True) for kind in kinds},
        }

    def work(self) -> SyncSharedFolders:
        settings = self.run.settings.required_shared_folder()
        self._places = []
        for directory, error in self._directories(settings.directory):
            try:
                path = "/".join(directory_names(directory))
            except SharedFolderError as problem:
                text = f"The directory {_shown(directory)} cannot be used, because {problem}; correct it."
                raise error(text) from None
            if path in (place.path for place in self._places):
                continue
            cloud = replace(settings, directory=path)
            made = provider(cloud, self.run.options, deadline=self.run.budget, gate=self.run.gate)
            self._places.append(Place(path, made))
        return self

    def plan(self) -> None:
        database = self.run.database
        self._catalogue = read_catalogue(database)
        tables = ["events", *[folder_records.TABLE] * self._catalogue.has(folder_records.TABLE)]
        # Rows that are hidden would make their folders look like orphans.
        check_reading(database, self._catalogue, *map(self._catalogue.table, tables))
        with database.transaction(snapshot=True):
            # This fixes the snapshot. A record that is older than the listings has its folder in them.
            database.row("SELECT 1")
            for place in self._places:
                self._list(place)
            records = folder_records.stream(database, self._catalogue)
            named, elsewhere = folder_comparison.compare_records(self._places, records)
        # Events are asked for after the listings, so that an event that came meanwhile keeps its folder.
        self._orphans = [(place, self._orphans_in(place, named)) for place in self._places]
        self.run.affected = sum(len(folders) for _place, folders in self._orphans) if self._deletes else 0
        self._describe_missing()
        self._log_plan(elsewhere)

    def total(self) -> int:
        return self._matched + self._number

    def shares(self) -> list[Share]:
        # If no folder has an event, every deletion is refused later, with a reason of its own.
        if self._looks_mistaken or not self._deletes:
            return []
        return [Share("shared folders", self._number, self.total())]

    def check_plan(self) -> None:
        options, number = self.run.options, self._number
        if options["max_affected"] is not None or options["max_affected_percent"] is not None:
            return
        recorded, missing = self._recorded, self.run.plan["missing_shared_folders"].count
        if missing == recorded > ALWAYS:
            raise SafetyLimitExceeded(
                f"None of the {recorded} shared folders that the database records in the directories is on the cloud, so the"
                " settings may name another account or another directory; nothing was touched: correct them, or set"
                " max_affected or max_affected_percent if all these folders are really gone."
            )
        if self._deletes and self._looks_mistaken:
            raise SafetyLimitExceeded(
                f"None of the {number} shared folders that would be deleted or any other folder on the cloud belongs to an event"
                " in the database, so the settings may name another database or another account; nothing was touched:"
                " correct them, or set max_affected or max_affected_percent if the plan is right."
            )

    def apply(self) -> None:
        if not self._deletes:
            return
        parallel = self.run.options["shared_folder_requests"]
        progress = self.run.progress.stage("shared folders deleted", self._number)
        for place, folders in self._orphans:
            deletion = FolderDeletion(
                place.provider,
                parallel=parallel,
                fail=self._fails,
                empty_trash=self.run.options["empty_trash"],
            )
            batches = Batches(
                folders,
                lambda folder, reason: self.run.fail("shared_folders", folder.event_id, reason),
                self.run.deadline,
                # Events are asked for again right before the folders are deleted, so a batch is no longer than one round.
                largest=min(self.run.options["batch_size"], parallel),
                worthwhile=parallel,
                progress=progress,
            )
            try:
                batches.run(partial(self._delete, deletion))
            finally:
                # Some folders may have been deleted before a request failed.
                self._count(deletion)
        self.run.log.info(f"Shared folders without an event, deleted: {self.run.done['orphaned_shared_folders'].count}")
        if left := len(self.run.shared_folders_left_behind):
            self.run.warn(
                f"Shared folders that could not be deleted: {left}; they are in shared_folders_left_behind, and the next run"
                " tries again."
            )

    @property
    def _deletes(self) -> bool:
        return self.run.parameters["orphaned_shared_folders"] == "delete"

    @property
    def _fails(self) -> bool:
        return self.run.parameters["fail_on_shared_folder_deletion_error"]

    @property
    def _number(self) -> int:
        return sum(len(folders) for _place, folders in self._orphans)

    @property
    def _recorded(self) -> int:
        return sum(place.recorded for place in self._places)

    @property
    def _looks_mistaken(self) -> bool:
        """Whether no folder has an event, so that the settings may name a wrong account or database."""
        return bool(self._number) and not self._matched

    # Plan

    def _directories(self, current: str) -> Iterable[tuple[str, type[MaintenanceError]]]:
        """The directories with the error to raise if it cannot be used."""
        yield current, ConfigurationError
        for directory in self.run.parameters["previous_directories"]:
            if not directory:
                raise ParameterError(
                    "The option previous_directories has an empty path; remove it, or write / for the root of the account."
                )
            yield directory, ParameterError

    def _list(self, place: Place) -> None:
        for attempt in range(MOST_PAUSES + 1):
            try:
                place.listing = place.provider.list_directory()
                return
            except PauseError as error:
                if attempt == MOST_PAUSES:
                    raise
                self.run.deadline.sleep(error.seconds)
            except SharedFolderError as error:
                raise SharedFolderError(
                    f"The directory {_shown(place.path)} of the shared folders cannot be listed, because {error}; nothing was"
                    " touched: mend the cause and run the job again."
                ) from None

    def _orphans_in(self, place: Place, named: set[str]) -> list[SharedFolder]:
        """The folders that may be deleted. Those that have no event, but stay, are added to the plan only."""
        found = list(place.folders())
        known = folder_comparison.known(
            self.run.database, self._catalogue, (folder.event_id for folder, _unused in found)
        )
        known |= named
        approved = self._approved()
        orphans = []
        for folder, resource in found:
            if folder.event_id in known:
                self._matched += 1
                continue
            age = place.age(resource, self.run.now)
            if age is None or age < self.run.parameters["orphan_min_age"]:
                kind = "undated_orphaned_shared_folders" if age is None else "young_orphaned_shared_folders"
                self.run.plan[kind].add([folder.as_item()])
            elif self._accepts(folder, resource, approved):
                orphans.append(folder)
        in_trash = {"in_trash": not self.run.options["empty_trash"]} if self._deletes else {}
        self.run.plan["orphaned_shared_folders"].add(folder.as_item(**in_trash) for folder in orphans)
        return orphans

    def _approved(self) -> dict[str, set[str]] | None:
        """The times of the last writes to the folders that an approval has, by event; None if the run is held to none."""
        if self.run.approval is None:
            return None
        found: dict[str, set[str]] = {}
        for name in self.run.approval.roots.get("shared_folders", []):
            event_id, _space, written = name.partition(" ")
            found.setdefault(event_id, set()).add(written)
        return found

    def _accepts(self, folder: SharedFolder, resource: Resource, approved: dict[str, set[str]] | None) -> bool:
        """Whether the run may delete this folder. Otherwise it is reported, if it was approved."""
        written = resource.written.astimezone(timezone.utc).isoformat() if resource.written else ""
        if approved is not None and written not in approved.get(folder.event_id, ()):
            if folder.event_id in approved:
                self.run.fail("shared_folders", folder.event_id, CHANGED)
            return False
        if not self.run.gate.is_open and self._deletes:
            self.run.roots.setdefault("shared_folders", []).append(f"{folder.event_id} {written}")
        return True

    def _describe_missing(self) -> None:
        """Report recorded folders that are not on the cloud, unless a record is gone by now or its directory is absent."""
        for place in self._places:
            if place.listing.entries is None and place.recorded:
                self.run.fail(
                    "directories",
                    place.path,
                    f"the cloud has no such directory, but the database records folders in it: {place.recorded}",
                )
            elif place.listing.entries is None:
                self.run.warn(f"The cloud has no directory {_shown(place.path)}; {_RIGHT}.")
            elif place.missing:
                ids = (folder.event_id for folder in place.missing)
                still = folder_comparison.recorded(self.run.database, self._catalogue, ids)
                self.run.plan["missing_shared_folders"].add(
                    folder.as_item() for folder in place.missing if folder.event_id in still
                )

    def _log_plan(self, elsewhere: int) -> None:
        plan, log = self.run.plan, self.run.log
        log.info(f"Shared folders on the cloud that have an event: {self._matched}")
        doomed = " and that are to be deleted" if self._deletes else ""
        for kind, text in (
            ("orphaned_shared_folders", f"Shared folders that have no event{doomed}"),
            ("young_orphaned_shared_folders", "Shared folders that have no event yet"),
            ("undated_orphaned_shared_folders", "Shared folders that have no event, and whose age is unknown"),
            ("missing_shared_folders", "Shared folders in the database that are not on the cloud"),
        ):
            if plan[kind].count:
                log.info(f"{text}: {plan[kind].count}")
        if elsewhere:
            log.info(f"Shared folders in the database that are in other directories or on other servers: {elsewhere}")
        missing = Share("", plan["missing_shared_folders"].count, self._recorded)
        if missing.affected and (missing.is_large or missing.affected == missing.total):
            self.run.warn(
                f"Shared folders in the database that are not on the cloud: {missing.affected} of {missing.total}; {_RIGHT}."
            )
        if self._looks_mistaken:
            self.run.warn(f"No shared folder on the cloud belongs to an event in the database; {_RIGHT}.")

    # Apply

    def _delete(self, deletion: FolderDeletion, folders: list[SharedFolder]) -> None:
        deletion.look_again()
        # The second look: an event may have come since the listing.
        staying = folder_comparison.known(self.run.database, self._catalogue, (folder.event_id for folder in folders))
        staying |= folder_comparison.named(self.run.database, self._catalogue, folders)
        going = [folder for folder in folders if folder.event_id not in staying]
        audit = self.run.audit.batch()
        audit.deleting({"shared_folders": [folder.event_id for folder in going]})
        try:
            refused = deletion.attempt(going)
        except MaintenanceError:
            audit.not_deleted(certain=False)
            raise
        deleted = self._count(deletion)
        kept = [folder for folder in going if folder not in deleted or folder.event_id in refused]
        audit.deleted({}, {"shared_folders": [folder.event_id for folder in kept]})
        if staying:
            self.run.log.info(
                f"Shared folders that have an event since the listing, and stay: {len(staying)}: "
                + ", ".join(sorted(staying))
            )
        for folder in kept:
            if reason := refused.get(folder.event_id):
                self.run.shared_folders_left_behind.append(folder.as_left_behind(reason))
                self.run.log.warn(folder.as_warning(reason))
        if refused and self._fails:
            event_id, reason = next(iter(refused.items()))
            raise SharedFolderError(
                f"The shared folder of event {event_id} cannot be deleted ({reason}), and as"
                " fail_on_shared_folder_deletion_error is set, the job stopped there: mend the cause or remove the folder by"
                " hand, then run the job again."
            )

    def _count(self, deletion: FolderDeletion) -> list[SharedFolder]:
        """Add to the run's ``done`` the folders that were deleted since the last call, and return them."""
        deleted = deletion.take_deleted()
        self.run.done["orphaned_shared_folders"].add(
            folder.as_item(in_trash=deletion.in_trash(folder)) for folder in deleted
        )
        return deleted


def _shown(directory: str) -> str:
    return json.dumps(directory or "/", ensure_ascii=False)
