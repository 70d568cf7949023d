# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file system of the fleet's hosts and the wheels they install, both made once and kept in the cache directory."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from support.collection import ROOT

# Debian's releases, and the Python of each.
RELEASES = {"bookworm": "3.11", "trixie": "3.13"}
PACKAGES = ("systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "ca-certificates", "openssh-server")
PROGRAMS = ("systemd-nspawn", "debootstrap", "ssh", "ssh-keygen", "unshare")
REQUIREMENTS = ROOT / "roles" / "timers" / "files" / "requirements.txt"
BUILD_SECONDS = 900


class FleetUnavailable(RuntimeError):
    """There can be no hosts with systemd here; the message is the reason."""


def find_or_build(release: str) -> Path:
    """The directory with the file system of a host that has never been booted."""
    if os.geteuid() != 0:
        raise FleetUnavailable("hosts with systemd need root")
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        raise FleetUnavailable(f"these programs are missing: {', '.join(missing)}")
    return _cached(f"image-{release}-{_stamp(' '.join(PACKAGES))}", functools.partial(_build_image, release))


def wheelhouse() -> Path:
    """A directory with the wheels that the role's requirements name, for the Python of each release."""
    if sys.version_info < (3, 11):
        raise FleetUnavailable("the hosts' packages can be downloaded with Python 3.11 or newer only")
    return _cached(f"wheelhouse-{_stamp(f'{RELEASES} {REQUIREMENTS.read_text()}')}", _download)


def _stamp(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _cached(name: str, build: Callable[[Path], None]) -> Path:
    """The directory of that name in the cache, built if it is not there yet; never half of it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(base) / "opentalk-maintenance" / name
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            staging = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=directory.parent))
            try:
                build(staging)
                staging.chmod(0o755)
                staging.rename(directory)
            except (OSError, subprocess.SubprocessError) as error:
                output = getattr(error, "stdout", None) or b""
                raise FleetUnavailable(f"making {name} failed: {error}; {output[-500:].decode()}") from error
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    return directory


def _build_image(release: str, directory: Path) -> None:
    _run("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", release, str(directory))
    for key in (directory / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    shutil.rmtree(directory / "var/cache/apt/archives", ignore_errors=True)


def _download(directory: Path) -> None:
    machine = os.uname().machine
    glibc = [f"--platform=manylinux_2_{minor}_{machine}" for minor in (36, 34, 28, 17)]
    for python in RELEASES.values():
        _run(
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:",
            "--implementation=cp", f"--python-version={python}", *glibc, f"--platform=manylinux2014_{machine}",
            f"--dest={directory}", f"--requirement={REQUIREMENTS}",
        )  # fmt: skip


def _run(*command: str) -> None:
    subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=BUILD_SECONDS,
        check=True,
    )
