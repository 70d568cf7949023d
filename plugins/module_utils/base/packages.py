# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Python packages that jobs need, and the oldest version of each that works."""

from __future__ import annotations

from ansible.module_utils.compat.version import LooseVersion

from .errors import OutdatedLibraryError

# Those of Debian 12, as far as it has them. The file requirements.txt says the same.
LOWEST = {
    "psycopg2": "2.9.5",
    "boto3": "1.26.27",
    "requests": "2.28.1",
    "python-dateutil": "2.8.2",
    "python-keycloak": "5.1.2",
}
# Other names of the same package.
_ALSO = {"psycopg2": ("psycopg2-binary",)}


def version(name: str) -> str | None:
    """The version of an installed package; None if it is not installed, or does not tell."""
    # The import takes so long that a job does without where it can.
    import importlib.metadata

    for candidate in (name, *_ALSO.get(name, ())):
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def check(name: str, found: str | None = None) -> None:
    """Check that a package is new enough.

    :param found: the version that the package itself tells; otherwise that of its installation
    :raises OutdatedLibraryError: the installed version is older than the oldest one that works
    """
    found = found or version(name)
    if found and _is_older(found, LOWEST[name]):
        raise OutdatedLibraryError(
            f"The Python package {name} has version {found}, but {LOWEST[name]} or newer is needed; upgrade it in the Python"
            " environment that runs the job."
        )


def _is_older(found: str, lowest: str) -> bool:
    try:
        return bool(LooseVersion(found) < LooseVersion(lowest))
    except TypeError:
        # A version before a release has a word where the other has a number. Who installs it knows why.
        return False
