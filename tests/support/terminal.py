# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program at a terminal, and the person in front of it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from support.limits import HANGS

# The program gets a controlling terminal. Its output and input go through the pipes of this process.
_AT_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


def answer(
    command: Sequence[str | Path],
    text: str,
    *,
    prompt: str,
    until: str,
    environment: Mapping[str, str],
    cwd: Path,
    at_prompt: Callable[[], None] = lambda: None,
    timeout: float = HANGS,
) -> tuple[int, str]:
    """Run a program at a terminal and answer its question. Return its exit code and its output.

    The answer is typed once a second, because a program may discard an answer that comes before it listens.

    :param prompt: the text that the program prints when it asks
    :param until: the text that it prints after it has read the answer
    :param at_prompt: called once, after the question was printed and before the answer is typed
    :param timeout: seconds after which the program is killed
    :raises AssertionError: the program did not end by itself in time
    """
    printed, asked, end = "", False, time.monotonic() + timeout
    with subprocess.Popen(
        [sys.executable, "-c", _AT_A_TERMINAL, *map(str, command)],
        env=dict(environment),
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as program:
        assert program.stdin is not None and program.stdout is not None
        while time.monotonic() < end:
            if select.select([program.stdout], [], [], 1.0)[0]:
                data = os.read(program.stdout.fileno(), 65536)
                if not data:
                    return program.wait(HANGS), printed
                printed += data.decode(errors="replace").replace("\r\n", "\n")
            elif prompt in printed and until not in printed:
                if not asked:
                    asked = True
                    at_prompt()
                os.write(program.stdin.fileno(), f"{text}\r".encode())
        program.kill()
    raise AssertionError(f"The program did not end within {timeout:g} s; it printed:\n{printed}")
