# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections to PostgreSQL. No wait on one lasts longer than it may."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import time
from collections.abc import Iterator
from typing import Any

from ..base.deadline import Deadline
from ..base.errors import DeadlineExceeded
from . import libpq
from .connection_failures import Attempt, connection_failure, reason
from .database_url import DatabaseURL, Host

try:
    import psycopg2
    from psycopg2 import extensions
except ImportError:
    psycopg2 = extensions = None  # type: ignore[assignment]

# Seconds for each host.
CONNECT_TIMEOUT = 10.0
# Seconds after the deadline that the server has to cancel a statement. Then the connection is given up.
GRACE = 3.0
# The system tells the end of a connection within 25 seconds after the last answer of the other side.
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_USER_TIMEOUT = {"tcp_user_timeout": 25_000}


class Expired(Exception):
    """A wait for the server has reached its limit. The connection is closed then."""


class Connection(extensions.connection if extensions else object):  # type: ignore[misc]
    """A connection whose waits end with the job's deadline, or earlier.

    :ivar host: where it leads
    :ivar place: the arguments of psycopg2 that lead to the same server again
    """

    def __init__(
        self, dsn: str, is_async: int = 0, *, deadline: Deadline, attempt: Attempt, place: dict[str, str]
    ) -> None:
        self.deadline = deadline
        self.host = attempt.host
        self.place = place
        self.attempt: Attempt | None = attempt
        self._until: float | None = None
        attempt.connection = self
        with self.limited(attempt.seconds):
            super().__init__(dsn, is_async)
            if is_async:
                wait(self)
        self.attempt = None

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Let all waits in this block end after so many seconds together."""
        self._until = time.monotonic() + seconds
        try:
            yield
        finally:
            self._until = None

    def seconds_left(self) -> float:
        """Seconds that a wait may last."""
        left = self.deadline.remaining() + GRACE
        return left if self._until is None else max(0.0, min(left, self._until - time.monotonic()))


def connect(url: DatabaseURL, deadline: Deadline) -> Connection:
    """A connection to the first host of the URL that takes it.

    Each host, and each IP address of a host, has a time limit of its own. As libpq does, the others are not tried after a
    host that answers and refuses the connection.

    :raises DatabaseError: no host takes it
    """
    extensions.set_wait_callback(wait)
    hosts = list(url.hosts)
    if url.parameter("load_balance_hosts", "PGLOADBALANCEHOSTS") == "random":
        random.shuffle(hosts)
    wanted = url.parameter("target_session_attrs", "PGTARGETSESSIONATTRS")
    # libpq makes two passes over all hosts for this one, but here it sees one host at a time.
    passes = ["standby", "any"] if wanted == "prefer-standby" and len(hosts) > 1 else [wanted]
    others = len(passes) * len(hosts)
    for target in passes:
        failures: list[tuple[Host, str]] = []
        for host in hosts:
            others -= 1
            tried = _try_host(url, host, target, deadline, others=others)
            if isinstance(tried, Connection):
                tried.autocommit = True
                return tried
            failures.append((host, reason(url, tried, deadline)))
            if tried.is_final:
                break
    deadline.check()
    raise connection_failure(url, failures)


def connect_again(connection: Connection, url: DatabaseURL) -> Connection:
    """One more connection to the server of another one, for psycopg2's asynchronous use.

    :raises DatabaseError: the server does not take it
    """
    attempt = Attempt(connection.host, connection.deadline.bound(CONNECT_TIMEOUT))
    made = _attempt(url, connection.place, connection.deadline, attempt, is_async=True)
    if made is None:
        connection.deadline.check()
        raise connection_failure(url, [(connection.host, reason(url, attempt, connection.deadline))])
    return made


def wait(connection: Any) -> None:
    """Wait until a connection has an answer. psycopg2 calls this for connections that are not asynchronous.

    https://www.psycopg.org/docs/advanced.html#support-for-coroutine-libraries

    :raises Expired: the answer did not come in time
    """
    attempt = getattr(connection, "attempt", None)
    if attempt:
        libpq.make_verbose(connection)
    while True:
        state = connection.poll()
        if attempt:
            attempt.stage = connection.info.status
        if state == extensions.POLL_OK:
            return
        descriptors = [connection.fileno()]
        reading, writing = (descriptors, []) if state == extensions.POLL_READ else ([], descriptors)
        # The tests' own connections have no limit.
        limit = connection.seconds_left() if hasattr(connection, "seconds_left") else None
        if not any(select.select(reading, writing, [], limit)):
            raise Expired


def _try_host(
    url: DatabaseURL, host: Host, target: str | None, deadline: Deadline, *, others: int
) -> Connection | Attempt:
    """A connection to a host, or the last attempt that failed.

    :param others: how many hosts are tried later; they need time, too
    """
    deadline.check()
    attempt = Attempt(host, min(CONNECT_TIMEOUT, deadline.remaining() / (1 + others)))
    addresses: list[str | None] = [host.address]
    if host.is_network and not host.address and url.looked_up:
        try:
            addresses = [*_addresses(host, attempt.seconds)]
        except (OSError, UnicodeError, DeadlineExceeded):
            attempt.has_no_address = True
            return attempt
    for number, address in enumerate(addresses):
        place = {"host": host.name, "hostaddr": address, "port": host.port, "target_session_attrs": target}
        given = {name: value for name, value in place.items() if value is not None}
        share = deadline.remaining() / (len(addresses) - number + others)
        attempt = Attempt(Host(host.name, address, host.port), min(CONNECT_TIMEOUT, share))
        connection = _attempt(url, given, deadline, attempt)
        if connection:
            return connection
        if attempt.is_final:
            break
        if target not in (None, "any") and attempt.stage is not None and not attempt.expired:
            # libpq does not say that it found another kind of server.
            again = Attempt(attempt.host, attempt.seconds)
            found = _attempt(url, {**given, "target_session_attrs": "any"}, deadline, again)
            if found:
                found.close()
                attempt.is_wrong_kind = True
    return attempt


def _addresses(host: Host, seconds: float) -> list[str]:
    def look_up() -> list[str]:
        found = socket.getaddrinfo(host.name, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_kind, address in found))

    return Deadline(seconds).run(look_up)


def _attempt(
    url: DatabaseURL, place: dict[str, str], deadline: Deadline, attempt: Attempt, *, is_async: bool = False
) -> Connection | None:
    """A connection, or None if it failed; then the attempt knows the reason."""

    def make(dsn: str, is_async: int = 0) -> Connection:
        return Connection(dsn, is_async, deadline=deadline, attempt=attempt, place=place)

    # A server that is told something which PgBouncer does not know is not reached through PgBouncer.
    options: dict[str, Any] = {"client_encoding": "UTF8", **_KEEPALIVES, **place}
    if extensions.libpq_version() >= 120_000:
        options |= _USER_TIMEOUT
    try:
        return psycopg2.connect(url.text, connection_factory=make, async_=int(is_async), **options)
    except Expired:
        attempt.expired = True
    except (psycopg2.Error, ValueError) as error:
        attempt.failed(str(error))
    finally:
        attempt.connection = None
    return None
