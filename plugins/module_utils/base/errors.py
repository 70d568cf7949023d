# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors a job can end with. Each message is one sentence: what is wrong, and what to do."""

from __future__ import annotations

from .text import one_line


class MaintenanceError(Exception):
    """Base of all errors that end a job with a message; anything else that escapes is a bug.

    :param message: one sentence; what it quotes from settings cannot break its line
    :ivar in_commit: whether it struck while a transaction was committed, so that nobody knows whether it was
    """

    in_commit = False

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class ConfigurationError(MaintenanceError):
    """A setting is missing, unreadable or wrong."""


class ParameterError(MaintenanceError):
    """A job parameter or option has a value the job cannot work with."""


class MissingLibraryError(MaintenanceError):
    """A Python package that the job needs is not installed on the host."""

    def __init__(self, library: str, traceback: str) -> None:
        super().__init__(f"The Python package {library} is missing.")
        self.library = library
        self.traceback = traceback


class DatabaseError(MaintenanceError):
    """PostgreSQL refused something, or cannot be reached."""


class ConnectionLostError(DatabaseError):
    """The connection to PostgreSQL broke: nothing more can be done in this run."""


class TransientDatabaseError(DatabaseError):
    """A deadlock or a serialization failure: the same transaction may succeed when it is tried again.

    :ivar cause: the reason why a row stays that this struck every time
    """

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class LockTimeoutError(TransientDatabaseError):
    """Another session held a lock for longer than a statement waits."""


class SchemaError(DatabaseError):
    """The database is not one that can be cleaned safely."""


class ObjectStorageError(MaintenanceError):
    """The S3 server refused something, or cannot be reached."""


class SharedFolderError(MaintenanceError):
    """A shared folder could not be deleted."""


class PauseError(MaintenanceError):
    """A server wants to be left alone for longer than a transaction may wait: nothing is wrong with what was to be done.

    :param seconds: how long
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"A server asks to be left alone for {seconds:.0f} seconds; run the job again after that.")
        self.seconds = seconds


class KeycloakError(MaintenanceError):
    """Keycloak refused something, cannot be reached, or gives a list of accounts that cannot be relied on."""


class AuditLogError(MaintenanceError):
    """The audit log cannot be written."""


class DeadlineExceeded(MaintenanceError):
    """The job's timeout has passed."""


class SafetyLimitExceeded(MaintenanceError):
    """The plan would touch more than the operator allows."""


class PlanDiffersError(MaintenanceError):
    """The plan has more than the one that the operator approved."""


class IncompleteError(MaintenanceError):
    """The job came to its end, but something of its plan could not be done."""
