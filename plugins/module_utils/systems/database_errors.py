# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages for errors of psycopg2 and PostgreSQL.

PostgreSQL's own messages may contain values of rows, and libpq's may contain the connection URI, so neither is shown. The
messages here are made from the SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html) and the names
of tables and constraints.
"""

from __future__ import annotations

import re
from typing import Any

from ..base.errors import (
    ConnectionLostError,
    DatabaseError,
    LockTimeoutError,
    RowsRefusedError,
    SchemaError,
    TransientDatabaseError,
)

_CONNECTION_FAILURES = (
    (r"password authentication failed|no password supplied", "refused the user name or the password"),
    (r"no pg_hba.conf entry|pg_hba.conf rejects", "does not allow connections from this host (see its pg_hba.conf)"),
    (r"role \".*\" does not exist", "does not know the user"),
    (r"database \".*\" does not exist", "does not have that database"),
    (r"permission denied for database", "does not allow this user to connect to that database"),
    (r"too many (clients|connections)|remaining connection slots", "has no connection slot left; try again later"),
    (r"starting up|shutting down|recovery mode", "is starting up or shutting down; try again later"),
    (r"certificate|SSL|TLS", "could not be reached over TLS as the URL asks (see its sslmode and sslrootcert)"),
    (r"could not translate host name|Name or service not known", "has a host name that cannot be resolved"),
    (r"Connection refused", "is not listening (connection refused)"),
    (r"No route to host|Network is unreachable", "cannot be reached from this host"),
    (r"timeout expired|timed out", "did not answer in time"),
)

_TRANSIENT = {
    "40001": "a serialization failure",
    "40P01": "a deadlock",
}

_LOST = {
    "57P01": "the server was shut down or the session was terminated",
    "57P02": "the server crashed",
    "57P03": "the server is starting up or shutting down",
    "57P05": "the session was idle for too long",
    "25P03": "the session was idle in a transaction for too long",
}


def connection_failure(error: Exception, url: str) -> DatabaseError:
    """The error to raise when a connection failed."""
    server = _server(url)
    if server is None:
        return DatabaseError(
            "The database URL cannot be parsed; correct the key url of section [database] or the option database_url"
            " (special characters in user name and password must be percent-encoded)."
        )
    text = str(error)
    unknown = "could not be reached" if text else "did not answer in time"
    meaning = next((found for pattern, found in _CONNECTION_FAILURES if re.search(pattern, text)), unknown)
    return DatabaseError(
        f"The PostgreSQL server {server} {meaning};"
        " check the key url of section [database] in the controller's settings or the option database_url."
    )


def statement_failure(error: Any, *, lost: bool) -> DatabaseError:
    """The error to raise when a statement failed.

    :param error: a psycopg2.Error
    :param lost: whether the connection is closed now
    """
    code = error.pgcode or ""
    table = error.diag.table_name
    if code == "55P03":
        return LockTimeoutError(
            "Another session holds a lock on rows that are to be changed; run the job again.",
            "another session holds a lock on it",
        )
    if code in _TRANSIENT:
        return TransientDatabaseError(
            f"PostgreSQL stopped a transaction because of {_TRANSIENT[code]}; run the job again.",
            f"PostgreSQL stopped its transaction every time because of {_TRANSIENT[code]}",
        )
    if lost or code in _LOST or code.startswith("08"):
        return ConnectionLostError(
            f"The connection to PostgreSQL was lost ({_LOST.get(code, 'the server closed it')}); run the job again."
        )
    if code == "42501" and not error.diag.context:
        name = re.search(r"permission denied for \w+ ([\w.\"]+)", error.diag.message_primary or "")
        return DatabaseError(
            f"The database user may not do this on {name[1] if name else 'a table of the database'};"
            " use the user that the controller uses, or grant it the privilege."
        )
    if code == "25006":
        return not_writable()
    if code == "57014":
        return DatabaseError("A statement was cancelled in PostgreSQL by somebody else; run the job again.")
    if code.startswith("53"):
        return DatabaseError(
            f"The PostgreSQL server is out of resources ({_condition(code)}); free some, then run the job again."
        )
    if code in ("42P01", "42703", "3F000") and not error.diag.context:
        return SchemaError(
            "The database lacks a table or column that the controller's schema has;"
            " check that the database URL names the controller's database."
        )
    if code.startswith("58"):
        return DatabaseError(
            f"PostgreSQL refused a statement with SQLSTATE {code} ({_condition(code)}); see the server's log for the reason."
        )
    # With RAISE, a trigger names any table and constraint that it likes, such as a person.
    if code.startswith("23") and error.diag.source_function != "exec_stmt_raise":
        constraint = (
            f"the constraint {error.diag.constraint_name or 'of an unknown name'} of table {table or 'unknown'}"
        )
        cause = f"{constraint} forbids it"
    else:
        cause = f"PostgreSQL refuses it with SQLSTATE {code or 'unknown'} ({_condition(code)})"
    return RowsRefusedError(f"Nothing was changed, because {cause}; see the server's log for more.", cause, code)


def not_writable() -> DatabaseError:
    """The error to raise when the server accepts no writes."""
    return DatabaseError(
        "The PostgreSQL server accepts no writes (a standby, or one that is set to read-only);"
        " set the database URL to the primary server, or run the job again when writes are allowed."
    )


def _condition(code: str) -> str:
    from psycopg2 import errorcodes

    try:
        return errorcodes.lookup(code).lower()
    except KeyError:
        return "unknown condition"


def _server(url: str) -> str | None:
    import psycopg2
    from psycopg2.extensions import parse_dsn

    try:
        parts = parse_dsn(url)
    except (psycopg2.Error, ValueError):
        return None
    host = parts.get("host") or parts.get("hostaddr") or "on the local socket"
    port, database = parts.get("port", "5432"), parts.get("dbname") or parts.get("user", "unknown")
    # If a character of the password should have been encoded, a part of the password is in one of these.
    if not re.fullmatch(r"[\d,]*", port) or "@" in f"{host}{database}" or not f"{host}{database}".isprintable():
        return None
    return f"{host}:{port}, database {database},"
