# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The MinIO server program. It is found on this machine, or built once from its Go module."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from support import cache
from support.limits import HANGS

MODULE = "github.com/minio/minio"
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
BINARY_VARIABLE = "OPENTALK_TEST_MINIO"
BUILD_SECONDS = 1200.0


class MinioUnavailable(RuntimeError):
    """There is no MinIO here; the message is the reason."""


def find_or_build(*, build: bool = True, timeout: float = BUILD_SECONDS) -> Path | None:
    """The path of a MinIO program that runs, or None; `why_unavailable()` then has the reason.

    The search goes through $OPENTALK_TEST_MINIO (`none` means to use no MinIO), `minio` on PATH and the cache directory.
    If it finds nothing and `build` is set, `go install` builds MinIO into the cache directory, in at most `timeout`
    seconds. The process remembers the outcome.
    """
    outcome = _outcome(build, timeout)
    return outcome if isinstance(outcome, Path) else None


def why_unavailable(*, build: bool = True, timeout: float = BUILD_SECONDS) -> str | None:
    """The reason why `find_or_build` with the same arguments returns None; None if it returns a path."""
    outcome = _outcome(build, timeout)
    return None if isinstance(outcome, Path) else outcome


def version(binary: Path) -> str:
    """The version that the program prints; raises `MinioUnavailable` if it does not run or is not MinIO."""
    try:
        answer = subprocess.run(
            [str(binary), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HANGS,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise MinioUnavailable(f"{binary} does not run: {error}") from error
    words = answer.split()
    if words[:2] != ["minio", "version"] or len(words) < 3:
        raise MinioUnavailable(f"{binary} is not the MinIO server")
    # `go install` leaves the release name unset.
    return f"{VERSION} or similar, built from source" if words[2].startswith("DEVELOPMENT") else words[2]


@functools.cache
def _outcome(build: bool, timeout: float) -> Path | str:
    try:
        binary = _locate(build, timeout)
        version(binary)
    except MinioUnavailable as error:
        return str(error)
    return binary


def _locate(build: bool, timeout: float) -> Path:
    named = os.environ.get(BINARY_VARIABLE)
    if named == "none":
        raise MinioUnavailable(f"{BINARY_VARIABLE} is 'none'")
    if named:
        return Path(named).expanduser()
    on_path = shutil.which("minio")
    if on_path:
        return Path(on_path)
    cached = cache.directory() / "bin" / "minio"
    if cached.is_file():
        return cached
    if not build:
        raise MinioUnavailable(f"no minio on PATH and none at {cached}")
    _build(cached, timeout)
    return cached


def _build(target: Path, timeout: float) -> None:
    """Build MinIO, then move it to `target` in one step, so that `target` is never incomplete."""
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if not go:
        raise MinioUnavailable(f"no minio on PATH, none at {target}, and no Go to build it")
    deadline = time.monotonic() + timeout
    try:
        with cache.lock(target.with_name(".minio.lock"), deadline):
            if target.is_file():
                return
            with tempfile.TemporaryDirectory(prefix=".minio-build-", dir=target.parent) as staging:
                _go_install(go, Path(staging), deadline)
                os.replace(Path(staging) / "minio", target)
    except TimeoutError as error:
        raise MinioUnavailable(str(error)) from error


def _go_install(go: str, directory: Path, deadline: float) -> None:
    env = {name: value for name, value in os.environ.items() if name not in ("GOOS", "GOARCH")}
    process = subprocess.Popen(
        [go, "install", "-trimpath", "-ldflags=-s -w", f"{MODULE}@{VERSION}"],
        env={**env, "GOBIN": str(directory), "CGO_ENABLED": "0"},
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _unused = process.communicate(timeout=max(1.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise MinioUnavailable("building MinIO took too long") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode != 0:
        raise MinioUnavailable(f"go install {MODULE}@{VERSION} failed: {output.strip()[-500:]}")
