# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of a connection URI that a job must know.

libpq reads the URI: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from ..base.errors import DatabaseError

try:
    import psycopg2
    from psycopg2.extensions import parse_dsn
except ImportError:
    psycopg2 = parse_dsn = None  # type: ignore[assignment]

WHERE = "the key url of section [database] in the controller's settings or the option database_url"


@dataclass(frozen=True)
class Host:
    """One server of the URL. What is None is left to libpq.

    :ivar name: a host name, an IP address, or the directory of a Unix socket; empty for libpq's default
    :ivar address: an IP address that takes the place of looking the name up; empty for none
    :ivar port: a number, or empty for libpq's default
    """

    name: str | None
    address: str | None
    port: str | None

    @property
    def is_network(self) -> bool:
        """Whether the name is one to look up, or an IP address."""
        return bool(self.name) and not (self.name or "").startswith(("/", "@"))

    def __str__(self) -> str:
        shown = self.name or self.address or "on the local socket"
        return f"{f'[{shown}]' if ':' in shown else shown}:{self.port or '5432'}"


@dataclass(frozen=True)
class DatabaseURL:
    """A URL that libpq can parse.

    :ivar text: what libpq is given
    :ivar hosts: at least one
    :ivar looked_up: whether libpq may be told the IP address of a host
    :ivar parameters: all that the URL says, by libpq's keywords
    """

    text: str = field(repr=False)
    hosts: tuple[Host, ...]
    database: str
    looked_up: bool
    parameters: dict[str, str] = field(repr=False)

    def parameter(self, name: str, variable: str) -> str | None:
        """The value of a parameter, from the URL or from libpq's environment variable."""
        return self.parameters.get(name) or os.environ.get(variable) or None


def parse(text: str) -> DatabaseURL:
    """Read a URL, or keywords and values in libpq's form.

    :raises DatabaseError: libpq cannot read it, and neither can the controller
    """
    try:
        return _read(text)
    except DatabaseError:
        other = _as_libpq_wants(text)
        if other == text:
            raise
        return _read(other)


def _read(text: str) -> DatabaseURL:
    try:
        parameters = parse_dsn(text)
    except (psycopg2.Error, ValueError):
        # psycopg2 raises ValueError for characters that no URL can have.
        raise _unknown_parameter(text) or _unparsable() from None
    service = bool(parameters.get("service") or os.environ.get("PGSERVICE"))

    def listed(name: str, variable: str) -> list[str] | None:
        value = parameters.get(name) or (None if service else os.environ.get(variable))
        # A service may have what the URL does not say.
        return value.split(",") if value else None if service else [""]

    names, addresses, ports = listed("host", "PGHOST"), listed("hostaddr", "PGHOSTADDR"), listed("port", "PGPORT")
    count = max(len(names or [""]), len(addresses or [""]))
    database = parameters.get("dbname") or parameters.get("user") or "unknown"
    # If a character of the password should have been encoded, a part of the password is in one of these. The names of
    # abstract sockets begin with @.
    shown = [name.removeprefix("@") for name in names or []] + (addresses or []) + [database]
    if "@" in "".join(shown) or not "".join(shown).isprintable() or re.search(r"[^\d]", "".join(ports or [])):
        raise _unparsable()
    columns = [_column(names, count), _column(addresses, count), _column(ports, count)]
    if any(len(column) != count for column in columns):
        raise DatabaseError(
            f"The database URL does not give each of its {count} hosts one port and one address; correct {WHERE}."
        )
    hosts = tuple(Host(name, address, port) for name, address, port in zip(*columns, strict=True))
    return DatabaseURL(text, hosts, database, not service, parameters)


def _as_libpq_wants(text: str) -> str:
    """A URL that the controller reads, in a form that libpq reads, too.

    The controller's client (https://docs.rs/tokio-postgres/latest/tokio_postgres/config/) takes everything before the first
    ``@`` for user name and password, with any character, and has another name for ``keepalives_count``.
    """
    scheme, colons, rest = text.partition("://")
    credentials, at, place = rest.partition("@")
    if at:
        name, colon, password = credentials.partition(":")
        rest = f"{_encoded(name)}{colon}{_encoded(password)}@{place}"
    return re.sub(r"(?<=[?&])keepalives_retries=", "keepalives_count=", f"{scheme}://{rest}") if colons else text


def _encoded(text: str) -> str:
    return quote(unquote(text), safe="")


def _column(values: list[str] | None, count: int) -> list[str] | list[None]:
    if values is None:
        return [None] * count
    return values * count if len(values) == 1 else values


def _unparsable() -> DatabaseError:
    return DatabaseError(
        "The database URL cannot be parsed; correct the key url of section [database] or the option database_url"
        " (special characters in user name and password must be percent-encoded)."
    )


def _unknown_parameter(text: str) -> DatabaseError | None:
    """The error for the first parameter that libpq does not know, or None if the mistake is elsewhere."""
    front, mark, query = text.partition("?")
    if not mark or "@" in query or "password" in query:
        # What looks like a parameter may be a part of the password.
        return None
    try:
        parse(front)
    except DatabaseError:
        return None
    for parameter in query.split("&"):
        name, equals, _value = parameter.partition("=")
        if not equals or not re.fullmatch(r"\w+", name, re.ASCII):
            return None
        if not _is_known(f"{name}="):
            return DatabaseError(
                f"The database URL has the parameter {name}, which libpq does not know; correct {WHERE}."
            )
        if not _is_known(parameter):
            return DatabaseError(
                f"The parameter {name} of the database URL has a value that cannot be parsed; correct {WHERE}."
            )
    return None


def _is_known(parameter: str) -> bool:
    try:
        parse_dsn(f"postgres://?{parameter}")
    except (psycopg2.Error, ValueError):
        return False
    return True
