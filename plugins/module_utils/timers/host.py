# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role timers must know of a host before it does anything there. Nothing is changed.

It runs with the Python of the distribution, which is 3.9 on RHEL 9.
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import re
import shlex
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Runs a command: its exit code, standard output and standard error. Raises OSError if there is no such program.
Run = Callable[[list[str]], "tuple[int, str, str]"]
_NOBODY = "65534"
_VERSION = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
_UNIT = ("Id", "LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload")
_DIRECTORY_OF_A_VERSION = re.compile("(venv|collections)-[0-9a-f]{12}")


class HostUnknown(Exception):
    """The host cannot be looked at. The message says what is missing."""


def look(wanted: dict[str, Any], run: Run) -> dict[str, Any]:
    """What is there of what the role asks for.

    :param wanted: the option of the module timers_info
    :param run: runs a command
    :returns: the results of that module
    :raises HostUnknown: systemd does not answer, or what the jobs may use cannot be tried
    """
    user, groups = _user(wanted["user"]), {name: gid(name) for name in wanted["groups"]}
    return {
        "platform": _platform(),
        "pythons": {program: _python(run, program) for program in wanted["pythons"]},
        "user": user,
        "groups": groups,
        "tries": _tries(run, as_the_jobs(wanted, user, groups), wanted["uses"]),
        "calendars": {name: _calendar(run, calendar) for name, calendar in wanted["calendars"].items()},
        "units": _units(run, wanted["units"]),
        "files": _files(wanted),
        "marked": {path: _has(path, wanted["mark"]) for path in wanted["marked_files"] if os.path.isfile(path)},
        "limits": {path: _limit(path) for path in wanted["services"] if os.path.isfile(path)},
        "versions": {path: os.path.exists(f"{path}/complete") for path in _versions(wanted["versions_directory"])},
        "entries": {path: _entries(path) for path in wanted["entries_of"]},
    }


def as_the_jobs(wanted: dict[str, Any], user: dict[str, Any], groups: dict[str, Any]) -> list[str]:
    """The start of a command that runs with the user and the groups that the jobs have.

    Before the role has made the account, this is somebody who owns nothing.
    """
    gids = [gid for gid in groups.values() if gid is not None]
    numbers = [*gids, *user["groups"]] or [_NOBODY]
    return [
        *("setpriv", "--reuid", wanted["user"] if user["exists"] else _NOBODY),
        *("--regid", groups.get(wanted["group"]) or _NOBODY, "--groups", ",".join(dict.fromkeys(numbers)), "--"),
    ]


def platform_of(release: str) -> str:
    """The distribution and its major version, such as debian12. Relatives of RHEL have its name, such as rhel9.

    :param release: the content of the file os-release,
        https://www.freedesktop.org/software/systemd/man/latest/os-release.html
    """
    lines = [line for line in release.splitlines() if "=" in line and not line.startswith("#")]
    known = {name: " ".join(shlex.split(value)) for name, value in (line.split("=", 1) for line in lines)}
    relatives = [known.get("ID", ""), *known.get("ID_LIKE", "").split()]
    name = "rhel" if {"rhel", "fedora", "centos"} & {*relatives} else relatives[0]
    return name + known.get("VERSION_ID", "").split(".")[0]


def gid(name: str) -> str | None:
    """The number of a group, or None if there is none of that name."""
    try:
        return str(grp.getgrnam(name).gr_gid)
    except KeyError:
        return None


def _platform() -> str:
    for path in map(Path, ("/etc/os-release", "/usr/lib/os-release")):
        if path.is_file():
            return platform_of(path.read_text(errors="replace"))
    return ""


def _python(run: Run, program: str) -> str:
    """Its version, such as 3.11.2. Empty if it is not there or does not work."""
    try:
        code, output, _error = run([program, "-c", _VERSION])
    except OSError:
        return ""
    return output.strip() if code == 0 else ""


def _user(name: str) -> dict[str, Any]:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return {"exists": False, "groups": [], "comment": ""}
    gids = [str(gid) for gid in os.getgrouplist(name, entry.pw_gid)]
    return {"exists": True, "groups": gids, "comment": entry.pw_gecos}


def _tries(run: Run, prefix: list[str], uses: list[dict[str, Any]]) -> dict[str, bool]:
    """Whether the jobs may use each file, by the variable that names it."""
    found = {}
    for use in uses:
        try:
            code, _output, error = run([*prefix, *use["test"]])
        except OSError:
            raise HostUnknown(f"{prefix[0]} is not there; install util-linux.") from None
        if code not in (0, 1):
            raise HostUnknown(f"Whether the jobs may use {use['variable']} cannot be tried: {error.strip()}.")
        found[use["variable"]] = code == 0
    return found


def _calendar(run: Run, calendar: str) -> str:
    """Why systemd does not understand the calendar. Empty if it does."""
    try:
        code, _output, error = run(["systemd-analyze", "calendar", "--", calendar])
    except OSError:
        return "systemd-analyze is not there"
    return error.strip() or f"exit code {code}" if code else ""


def _units(run: Run, names: list[str]) -> dict[str, dict[str, str]]:
    """The properties of each unit, as `systemctl show` prints them. A unit that is not there has them, too."""
    if not names:
        return {}
    try:
        code, output, error = run(["systemctl", "show", f"--property={','.join(_UNIT)}", "--", *names])
    except OSError:
        raise HostUnknown("systemctl is not there; timers need a host with systemd.") from None
    blocks = output.strip().split("\n\n")
    if code or len(blocks) != len(names):
        raise HostUnknown(f"systemd does not tell of its units: {error.strip()}.")
    # Python 3.9 has no zip() with strict.
    return {name: dict(line.split("=", 1) for line in blocks[index].splitlines()) for index, name in enumerate(names)}


def _files(wanted: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The wanted paths that are there, and the paths in the directories that have a wanted name."""
    names = set(wanted["names"])
    found = [f"{path}/{name}" for path in wanted["directories"] for name in _names(path) if name in names]
    return {path: _facts(path) for path in [*wanted["paths"], *found] if os.path.lexists(path)}


def _facts(path: str) -> dict[str, Any]:
    status = os.lstat(path)
    is_file, is_link = stat.S_ISREG(status.st_mode), stat.S_ISLNK(status.st_mode)
    return {
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "owner": _name(pwd.getpwuid, status.st_uid),
        "group": _name(grp.getgrgid, status.st_gid),
        "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest() if is_file else None,
        "target": os.readlink(path) if is_link else None,
    }


def _name(entry: Callable[[int], Any], number: int) -> str:
    try:
        return str(entry(number)[0])
    except KeyError:
        return str(number)


def _has(path: str, text: str) -> bool:
    return text.encode() in Path(path).read_bytes()


def _limit(path: str) -> str:
    """The time limit in the unit of a service, as it is written there."""
    found = re.findall(r"^TimeoutStartSec=(.*)$", Path(path).read_text(errors="replace"), re.MULTILINE)
    return str(found[-1]) if found else ""


def _versions(directory: str) -> list[str]:
    names = [name for name in _names(directory) if _DIRECTORY_OF_A_VERSION.fullmatch(name)]
    return [path for path in (f"{directory}/{name}" for name in names) if os.path.isdir(path)]


def _entries(directory: str) -> list[str]:
    return [f"{directory}/{name}" for name in _names(directory)]


def _names(directory: str) -> list[str]:
    return sorted(os.listdir(directory)) if os.path.isdir(directory) else []
