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
import urllib.request
from collections.abc import Callable
from pathlib import Path

from support.collection import ROOT

# The releases of Debian and Ubuntu, and the Python of each.
RELEASES = {"bookworm": "3.11", "trixie": "3.13", "noble": "3.12"}
# Debian has neither Ubuntu's keys nor a script for its newer releases, which need what older ones needed. The package with the
# keys is checked by its digest. Its key for the archive has the fingerprint F6EC B376 2474 EDA9 D21B 7022 8719 20D1 991B C93C,
# https://wiki.ubuntu.com/SecurityTeam/FAQ
UBUNTU = ("noble",)
_UBUNTU_ARCHIVE = "http://archive.ubuntu.com/ubuntu"
_UBUNTU_SCRIPT = "/usr/share/debootstrap/scripts/gutsy"
_UBUNTU_KEYS = "pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb"
_UBUNTU_KEYS_SHA256 = "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8"
# With python3-apt, because Ansible installs it before any other package.
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "python3", "python3-apt", "python3-venv", "ca-certificates", "openssh-server",
)  # fmt: skip
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
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    with tempfile.TemporaryDirectory() as keys:
        if release in UBUNTU:
            command += [f"--keyring={_ubuntu_keyring(Path(keys))}", "--components=main,universe"]
        from_where = [_UBUNTU_ARCHIVE, _UBUNTU_SCRIPT] if release in UBUNTU else []
        _run(*command, release, str(directory), *from_where)
    for key in (directory / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    shutil.rmtree(directory / "var/cache/apt/archives", ignore_errors=True)


def _ubuntu_keyring(directory: Path) -> Path:
    """:raises OSError: the keys cannot be had, or are others"""
    package = directory / "keys.deb"
    with urllib.request.urlopen(f"{_UBUNTU_ARCHIVE}/{_UBUNTU_KEYS}", timeout=60) as answer:
        package.write_bytes(answer.read())
    if hashlib.sha256(package.read_bytes()).hexdigest() != _UBUNTU_KEYS_SHA256:
        raise OSError("the package with the keys of Ubuntu has another digest")
    _run("dpkg-deb", "--extract", str(package), str(directory))
    return directory / "usr/share/keyrings/ubuntu-archive-keyring.gpg"


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
