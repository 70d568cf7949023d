# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed connections and statements: each message says what it is, in any language of the server and for each host."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psycopg2
import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base import errors
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.deadline import Deadline
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import database_connection, libpq
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.database import Database, sql

from support.limits import HANGS
from support.locales import LocaleUnavailable, german_server
from support.messages import is_sentence
from support.modules import run_module
from support.postgresql import PostgreSQLServer
from support.real import missing

PLANTED = "pl4nted-s3cret"
HBA = """
host all trusted,nobody all trust
host all rejected all reject
host all opentalk,unable,crowded,reader all scram-sha-256
"""


@pytest.fixture(scope="module", params=["English", "German"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgreSQLServer]:
    with tempfile.NamedTemporaryFile("w", prefix="opentalk-hba-") as hba:
        hba.write(HBA)
        hba.flush()
        os.chmod(hba.name, 0o644)
        with contextlib.ExitStack() as stack:
            if request.param == "English":
                made = stack.enter_context(PostgreSQLServer({"hba_file": hba.name}))
            else:
                try:
                    made = stack.enter_context(german_server(hba_file=hba.name))
                except LocaleUnavailable as error:
                    missing("postgresql", error)
            run(
                made,
                "CREATE DATABASE closed",
                "ALTER DATABASE closed ALLOW_CONNECTIONS false",
                "CREATE DATABASE private",
                "REVOKE CONNECT ON DATABASE private FROM public",
                "CREATE ROLE trusted LOGIN",
                f"CREATE ROLE unable PASSWORD '{PLANTED}'",
                f"CREATE ROLE crowded LOGIN CONNECTION LIMIT 0 PASSWORD '{PLANTED}'",
                f"CREATE ROLE reader LOGIN PASSWORD '{PLANTED}'",
            )
            yield made


def run(server: PostgreSQLServer, *statements: str) -> None:
    with contextlib.closing(server.connect("postgres")) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)


def failure(url: str, **options: Any) -> str:
    """The message of a job that cannot connect with this URL."""
    result = run_module("invite_cleanup", check_mode=True, database_url=url, **options)
    assert result["failed"] and is_sentence(result["msg"]), result["msg"]
    assert PLANTED not in str(result)
    return result["msg"]


def open_session(url: str, timeout: float = 60) -> contextlib.closing[Database]:
    return contextlib.closing(
        Database(url, deadline=Deadline(timeout), read_only=False, application_name="opentalk.maintenance test")
    )


@pytest.mark.parametrize(
    ("user", "password", "rest", "meaning"),
    [
        ("opentalk", PLANTED, "postgres", "refused the user name or the password"),
        ("opentalk", None, "postgres", "asks for a password, and there is none"),
        ("opentalk", "right", "missing", "does not have that database"),
        ("opentalk", "right", "closed", "does not allow connections to that database"),
        ("trusted", None, "private", "does not allow this user to connect to that database"),
        ("nobody", None, "postgres", "does not know the user"),
        ("unable", PLANTED, "postgres", "does not let it log in"),
        ("stranger", PLANTED, "postgres", "does not allow connections from this host (see its pg_hba.conf)"),
        ("rejected", PLANTED, "postgres", "does not allow connections from this host (see its pg_hba.conf)"),
        ("crowded", PLANTED, "postgres", "has no connection slot left"),
        ("opentalk", "right", "postgres?sslmode=require", "over TLS as the URL asks"),
        ("opentalk", "right", "postgres?sslmode=nonsense", "has a value that libpq does not take"),
        ("opentalk", "right", "postgres?options=-c%20nothing%3D1", "SQLSTATE 42704 (undefined_object)"),
        ("opentalk", "right", "postgres?target_session_attrs=standby", "see its target_session_attrs"),
        ("opentalk", "right", "postgres?target_session_attrs=read-only", "see its target_session_attrs"),
    ],
)
def test_refused_connection(server: PostgreSQLServer, user: str, password: str | None, rest: str, meaning: str) -> None:
    given = "" if password is None else f":{server.password if password == 'right' else password}"
    message = failure(f"postgres://{user}{given}@127.0.0.1:{server.port}/{rest}")
    database = rest.partition("?")[0]
    assert message.startswith(f"The PostgreSQL server 127.0.0.1:{server.port}, database {database}, "), message
    assert meaning in message and server.password not in message, message


def test_server_that_shuts_down() -> None:
    """It waits for an open session, and takes no new one."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(german_server())
        except LocaleUnavailable as error:
            missing("postgresql", error)
        with contextlib.closing(server.connect("postgres")) as connection:
            cursor = connection.cursor()
            cursor.execute("SHOW data_directory")
            os.kill(int(Path(cursor.fetchone()[0], "postmaster.pid").read_text().split()[0]), signal.SIGTERM)
            meanings = set()
            end = time.monotonic() + 20
            while not any("is starting up or shutting down" in meaning for meaning in meanings):
                assert time.monotonic() < end, meanings
                with contextlib.suppress(AssertionError):
                    meanings.add(failure(server.url("postgres")))


def test_libpq_that_cannot_be_told_to_give_codes(server: PostgreSQLServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libpq, "_function", lambda: None)
    message = failure(server.url("postgres", password=PLANTED))
    assert "broke the connection off before the login was done (see its log)" in message


def test_failed_statements(server: PostgreSQLServer) -> None:
    database = server.database_for(67)
    with (
        contextlib.closing(server.connect(database)) as other,
        open_session(server.url(database)) as session,
        open_session(server.url(database)) as second,
    ):
        cursor = other.cursor()
        cursor.execute(
            "CREATE TABLE things (id int PRIMARY KEY, name text NOT NULL); INSERT INTO things VALUES (1, ''), (2, '')"
        )
        other.commit()
        cursor.execute("SELECT FROM things FOR UPDATE")
        with pytest.raises(errors.LockTimeoutError, match="Another session holds a lock"), session.transaction():
            session.execute("SET LOCAL lock_timeout = 50; DELETE FROM things")
        other.rollback()
        with pytest.raises(errors.DatabaseError, match="of table things forbids it"):
            session.execute("UPDATE things SET name = NULL")
        with pytest.raises(errors.DatabaseError, match="constraint things_pkey of table things forbids it"):
            session.execute("INSERT INTO things VALUES (1, '')")
        with pytest.raises(errors.SchemaError, match="lacks a table or column"):
            session.execute("SELECT FROM nothing")
        with pytest.raises(errors.TransientDatabaseError, match="because of a deadlock"):
            deadlock(session, second, server)
        with pytest.raises(errors.DatabaseError, match="accepts no writes"), session.transaction(snapshot=True):
            session.execute("DELETE FROM things")
        (pid,) = session.row("SELECT pg_backend_pid()")
        cursor.execute("SELECT pg_terminate_backend(%s)", (pid,))
        with pytest.raises(errors.ConnectionLostError, match="the session was terminated"):
            session.execute("SELECT pg_sleep(10)")
        # The session has a reason of its own for each statement after that.
        with pytest.raises(errors.ConnectionLostError):
            session.execute("SELECT 1")
        other.commit()


def wait_for_lock(server: PostgreSQLServer) -> None:
    """Wait until a session waits for a lock."""
    end = time.monotonic() + HANGS
    with contextlib.closing(server.connect("postgres")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        while cursor.fetchone() == (0,):
            assert time.monotonic() < end, "no session waits for a lock"
            time.sleep(0.01)
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")


def deadlock(first: Database, second: Database, server: PostgreSQLServer) -> None:
    """Let PostgreSQL notice a deadlock, as it does on a server that looks for them sooner than a lock times out."""
    with ThreadPoolExecutor(1) as executor, first.transaction():
        first.execute("SET LOCAL lock_timeout = 0; UPDATE things SET name = 'a' WHERE id = 1")

        def work() -> None:
            with second.transaction():
                second.execute("SET LOCAL lock_timeout = 0; UPDATE things SET name = 'b' WHERE id = 2")
                second.execute("UPDATE things SET name = 'b' WHERE id = 1")

        working = executor.submit(work)
        try:
            wait_for_lock(server)
            first.execute("UPDATE things SET name = 'a' WHERE id = 2")
        except errors.TransientDatabaseError:
            first.execute("ROLLBACK")
            working.result()
            raise
        first.execute("ROLLBACK")
        working.result()


def test_missing_privilege(server: PostgreSQLServer) -> None:
    """The message names the table, though PostgreSQL has no field for it."""
    with open_session(server.url("postgres", user="reader", password=PLANTED)) as session:
        name = sql.Identifier("pg_authid")
        with pytest.raises(errors.DatabaseError, match="may not do this on pg_authid; use the user"):
            session.execute(sql.SQL("SELECT {0}.* FROM {0}").format(name))
        with pytest.raises(errors.DatabaseError, match="may not do this on a table of the database; use the user"):
            session.execute("SELECT FROM pg_authid")


# Several hosts


@pytest.fixture
def hole() -> Iterator[int]:
    """A port that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def full() -> Iterator[int]:
    """A port that takes no more connections, and does not refuse them."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        for _number in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def several(server: PostgreSQLServer, *ports: int, rest: str = "", password: str = "") -> str:
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"postgres://opentalk:{password or server.password}@{hosts}/postgres{rest}"


@pytest.mark.parametrize("rest", ["", "?target_session_attrs=read-write", "?target_session_attrs=prefer-standby"])
def test_good_host_after_hosts_that_do_not_answer(
    postgresql: PostgreSQLServer, hole: int, full: int, rest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_connection, "CONNECT_TIMEOUT", 0.7)
    started = time.monotonic()
    with open_session(several(postgresql, hole, full, postgresql.port, rest=rest)) as session:
        assert session.row("SELECT inet_server_port()") == (postgresql.port,)
    passes = 2 if "prefer" in rest else 1
    assert 2 * 0.7 * passes <= time.monotonic() - started < 10


def test_good_host_gets_its_share_of_a_short_timeout(postgresql: PostgreSQLServer, hole: int) -> None:
    with open_session(several(postgresql, hole, postgresql.port), timeout=4) as session:
        assert session.row("SELECT 1") == (1,)


def test_each_host_has_its_reason(
    postgresql: PostgreSQLServer, hole: int, full: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_connection, "CONNECT_TIMEOUT", 0.5)
    message = failure(several(postgresql, hole, 1))
    assert f"127.0.0.1:{hole} did not answer in time; 127.0.0.1:1 is not listening (connection refused)" in message
    message = failure(several(postgresql, hole, full))
    assert message.count("did not answer in time") == 1 and f"127.0.0.1:{hole}, 127.0.0.1:{full}" in message
    # As with libpq, a wrong password is not tried on other hosts.
    message = failure(several(postgresql, hole, postgresql.port, 1, password=PLANTED))
    assert "did not answer in time" in message and "refused the user name or the password" in message
    assert "127.0.0.1:1 " not in message
    message = failure(f"postgres://u:{PLANTED}@nowhere.invalid,127.0.0.1:1/postgres")
    assert "nowhere.invalid:5432 has a host name that cannot be resolved; 127.0.0.1:1 is not listening" in message
    message = failure(f"postgres://u:{PLANTED}@/postgres?host=a,b,c&port=1,2")
    assert "each of its 3 hosts one port" in message


def test_each_address_of_a_host_has_its_own_time_limit(
    postgresql: PostgreSQLServer, full: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_connection, "CONNECT_TIMEOUT", 0.7)
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in ("127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: addresses)
    with socket.create_server(("127.0.0.2", postgresql.port)):
        url = postgresql.url("postgres").replace("127.0.0.1", "database.example.org")
        with open_session(url) as session:
            assert session.row("SELECT host(inet_server_addr())") == ("127.0.0.1",)


@pytest.mark.parametrize("how", ["parameters", "socket", "socket as parameter", "service", "environment"])
def test_other_ways_to_name_the_server(
    postgresql: PostgreSQLServer, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, port = postgresql.password, postgresql.port
    with contextlib.closing(postgresql.connect("postgres")) as connection:
        cursor = connection.cursor()
        cursor.execute("SHOW unix_socket_directories")
        folder = cursor.fetchone()[0]
    url = {
        "parameters": f"postgres:///postgres?host=127.0.0.1&port={port}&user=opentalk&password={secret}",
        "socket": f"postgres://opentalk:{secret}@{folder.replace('/', '%2F')}:{port}/postgres",
        "socket as parameter": f"postgres://opentalk:{secret}@/postgres?host={folder}&port={port}",
        "service": f"postgres://opentalk:{secret}@/postgres?service=ours",
        "environment": f"postgres://opentalk:{secret}@/postgres",
    }[how]
    if how == "service":
        (tmp_path / "services").write_text(f"[ours]\nhost=127.0.0.1\nport={port}\n")
        monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    if how == "environment":
        monkeypatch.setenv("PGHOST", "127.0.0.1")
        monkeypatch.setenv("PGPORT", str(port))
    with open_session(url) as session:
        assert session.row("SELECT current_database()") == ("postgres",)
    if how != "service":
        assert "refused the user name or the password" in failure(url.replace(secret, PLANTED))


def test_socket_that_is_not_there(tmp_path: Path) -> None:
    message = failure(f"postgres://opentalk:{PLANTED}@/postgres?host={tmp_path}")
    assert f"{tmp_path}:5432" in message and "is not listening (there is no such socket)" in message


# URLs that libpq cannot read


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("sslmod=require", ["parameter sslmod,"]),
        (f"connect_timeout=5&pool_size={PLANTED}", ["parameter pool_size,"]),
        (f"sslmode=%zz{PLANTED}", ["parameter sslmode", "value"]),
        (f"sslpassword={PLANTED[:5]}&{PLANTED[5:]}=1", ["cannot be parsed"]),
        (f"password=a&{PLANTED}", ["cannot be parsed"]),
    ],
)
def test_unknown_parameter(query: str, names: list[str]) -> None:
    message = failure(f"postgres://u:{PLANTED}@127.0.0.1:1/opentalk?{query}")
    for name in [*names, "the key url of section [database]", "database_url"]:
        assert name in message, message
    assert PLANTED[5:] not in message


@pytest.mark.parametrize("url", ["postgres://u:12@{0}?{0}=1@127.0.0.1/d", "postgres://u:{0}/x?{0}=1@127.0.0.1:1@/d"])
def test_password_that_should_have_been_encoded(url: str) -> None:
    assert "percent-encoded" in failure(url.format(PLANTED.replace("-", "")))


@pytest.mark.parametrize("password", ["12/b%zz?c=d#e", "a%2Fb:c", "/?%", "1/a b&c=1"])
def test_url_that_the_controller_reads_and_libpq_does_not(postgresql: PostgreSQLServer, password: str) -> None:
    """Characters of the password that should have been encoded, and a parameter that libpq names in another way."""
    with contextlib.closing(postgresql.connect("postgres")) as connection, connection.cursor() as cursor:
        cursor.execute("DROP ROLE IF EXISTS odd; CREATE ROLE odd LOGIN PASSWORD %s", (unquote(password),))
        connection.commit()
    address = f"127.0.0.1:{postgresql.port}"
    for url in (
        f"postgres://odd:{password}@{address}/postgres",
        f"postgresql://odd:{password}@{address}/postgres?keepalives_retries=3&connect_timeout=5",
        f"host=127.0.0.1 port={postgresql.port} user=odd dbname=postgres password='{unquote(password)}'",
    ):
        with open_session(url) as session:
            assert session.row("SELECT current_user") == ("odd",)
    message = failure(f"postgres://odd:{password}{PLANTED}@{address}/postgres")
    assert "refused the user name or the password" in message and PLANTED not in message


def test_what_libpq_gives_is_what_is_understood(server: PostgreSQLServer) -> None:
    """The language of the server really differs, or the tests above would prove less."""
    with pytest.raises(psycopg2.OperationalError) as refused:
        psycopg2.connect(server.url("postgres", password="wrong"))
    with contextlib.closing(server.connect("postgres")) as connection:
        cursor = connection.cursor()
        cursor.execute("SHOW lc_messages")
        is_german = cursor.fetchone()[0].startswith("de")
    assert ("Passwort" in str(refused.value)) == is_german
