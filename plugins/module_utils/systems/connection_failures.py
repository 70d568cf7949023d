# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a connection failed, in any language of the server.

libpq's texts may have the connection URI, so they are not shown. They are not understood either: only the SQLSTATE and the
name of a C function are taken from them (https://www.postgresql.org/docs/current/errcodes-appendix.html). Where the server
says nothing, the stage that libpq has reached tells the reason, and a look at the network.
"""

from __future__ import annotations

import errno
import re
import socket
from typing import Any

from ..base.deadline import Deadline
from ..base.errors import DatabaseError
from .database_errors import condition, sqlstate
from .database_url import WHERE, DatabaseURL, Host

try:
    import psycopg2
except ImportError:
    psycopg2 = None  # type: ignore[assignment]

# Seconds for a look at the network.
_LOOK = 3.0
# libpq's ConnStatusType: https://www.postgresql.org/docs/current/libpq-async.html#LIBPQ-PQCONNECTSTARTPARAMS
_CONNECTING, _TLS = 2, 7
_WITHOUT_TLS = ("disable", "allow", "prefer")

_REFUSALS = {
    "08P01": "refused the connection with SQLSTATE 08P01, as poolers do for any reason (see the pooler's log)",
    "28P01": "refused the user name or the password",
    "28000": "refused this user, or connections from this host (see its pg_hba.conf)",
    "3D000": "does not have that database",
    "42501": "does not allow this user to connect to that database",
    "55000": "does not allow connections to that database",
    "53300": "has no connection slot left; try again later",
    "57P01": "is starting up or shutting down; try again later",
    "57P02": "is starting up or shutting down; try again later",
    "57P03": "is starting up or shutting down; try again later",
}
# One SQLSTATE has several reasons, which PostgreSQL reports in different functions.
_FUNCTIONS = {
    ("28000", "ClientAuthentication"): "does not allow connections from this host (see its pg_hba.conf)",
    ("28000", "InitializeSessionUserId"): "does not know the user, or does not let it log in",
}
# The server cannot take connections at the moment, so another host may.
_PASSING = ("57P01", "57P02", "57P03")


class Attempt:
    """One attempt to connect to one address of one host.

    :param seconds: its time limit
    :ivar connection: the psycopg2 connection while it is tried
    :ivar stage: libpq's status after its last step that went well; None if there was none
    :ivar code: the SQLSTATE of the server's refusal, or an empty text
    :ivar function: the name of the C function that reported it, or an empty text
    :ivar needs_password: whether the server asked for a password and libpq had none
    :ivar has_no_address: whether the host name cannot be resolved
    :ivar is_wrong_kind: whether it takes connections, but not with target_session_attrs of the URL
    """

    def __init__(self, host: Host, seconds: float) -> None:
        self.host = host
        self.seconds = seconds
        self.connection: Any = None
        self.stage: int | None = None
        self.code = ""
        self.function = ""
        self.needs_password = False
        self.expired = False
        self.has_no_address = False
        self.is_wrong_kind = False

    def failed(self, text: str) -> None:
        """Take what is to be known from libpq's text, which ends like ``LOCATION:  auth_failed, auth.c:326``."""
        function = re.search(r"(\w+), \w+\.c:\d+\s*\Z", text)
        self.code = sqlstate(text)
        self.function = function[1] if function else ""
        try:
            self.needs_password = bool(self.connection.info.needs_password)
        except (AttributeError, psycopg2.Error):
            self.needs_password = False

    @property
    def is_final(self) -> bool:
        """Whether the server answered, so that other hosts are not tried."""
        return self.needs_password or bool(self.code) and self.code not in _PASSING


def reason(url: DatabaseURL, attempt: Attempt, deadline: Deadline) -> str:
    """What the server did, as the rest of a sentence that begins with the server."""
    if attempt.has_no_address:
        return "has a host name that cannot be resolved"
    if attempt.expired:
        return "did not answer in time"
    if attempt.code:
        known = _FUNCTIONS.get((attempt.code, attempt.function)) or _REFUSALS.get(attempt.code)
        return known or f"refused the connection with SQLSTATE {attempt.code} ({condition(attempt.code)})"
    if attempt.needs_password:
        return "asks for a password, and there is none"
    if attempt.stage == _TLS and _asks_for_tls(url):
        return "could not be reached over TLS as the URL asks (see its sslmode and sslrootcert)"
    if attempt.is_wrong_kind:
        return "is not a server of the kind that the URL asks for (see its target_session_attrs)"
    return _look(attempt, min(_LOOK, deadline.remaining()))


def connection_failure(url: DatabaseURL, failures: list[tuple[Host, str]]) -> DatabaseError:
    """The error to raise.

    :param failures: the hosts that were tried, each with its reason
    """
    reasons = {reason for _host, reason in failures}
    hosts = ", ".join(str(host) for host, _reason in failures)
    if len(failures) == 1:
        said = f"The PostgreSQL server {hosts}, database {url.database}, {failures[0][1]}"
    elif len(reasons) == 1:
        said = f"Each of the PostgreSQL servers {hosts}, database {url.database}, {failures[0][1]}"
    else:
        each = "; ".join(f"{host} {reason}" for host, reason in failures)
        said = f"None of the PostgreSQL servers for the database {url.database} can be used: {each}"
    return DatabaseError(f"{said}; check {WHERE}.")


def not_own_session(url: DatabaseURL, host: Host) -> DatabaseError:
    """The error to raise when a pooler shares the session with others."""
    return DatabaseError(
        f"The PostgreSQL server {host}, database {url.database}, is behind a pooler in transaction or statement mode, where a"
        " job has no session of its own; give the job the URL of PostgreSQL itself, or of a pool in session mode, with the"
        " option database_url."
    )


def no_session(code: str) -> str:
    """The reason where the login went well, but the first statements failed.

    :param code: their SQLSTATE, or an empty text
    """
    if not code:
        return "broke the connection off after the login (see its log)"
    return f"gives no session, with SQLSTATE {code} ({condition(code)}, see its log)"


def _asks_for_tls(url: DatabaseURL) -> bool:
    mode = url.parameter("sslmode", "PGSSLMODE")
    return mode not in _WITHOUT_TLS if mode else not url.looked_up


def _look(attempt: Attempt, seconds: float) -> str:
    """The reason that the network gives."""
    host = attempt.host
    try:
        if host.address or host.is_network:
            address = host.address or host.name or ""
            socket.create_connection((address, int(host.port or 5432)), seconds).close()
        elif host.name:
            with socket.socket(socket.AF_UNIX) as local:
                local.settimeout(seconds)
                path = f"{host.name}/.s.PGSQL.{host.port or 5432}"
                local.connect(f"\0{path[1:]}" if path.startswith("@") else path)
    except socket.gaierror:
        return "has a host name that cannot be resolved"
    except TimeoutError:
        return "did not answer in time"
    except OSError as error:
        if error.errno == errno.ECONNREFUSED:
            return "is not listening (connection refused)"
        if error.errno == errno.ENOENT:
            return "is not listening (there is no such socket)"
        return "cannot be reached from this host"
    except (ValueError, OverflowError):
        return "could not be reached"
    if not host.name and not host.address:
        return "could not be reached"
    if attempt.stage is None:
        return "could not be asked, because a parameter of the URL has a value that libpq does not take"
    if attempt.stage <= _CONNECTING:
        return "could not be reached"
    return "broke the connection off before the login was done (see its log)"
