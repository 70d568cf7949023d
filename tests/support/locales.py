# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL that speaks German, and a host whose locale is not UTF-8."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import psycopg2
import pytest

from support.limits import HANGS
from support.postgresql import PostgreSQLServer

GERMAN = "de_DE.UTF-8"
LATIN_1 = "de_DE.ISO-8859-1"


class LocaleUnavailable(RuntimeError):
    """The locale cannot be made, or PostgreSQL has no messages in its language."""


@contextlib.contextmanager
def german_server(**settings: str) -> Iterator[PostgreSQLServer]:
    """A server whose messages are German. The locale is made in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="opentalk-locales-"))
    try:
        folder.chmod(0o755)
        _make_locale(folder, GERMAN, "UTF-8")
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


@contextlib.contextmanager
def latin_1(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """New processes have a locale whose paths are not UTF-8."""
    with tempfile.TemporaryDirectory(prefix="opentalk-locales-") as folder:
        _make_locale(Path(folder), LATIN_1, "ISO-8859-1")
        with monkeypatch.context() as patch:
            for name, value in {"LOCPATH": folder, "LC_ALL": LATIN_1}.items():
                patch.setenv(name, value)
            patch.delenv("PYTHONUTF8", raising=False)
            encoding = [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"]
            assert subprocess.check_output(encoding, text=True, timeout=HANGS).strip() == "iso8859-1"
            yield


def _make_locale(folder: Path, name: str, charmap: str) -> None:
    command = ["localedef", "-i", "de_DE", "-f", charmap, str(folder / name)]
    try:
        made = subprocess.run(command, capture_output=True, text=True, timeout=HANGS, check=False)
    except FileNotFoundError as error:
        raise LocaleUnavailable(f"The locale {name} cannot be made: {error}") from None
    if made.returncode:
        raise LocaleUnavailable(f"The locale {name} cannot be made: {made.stderr}")
    for path in folder.rglob("*"):
        path.chmod(path.stat().st_mode | 0o055)
