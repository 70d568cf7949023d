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


def statement_failure(error: Any, *, lost: bool, statement: bytes | None = None) -> DatabaseError:
    """The error to raise when a statement failed.

    :param error: a psycopg2.Error
    :param statement: the statement as it was sent
    :param lost: whether the connection is closed now
    """
    # If the server also closes the connection, the SQLSTATE may be only in the text.
    code = error.pgcode or sqlstate(str(error))
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
        return lost_connection(_LOST.get(code, "the server or the network ended it"))
    if code == "42501" and not error.diag.context:
        return DatabaseError(
            f"The database user may not do this on {_named_table(error, statement) or 'a table of the database'};"
            " use the user that the controller uses, or grant it the privilege."
        )
    if code == "25006":
        return not_writable()
    if code == "57014":
        return DatabaseError("A statement was cancelled in PostgreSQL by somebody else; run the job again.")
    if code.startswith("53"):
        return DatabaseError(
            f"The PostgreSQL server is out of resources ({condition(code)}); free some, then run the job again."
        )
    if code in ("42P01", "42703", "3F000") and not error.diag.context:
        return SchemaError(
            "The database lacks a table or column that the controller's schema has;"
            " check that the database URL names the controller's database."
        )
    if code.startswith("58"):
        return DatabaseError(
            f"PostgreSQL refused a statement with SQLSTATE {code} ({condition(code)}); see the server's log for the reason."
        )
    # With RAISE, a trigger names any table and constraint that it likes, such as a person.
    if code.startswith("23") and error.diag.source_function != "exec_stmt_raise":
        constraint = (
            f"the constraint {error.diag.constraint_name or 'of an unknown name'} of table {table or 'unknown'}"
        )
        cause = f"{constraint} forbids it"
    else:
        cause = f"PostgreSQL refuses it with SQLSTATE {code or 'unknown'} ({condition(code)})"
    return RowsRefusedError(f"Nothing was changed, because {cause}; see the server's log for more.", cause, code)


def _named_table(error: Any, statement: bytes | None) -> str | None:
    """The table that a message names. PostgreSQL has no field for it here, but every language has the name as it is.

    :returns: the only identifier of the statement that is also a word of the message; None if it is not known
    """
    words = re.findall(r"\w+", error.diag.message_primary or "")
    identifiers = re.findall(rb'"([a-z_][a-z0-9_]*)"', statement or b"")
    found = {identifier.decode() for identifier in identifiers}.intersection(words)
    return found.pop() if len(found) == 1 else None


def lost_connection(reason: str) -> ConnectionLostError:
    """The error to raise when the connection broke."""
    return ConnectionLostError(f"The connection to PostgreSQL was lost ({reason}); run the job again.")


def not_writable() -> DatabaseError:
    """The error to raise when the server accepts no writes."""
    return DatabaseError(
        "The PostgreSQL server accepts no writes (a standby, or one that is set to read-only);"
        " set the database URL to the primary server, or run the job again when writes are allowed."
    )


def sqlstate(text: str) -> str:
    """The SQLSTATE in libpq's text, which has it as in ``FATAL:  28P01: words`` (see libpq.py), or an empty text."""
    codes = re.findall(r":  ([0-9A-Z]{5}): ", text)
    return codes[-1] if codes else ""


def condition(code: str) -> str:
    """The name of a SQLSTATE's condition."""
    from psycopg2 import errorcodes

    try:
        return errorcodes.lookup(code).lower()
    except KeyError:
        return "unknown condition"
