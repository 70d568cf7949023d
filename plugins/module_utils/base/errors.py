# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors with which a job can end. Each message is one sentence: it says what is wrong and what to do."""

from __future__ import annotations

from .text import one_line


class MaintenanceError(Exception):
    """Base of all errors that end a job with a message. Any other exception that ends a job is a bug.

    :param message: one sentence; line breaks and control characters in it are replaced
    :ivar in_commit: whether the error came during a commit; nobody knows then whether the transaction was committed
    """

    in_commit = False

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class ConfigurationError(MaintenanceError):
    """A setting is missing, unreadable or wrong."""


class ParameterError(MaintenanceError):
    """A parameter or option has a value that the job cannot use."""


class MissingLibraryError(MaintenanceError):
    """A Python package that the job needs is not installed on the host."""

    def __init__(self, library: str, traceback: str) -> None:
        super().__init__(f"The Python package {library} is missing.")
        self.library = library
        self.traceback = traceback


class OutdatedLibraryError(MaintenanceError):
    """A Python package that the job needs is installed in a version that is too old."""


class DatabaseError(MaintenanceError):
    """PostgreSQL refused something, or cannot be reached."""


class ConnectionLostError(DatabaseError):
    """The connection to PostgreSQL broke. The run cannot go on."""


class TransientDatabaseError(DatabaseError):
    """A deadlock or a serialization failure. The same transaction may succeed when it is tried again.

    :ivar cause: the reason to report for a row that stays because every try ended with this error
    """

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class LockTimeoutError(TransientDatabaseError):
    """Another session held a lock longer than a statement waits for it."""


class RowsRefusedError(DatabaseError):
    """The database refuses to delete or change some rows of a batch. It may agree to the other ones.

    :ivar cause: the reason to report for a row that stays because of this error
    :ivar code: the SQLSTATE; empty if PostgreSQL raised no error
    """

    def __init__(self, message: str, cause: str, code: str = "") -> None:
        super().__init__(message)
        self.cause = cause
        self.code = code


class LaterRowsError(RowsRefusedError):
    """Some rows of a batch came or were changed after the preview that the run is held to."""


class SchemaError(DatabaseError):
    """The schema of the database is not one that a job can clean safely."""


class ObjectStorageError(MaintenanceError):
    """The S3 server refused something, or cannot be reached."""


class SharedFolderError(MaintenanceError):
    """A shared folder could not be deleted."""


class PauseError(MaintenanceError):
    """A server asks for a pause that is longer than a transaction may wait. The work can be done after the pause.

    :param seconds: the length of the pause
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"A server asks to be left alone for {seconds:.0f} seconds; run the job again after that.")
        self.seconds = seconds


class OutsideTimeoutError(MaintenanceError):
    """The object storage or the cloud took longer than a batch may hold its locks.

    :param seconds: that they had
    :ivar again: whether the same batch may succeed when it is tried again
    """

    again = False

    def __init__(self, seconds: float) -> None:
        self.cause = f"the object storage or the cloud took longer than {seconds:g} seconds (see outside_timeout)"
        super().__init__(f"Nothing of a batch was deleted, because {self.cause}; run the job again.")


class KeycloakError(MaintenanceError):
    """Keycloak refused something, cannot be reached, or gives a list of accounts that may be incomplete."""


class AuditLogError(MaintenanceError):
    """The audit log cannot be written."""


class DeadlineExceeded(MaintenanceError):
    """The job's timeout has passed."""


class SafetyLimitExceeded(MaintenanceError):
    """The plan touches more than the operator allows."""


class IncompleteError(MaintenanceError):
    """The job ended, but could not carry out a part of its plan."""
