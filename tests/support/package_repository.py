# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages for a host of the fleet, in a repository that is the only one which the host can read while the tests need it."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support.fleet import Host

_FOLDER = "/srv/packages"
_SAVED = "/var/tmp/packages.tar"
_STATE = "etc/apt var/lib/apt var/lib/dpkg"


class PackageRepository:
    """The repository of one host. Its format is at https://wiki.debian.org/DebianRepository/Format"""

    def __init__(self, host: Host) -> None:
        self._folder = host.root / _FOLDER.strip("/")

    def add(self, name: str, files: dict[str, Path], *, replaces: str = "") -> None:
        """Add a package.

        :param files: what the package installs: a file, a link or a directory for each path
        :param replaces: a package of the host that has some of these files
        """
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder) / name
            for path, content in files.items():
                place = tree / path
                place.parent.mkdir(parents=True)
                if content.is_dir():
                    shutil.copytree(content, place)
                else:
                    shutil.copy(content, place, follow_symlinks=False)
            control = (
                f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: root <root@localhost>\n"
                "Description: a package of the tests\n"
            )
            if replaces:
                control += f"Replaces: {replaces}\n"
            (tree / "DEBIAN").mkdir()
            (tree / "DEBIAN/control").write_text(control)
            package = self._folder / f"{name}.deb"
            subprocess.run(
                ["dpkg-deb", "--build", "--root-owner-group", tree, package], check=True, capture_output=True
            )
        content = package.read_bytes()
        with (self._folder / "Packages").open("a") as index:
            index.write(f"{control}Filename: ./{package.name}\nSize: {len(content)}\n")
            index.write(f"SHA256: {hashlib.sha256(content).hexdigest()}\n\n")


@contextlib.contextmanager
def package_repository(host: Host) -> Iterator[PackageRepository]:
    """The only repository that a host can read, of two. The host has no lists of packages yet.

    At the end the host's own repositories are back, and what it knows about packages is as before. Files of packages stay.
    """
    host.run(
        f"tar -C / -cf {_SAVED} {_STATE} && mkdir {_FOLDER} && rm -rf /var/lib/apt/lists/* /etc/apt/sources.list*"
        f" && printf 'deb [trusted=yes] file:%s ./\\n' {_FOLDER}-gone {_FOLDER} > /etc/apt/sources.list"
    )
    try:
        yield PackageRepository(host)
    finally:
        host.run(f"cd / && rm -rf {_FOLDER} {_STATE} && tar -xf {_SAVED} && rm {_SAVED}")
