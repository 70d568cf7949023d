# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how fast the database answers people while a job works: with and without each job, at half of its capacity.

The sessions are those of pgbench. Its transactions are of the controller's own kind, and use events that no job touches.

At the end, processes that only compute take the place of a job. They show how much of the waiting is for a processor that the
server shares with the job, and not for the database.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.case import ROUNDS
from benchmarks.installations import EVENTS, JOBS, Beside, Installations
from benchmarks.job_process import run_job
from support.object_storage import ObjectStorageServer
from support.postgresql import USER, PostgreSQLServer

SESSIONS = 4
# Seconds: of the measurement of the capacity, of one round, and until the job starts.
CAPACITY, ROUND, ALONE = 10, 40, 15
# Seconds for which processes compute that take the place of a job.
COMPUTING = 6
# Seconds at the begin, in which the caches of sessions fill.
WARM = 2
# Events in rooms of people, with neither of whom a job goes, by number, because pgbench chooses numbers.
LIVING = """
CREATE SCHEMA living;
CREATE TABLE living.events AS
    SELECT row_number() OVER (ORDER BY e.id) AS n, e.id, e.room, e.created_by, e.tenant_id
    FROM events e JOIN event_dates d ON d.event_id = e.id JOIN rooms r ON r.id = e.room
    WHERE d.ends_at > now() AND NOT e.is_adhoc AND NOT EXISTS (
        SELECT FROM users u WHERE u.id IN (e.created_by, r.created_by)
        AND (u.disabled_since IS NOT NULL OR get_byte(uuid_send(u.id), 0) % 2 = 0));
ALTER TABLE living.events ADD PRIMARY KEY (n);
ANALYZE living.events
"""
_CHOOSE = "\\set n random(1, :living)\n"
# A transaction by its name: its share, and its script.
SCRIPTS = {
    "read": (
        8,
        "SELECT e.*, r.*, d.* FROM living.events l JOIN events e ON e.id = l.id JOIN rooms r ON r.id = e.room"
        " JOIN event_dates d ON d.event_id = e.id WHERE l.n = :n;\n"
        "SELECT u.display_name, i.status FROM living.events l JOIN event_invites i ON i.event_id = l.id"
        " JOIN users u ON u.id = i.invitee WHERE l.n = :n;\n",
    ),
    "move": (
        2,
        "BEGIN;\n"
        "UPDATE events SET updated_at = now(), revision = revision + 1"
        " WHERE id = (SELECT id FROM living.events WHERE n = :n);\n"
        "UPDATE event_dates SET starts_at = starts_at + interval '1 hour', ends_at = ends_at + interval '1 hour'"
        " WHERE event_id = (SELECT id FROM living.events WHERE n = :n);\n"
        "COMMIT;\n",
    ),
    "invite": (
        2,
        "BEGIN;\n"
        "INSERT INTO invites (created_by, updated_by, room, active)"
        " SELECT created_by, created_by, room, true FROM living.events WHERE n = :n;\n"
        "INSERT INTO event_invites (event_id, invitee, created_by) SELECT l.id, other.created_by, l.created_by"
        " FROM living.events l, living.events other WHERE l.n = :n AND other.n = 1 + (:n * 7 % :living)"
        " ON CONFLICT DO NOTHING;\n"
        "COMMIT;\n",
    ),
    "create": (
        1,
        "BEGIN;\n"
        "INSERT INTO rooms (created_by, waiting_room, tenant_id)"
        " SELECT created_by, false, tenant_id FROM living.events WHERE n = :n RETURNING id AS room \\gset\n"
        "INSERT INTO events (title, description, room, created_by, updated_by, tenant_id)"
        " SELECT 'Meeting', '', ':room', created_by, created_by, tenant_id FROM living.events WHERE n = :n"
        " RETURNING id AS event \\gset\n"
        "INSERT INTO event_dates (event_id, starts_at, starts_at_tz, ends_at, ends_at_tz, is_all_day, duration_secs)"
        " VALUES (':event', now() + interval '1 day', 'Europe/Berlin', now() + interval '25 hours', 'Europe/Berlin',"
        " false, 3600);\n"
        "COMMIT;\n",
    ),
}


@dataclass
class Latencies:
    """Seconds of transactions, from the moment at which each was due."""

    seconds: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


@dataclass
class Round:
    """One round beside one job.

    :ivar job: the seconds of the job, of which the round saw those until its end
    """

    alone: Latencies
    beside: Latencies
    job: float


class Traffic:
    """Sessions of people on one database.

    :param scratch: a directory for scripts and logs
    """

    def __init__(self, server: PostgreSQLServer, database: str, scratch: Path) -> None:
        self._server, self._database, self._scratch = server, database, scratch
        with contextlib.closing(server.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(LIVING)
            cursor.execute("SELECT count(*) FROM living.events")
            (self._living,) = cursor.fetchone()
            connection.commit()

    def capacity(self) -> float:
        """Transactions per second, if each session begins the next one at once."""
        ended = subprocess.run(
            self._command(CAPACITY), env=self._environment, capture_output=True, text=True, check=True
        )
        return float(re.search(r"^tps = ([0-9.]+)", ended.stdout, re.MULTILINE)[1])  # type: ignore[index]

    @contextlib.contextmanager
    def flow(self, rate: float) -> Iterator[None]:
        """So many transactions per second, from the begin of the block for ROUND seconds, and until its end at least."""
        log = self._scratch / "log"
        command = self._command(ROUND, f"--rate={rate:.0f}", "--log", f"--log-prefix={log}")
        with subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, text=True) as process:
            yield
            process.communicate()
        if process.returncode:
            raise RuntimeError("pgbench failed")

    def transactions(self) -> Iterator[tuple[float, float]]:
        """The end of each transaction in seconds since 1970, and its seconds. Can be read once."""
        for log in self._scratch.glob("log.*"):
            for line in log.read_text().splitlines():
                _client, _number, microseconds, _script, seconds, rest, *_lag = map(int, line.split())
                yield seconds + rest / 1e6, microseconds / 1e6
            log.unlink()

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PGPASSWORD": self._server.password}

    def _command(self, seconds: int, *more: str) -> list[str]:
        scripts = []
        for name, (share, text) in SCRIPTS.items():
            file = self._scratch / f"{name}.sql"
            file.write_text(_CHOOSE + text)
            scripts.append(f"--file={file}@{share}")
        return [
            str(self._server.program("pgbench")), "--no-vacuum", f"--client={SESSIONS}", f"--time={seconds}",
            f"--define=living={self._living}", "--host=127.0.0.1", f"--port={self._server.port}", f"--username={USER}",
            *scripts, *more, self._database,
        ]  # fmt: skip


def measure(server: PostgreSQLServer, storage: ObjectStorageServer, arguments: list[str]) -> None:
    """Measure the named jobs or all, and print a table.

    :param arguments: the number of events, then names of jobs, or "computing" for processes that only compute
    """
    names = arguments[1:]
    meter = _Meter(server, Installations(server, storage, int(arguments[0]) if arguments else EVENTS))
    rows = [
        "| Job | Seconds of the job | p50 alone | p50 beside | p99 alone | p99 beside | p99 ratio | Longest alone"
        " | Longest beside |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for beside in JOBS:
        if not names or beside.module in names:
            rows.append(_row(beside.module, meter.rounds(beside)))
            print(rows[-1], f"load {os.getloadavg()[0]:.1f}", flush=True)
    for number in range(1, (os.cpu_count() or 1) + 1) if not names or "computing" in names else ():
        rows.append(_row(f"(computing: {number})", meter.rounds(JOBS[0], functools.partial(_compute, number))))
        print(rows[-1], f"load {os.getloadavg()[0]:.1f}", flush=True)
    print("\n".join(rows))


class _Meter:
    """Measures rounds at half of the capacity, which it measures before the first one."""

    def __init__(self, server: PostgreSQLServer, installations: Installations) -> None:
        self._server, self._installations = server, installations
        self._rate = 0.0

    def rounds(self, beside: Beside, work: Callable[[], float] | None = None) -> list[Round]:
        """The rounds beside a job, or beside other work on the same installation.

        :param work: works, and returns its seconds
        """
        found = []
        for _unused in range(ROUNDS):
            with (
                self._installations.open(beside) as (name, _proxy, _cloud, options),
                tempfile.TemporaryDirectory(prefix="opentalk-living-") as scratch,
            ):
                traffic = Traffic(self._server, name, Path(scratch))
                if not self._rate:
                    capacity = traffic.capacity()
                    self._rate = capacity / 2
                    print(f"{capacity:.0f} transactions per second at most, {self._rate:.0f} below", flush=True)
                found.append(_round(traffic, self._rate, work or (lambda: run_job(beside.module, options).seconds)))
        return found


def _round(traffic: Traffic, rate: float, work: Callable[[], float]) -> Round:
    with traffic.flow(rate):
        flows = time.time()
        time.sleep(ALONE)
        begin = time.time()
        job = work()
        end = min(time.time(), flows + ROUND)
    alone, during = Latencies(), Latencies()
    for ended, seconds in traffic.transactions():
        if flows + WARM < ended < begin:
            alone.seconds.append(seconds)
        elif begin < ended - seconds < end:
            during.seconds.append(seconds)
    return Round(alone, during, job)


def _compute(processes: int) -> float:
    """Let so many processes compute, and return for how many seconds."""
    with contextlib.ExitStack() as started:
        for _unused in range(processes):
            process = started.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            started.callback(process.kill)
        time.sleep(COMPUTING)
    return COMPUTING


def _row(module: str, rounds: list[Round]) -> str:
    """A row of the table: medians of the rounds, but the longest of all rounds."""

    def median(what: str, share: float) -> float:
        return statistics.median(getattr(found, what).quantile(share) for found in rounds)

    longest = [max(max(getattr(found, what).seconds) for found in rounds) for what in ("alone", "beside")]
    ratio = statistics.median(found.beside.quantile(0.99) / found.alone.quantile(0.99) for found in rounds)
    cells = [module, f"{statistics.median(found.job for found in rounds):.1f}"]
    cells += [f"{1000 * median(what, share):.1f} ms" for share in (0.5, 0.99) for what in ("alone", "beside")]
    cells += [f"{ratio:.2f}", *(f"{seconds:.2f} s" for seconds in longest)]
    return f"| {' | '.join(cells)} |"
