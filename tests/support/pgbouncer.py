# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PgBouncer in front of a PostgreSQL. It refuses to run as root, so root starts it as another user."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import psycopg2

from support.postgresql import USER, PostgreSQLServer, other_user
from support.server_process import ServerProcess, free_port


class PgBouncerUnavailable(RuntimeError):
    """There is no PgBouncer here."""


class PgBouncer:
    """A running PgBouncer: `with PgBouncer(server, pool_mode="session") as pooler: ...`.

    `settings` are further lines of the section [pgbouncer].
    """

    def __init__(self, server: PostgreSQLServer, **settings: str) -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise PgBouncerUnavailable("PgBouncer is not installed")
        self._server = server
        self.port = free_port()
        scratch = Path(tempfile.mkdtemp(prefix="opentalk-pgbouncer-"))
        (scratch / "users.txt").write_text(f'"{USER}" "{server.password}"\n')
        lines = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(scratch / "users.txt"),
            "admin_users": USER,
            **settings,
        }
        (scratch / "pgbouncer.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\n"
            + "".join(f"{name} = {value}\n" for name, value in lines.items())
        )
        prefix = other_user() if os.geteuid() == 0 else []
        for path in (scratch, *scratch.iterdir()):
            path.chmod(0o700)
            if prefix:
                os.chown(path, int(prefix[-2]), int(prefix[-1]))
        self._process = ServerProcess("PgBouncer", [*prefix, program, str(scratch / "pgbouncer.ini")], scratch=scratch)
        self._process.wait_until(self._answers)

    def url(self, database: str) -> str:
        return f"postgres://{USER}:{self._server.password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str) -> Any:
        """A new psycopg2 connection without transactions of psycopg2's own."""
        connection = psycopg2.connect(self.url(database))
        connection.autocommit = True
        return connection

    def __enter__(self) -> PgBouncer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def _answers(self) -> bool:
        try:
            self.connect("pgbouncer").close()
        except psycopg2.OperationalError:
            return False
        return True
