# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks for lines of an environment file that Docker Compose and systemd read differently.

The role timers runs this file on the hosts, with the path of the environment file as its argument. It prints a sentence for
each problem, with the number of the line and the name of the variable, and never a value.

How Compose reads such a file: https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/
How systemd does: https://www.freedesktop.org/software/systemd/man/systemd.exec.html#EnvironmentFile=
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator

# A line that is meant for the controller. The group is its variable, also where a mistake follows.
_CONTROLLER = re.compile(r"(?P<export>export\s+)?(?P<name>OPENTALK_CTRL_[\w.]*)", re.IGNORECASE | re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# What the services of the timers set themselves, or what would change the programs that they run.
_RESERVED = re.compile(r"HOME|LC_ALL|PATH|(ANSIBLE|OPENTALK_MAINTENANCE|LD)_\w*|PYTHON\w*", re.ASCII)
_SINGLE_QUOTES = "put the value into single quotes, which both read in the same way."


def problems(content: bytes) -> list[str]:
    """A sentence for each line that the two read differently, or that would change how the jobs run."""
    if content.startswith(b"\xef\xbb\xbf"):
        return ["line 1: the file begins with a byte order mark, so systemd ignores this line; remove it."]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return [f"line {line}: this is not UTF-8 text, so systemd starts no job; correct it."]
    lines = re.split(r"\r\n|\r|\n", text)
    if not any(_CONTROLLER.match(line.lstrip()) for line in lines):
        return ["no line: none begins with OPENTALK_CTRL_; name the file that has the settings of the controller."]
    return list(_of_lines(lines))


def _of_lines(lines: list[str]) -> Iterator[str]:
    for number, line in enumerate((line.strip(" \t") for line in lines), 1):
        found = _CONTROLLER.match(line)
        name, equals, value = (part.strip(" \t") for part in line.partition("="))
        if not line or line[0] in "#;":
            if line.endswith("\\"):
                yield f"line {number}: a comment ends with a backslash, and systemd may skip the next line; remove it."
            continue
        shown = f"line {number} ({found['name']})" if found else f"line {number}"
        if equals and _goes_on(value):
            # The lines that follow are part of the value, so they are neither looked at nor named.
            yield f"{shown}: the value goes on in the next line; write it in one line. The rest was not checked."
            return
        if found:
            if reason := _reason(found, name, equals, value):
                yield f"{shown}: {reason}"
        elif equals and _RESERVED.fullmatch(name):
            yield f"line {number} ({name}): this would change how the jobs run; keep it out of this file."


def _goes_on(value: str) -> bool:
    """Whether systemd looks for the end of the value in the next line: in a quotation, or after a backslash."""
    quote, escaped, begins = "", False, True
    for character in value:
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped, begins = True, False
        elif quote:
            if character == quote:
                quote, begins = "", True
        elif begins and character in "'\"":
            quote = character
        elif character not in " \t":
            begins = False
    return bool(quote) or escaped


def _reason(found: re.Match[str], name: str, equals: str, value: str) -> str:
    """What is wrong with a line that is meant for the controller, or nothing."""
    if found["export"]:
        return "systemd ignores lines with export; remove this word."
    if not equals or not _NAME.fullmatch(name):
        return "systemd ignores it; write NAME=value, with letters, digits and underscores in the name."
    if "\\" in value:
        return "Compose and systemd read a backslash differently; choose a value without one."
    quote = value[:1] if value[:1] in ("'", '"') else ""
    if quote and value.index(quote, 1) != len(value) - 1:
        return "systemd adds to the value what follows its closing quote, also a comment; remove it."
    if quote != "'" and "$" in value:
        return f"Compose replaces what follows a dollar sign, and systemd does not; {_SINGLE_QUOTES}"
    if not quote and re.search(r"(^|\s)#", value):
        return f"Compose takes what follows # for a comment, and systemd takes it for the value; {_SINGLE_QUOTES}"
    if not quote and value != value.strip():
        return f"the value begins or ends with an unusual space; remove it, or {_SINGLE_QUOTES}"
    return ""


def main(path: str) -> None:
    if not os.path.isfile(path):  # reading a pipe or a device may never end
        print(f"{path} is not there, or is not a file; correct the path.")
        return
    with open(path, "rb") as file:
        content = file.read()
    for problem in problems(content):
        print(f"{path}, {problem}")


if __name__ == "__main__":
    main(sys.argv[1])
