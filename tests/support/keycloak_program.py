# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Keycloak server program. Maven's own client fetches it once from Maven Central; then it is prepared and cached."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from support import cache
from support.server_process import ServerProcess, free_port

# This version runs on Java 17 and newer.
VERSION = "26.0.8"
ARTIFACT = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
HOME_VARIABLE = "OPENTALK_TEST_KEYCLOAK"
FETCH_SECONDS = 900.0
START_SECONDS = 900.0
ADMINISTRATOR = "admin"
_HEAP = "-Xms64m -Xmx512m"
# The server runs for a few minutes, so code that is compiled quickly costs less than code that is compiled well.
_QUICK_START = "-XX:TieredStopAtLevel=1 -XX:-UseG1GC -XX:+UseSerialGC"
# The parts of an installation that are only read, so that running servers can share them.
_SHARED = ("lib", "conf", "providers", "themes", "version.txt")


class KeycloakUnavailable(RuntimeError):
    """There is no Keycloak here; the message is the reason."""


class KeycloakProcess:
    """A running Keycloak with an empty database in memory; raises `KeycloakUnavailable`, `ServerFailed`.

    The installation is in the cache, and is made if it is missing. $OPENTALK_TEST_KEYCLOAK names another installation
    that `kc.sh build --db=dev-mem` has prepared, or is `none` to use no Keycloak.
    """

    def __init__(self) -> None:
        installation = _find_or_fetch()
        scratch = Path(tempfile.mkdtemp(prefix="opentalk-keycloak-"))
        (scratch / "bin").mkdir()
        shutil.copy(installation / "bin" / "kc.sh", scratch / "bin")
        for name in _SHARED:
            (scratch / name).symlink_to(installation / name)
        self.password = secrets.token_hex(12)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = ServerProcess(
            "Keycloak",
            ["bash", str(scratch / "bin" / "kc.sh"), "start", "--optimized", "--http-enabled=true", "--cache=local"]
            + ["--http-host=127.0.0.1", f"--http-port={port}", "--hostname-strict=false"],
            env={
                **_environment(),
                "KC_BOOTSTRAP_ADMIN_USERNAME": ADMINISTRATOR,
                "KC_BOOTSTRAP_ADMIN_PASSWORD": self.password,
            },
            scratch=scratch,
        )
        self.process.wait_until(self._answers, START_SECONDS)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/realms/master", timeout=10) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KC_", "KEYCLOAK_"))}
    return {**kept, "JAVA_OPTS_KC_HEAP": _HEAP, "JAVA_OPTS_APPEND": _QUICK_START}


def _find_or_fetch() -> Path:
    named = os.environ.get(HOME_VARIABLE)
    if named == "none":
        raise KeycloakUnavailable(f"{HOME_VARIABLE} is 'none'")
    java = Path(os.environ.get("JAVA_HOME", "/nonexistent"), "bin", "java")
    if not java.exists() and not shutil.which("java"):
        raise KeycloakUnavailable("no Java to run Keycloak")
    if named:
        return Path(named).expanduser()
    home = cache.directory() / f"keycloak-{VERSION}"
    deadline = time.monotonic() + FETCH_SECONDS
    try:
        with cache.lock(home.with_name(".keycloak.lock"), deadline):
            if not home.is_dir():
                _fetch(home, deadline)
    except TimeoutError as error:
        raise KeycloakUnavailable(str(error)) from error
    return home


def _fetch(home: Path, deadline: float) -> None:
    """Fetch, unpack and prepare Keycloak. Then move it to `home` in one step, so that `home` is never incomplete."""
    maven = shutil.which("mvn")
    if not maven:
        raise KeycloakUnavailable(f"no Keycloak at {home}, and no Maven to fetch it")
    with tempfile.TemporaryDirectory(prefix=".keycloak-", dir=home.parent) as name:
        staging = Path(name)
        _run([maven, "-q", "-B", COPY, f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={staging}"], staging, deadline)
        (archive,) = staging.glob("*.zip")
        with zipfile.ZipFile(archive) as content:
            content.extractall(staging)
        unpacked = staging / f"keycloak-{VERSION}"
        _run(["bash", str(unpacked / "bin" / "kc.sh"), "build", "--db=dev-mem"], staging, deadline)
        os.replace(unpacked, home)


def _run(command: list[str], directory: Path, deadline: float) -> None:
    try:
        subprocess.run(
            command,
            cwd=directory,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
            timeout=max(1.0, deadline - time.monotonic()),
        )
    except subprocess.CalledProcessError as error:
        raise KeycloakUnavailable(f"{Path(command[0]).name} failed: {error.output.strip()[-500:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KeycloakUnavailable(f"{Path(command[0]).name}: {error}") from error
