# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL that speaks German."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import psycopg2

from support.limits import HANGS
from support.postgresql import PostgreSQLServer

GERMAN = "de_DE.UTF-8"


class LocaleUnavailable(RuntimeError):
    """The locale cannot be made, or PostgreSQL has no messages in its language."""


@contextlib.contextmanager
def german_server(**settings: str) -> Iterator[PostgreSQLServer]:
    """A server whose messages are German. The locale is made in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="opentalk-locales-"))
    try:
        folder.chmod(0o755)
        _make_locale(folder)
        with mock.patch.dict(os.environ, {"LOCPATH": str(folder)}):
            server = PostgreSQLServer({"lc_messages": GERMAN, **settings})
        with server:
            try:
                psycopg2.connect(server.url("postgres", password="wrong"))
            except psycopg2.OperationalError as error:
                if "Passwort" not in str(error):
                    raise LocaleUnavailable("PostgreSQL has no German messages") from None
            yield server
    finally:
        shutil.rmtree(folder)


def _make_locale(folder: Path) -> None:
    command = ["localedef", "-i", "de_DE", "-f", "UTF-8", str(folder / GERMAN)]
    try:
        made = subprocess.run(command, capture_output=True, text=True, timeout=HANGS, check=False)
    except FileNotFoundError as error:
        raise LocaleUnavailable(f"The locale {GERMAN} cannot be made: {error}") from None
    if made.returncode:
        raise LocaleUnavailable(f"The locale {GERMAN} cannot be made: {made.stderr}")
    for path in folder.rglob("*"):
        path.chmod(path.stat().st_mode | 0o055)
