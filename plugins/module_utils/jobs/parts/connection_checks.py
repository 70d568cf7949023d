# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at everything that the jobs need, without changing anything, so that all faults show at once."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...base import packages
from ...base.errors import (
    ConfigurationError,
    DeadlineExceeded,
    MaintenanceError,
    PauseError,
    SchemaError,
    SharedFolderError,
)
from ...deletion import hindrances, policy, rights
from ...deletion.catalogue import read_catalogue
from ...deletion.graph import DeletionGraph
from ...run import Run
from ...systems.clouds.providers import provider
from ...systems.database import Database
from ...systems.keycloak import Keycloak
from ...systems.object_storage import ObjectStorage
from ...systems.object_storage_client import StorageClient

OK, FAILED, NOT_SET = "ok", "failed", "not set"
# The tables whose rows are the roots of a job.
_ROOTS = ("events", "rooms", "users", "invites")


@dataclass(frozen=True)
class Check:
    """What was found out about one thing that the jobs need.

    :ivar name: the thing
    :ivar status: ``ok``, ``failed`` or ``not set``
    :ivar details: a clause or a sentence, without secrets
    """

    name: str
    status: str
    details: str

    def as_item(self) -> dict[str, str]:
        return {"name": self.name, "status": self.status, "details": self.details}


class _NotSet(Exception):
    """The settings say nothing about the thing, and only some jobs need it."""


def checks(run: Run) -> Iterator[Check]:
    """Look at one thing after the other. A fault of one keeps no other from being looked at.

    :raises DeadlineExceeded: the job's timeout passed
    """
    looks: dict[str, Callable[[Run], str]] = {
        "packages": _packages,
        "settings": _settings,
        "database": _database,
        "object storage": _object_storage,
        "shared folders": _shared_folders,
        "Keycloak": _keycloak,
    }
    for name, look in looks.items():
        try:
            yield Check(name, OK, look(run))
        except _NotSet as reason:
            yield Check(name, NOT_SET, str(reason))
        except DeadlineExceeded:
            raise
        except MaintenanceError as error:
            yield Check(name, FAILED, str(error))


def _packages(run: Run) -> str:
    missing = [name for name in packages.LOWEST if packages.version(name) is None]
    if missing:
        raise ConfigurationError(
            f"Python {platform.python_version()} lacks {', '.join(missing)}; install them, for example with the playbook"
            " opentalk.maintenance.prepare_hosts."
        )
    for name in packages.LOWEST:
        packages.check(name)
    versions = (f"{name} {packages.version(name)}" for name in packages.LOWEST)
    return ", ".join([f"Python {platform.python_version()}", *versions])


def _settings(run: Run) -> str:
    if run.settings.path:
        return f"from {run.settings.path}"
    return f"no settings file (looked for: {run.settings.searched}), so from environment variables and options only"


def _database(run: Run) -> str:
    database = Database(
        run.settings.database_url(),
        deadline=run.deadline,
        read_only=True,
        application_name=f"opentalk.maintenance {run.job_type}",
    )
    try:
        (version,) = database.row("SELECT current_setting('server_version')")
        catalogue = read_catalogue(database)
        problems, tables = [], set()
        for root in _ROOTS:
            try:
                graph = DeletionGraph(catalogue, catalogue.table(root))
                tables.update(graph.tables)
                for warning in hindrances.find(database, graph).warnings:
                    run.warn(warning)
            except SchemaError as error:
                problems.append(str(error))
        if catalogue.has(policy.PERMISSIONS):
            tables.add(catalogue.table(policy.PERMISSIONS))
        problems.extend(rights.problems(database, tables))
        if problems:
            raise SchemaError(" ".join(dict.fromkeys(problems)))
        between = ", behind a pooler that gives the job a session of its own" if database.is_pooled else ""
        return f"PostgreSQL {version.split()[0]}, migration {catalogue.migration}, all rights on {len(tables)} tables{between}"
    finally:
        database.close()


def _object_storage(run: Run) -> str:
    settings = run.settings.object_storage()
    storage = ObjectStorage(StorageClient.for_job(settings, run.options, deadline=run.deadline, gate=run.gate))
    storage.check()
    next(storage.objects(), None)
    for warning in storage.take_warnings():
        run.warn(warning)
    versions = "which keeps versions" if storage.keeps_versions() else "without versions"
    return f"bucket {settings.bucket}, {versions}, can be listed"


def _shared_folders(run: Run) -> str:
    settings = run.settings.shared_folder()
    if settings is None:
        raise _NotSet("the settings have no section [shared_folder]")
    cloud = provider(settings, run.options, deadline=run.deadline, gate=run.gate)
    try:
        found = cloud.list_directory().entries
    except (SharedFolderError, PauseError) as error:
        raise ConfigurationError(f"The cloud {settings.provider} cannot be used: {error}.") from None
    where = f"directory {settings.directory}" if settings.directory else "the account's root"
    if found is None:
        run.warn(
            f"The cloud has no {where}; it is made with the first shared folder, or the setting directory is mistaken."
        )
        return f"{settings.provider}, which has no {where} yet"
    return f"{settings.provider}, {where} can be listed"


def _keycloak(run: Run) -> str:
    if not run.settings.names_keycloak():
        raise _NotSet("the settings have no section [user_search] or [keycloak]; only keycloak_account_sync needs it")
    settings = run.settings.keycloak()
    for warning in settings.warnings:
        run.warn(warning)
    keycloak = Keycloak.for_job(settings, run.options, deadline=run.deadline, gate=run.gate)
    count = keycloak.count()
    keycloak.page(0, 1)
    where = f"realm {settings.api.realm}" if settings.api.realm else settings.api.url
    return f"{where}, accounts that can be listed: {count}"
