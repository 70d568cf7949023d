# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of an environment file that Docker Compose and systemd read differently are named, without their values."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import environment_file

from support.environment_lines import DIFFERENT, GOOD
from support.limits import HANGS


def test_lines_that_both_read_in_the_same_way_are_taken() -> None:
    assert environment_file.problems(GOOD.encode()) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        *[(f"OPENTALK_CTRL_A__B{rest}", f"(OPENTALK_CTRL_A__B): {reason}") for rest, _value, reason in DIFFERENT],
        ("export OPENTALK_CTRL_A__B=planted", "(OPENTALK_CTRL_A__B): systemd ignores lines with export"),
        ("OPENTALK_CTRL_A__B", "(OPENTALK_CTRL_A__B): systemd ignores it; write NAME=value"),
        ("OPENTALK_CTRL_A.B=planted", "(OPENTALK_CTRL_A.B): systemd ignores it"),
        ('OPENTALK_CTRL_A__B="plan""ted"', "(OPENTALK_CTRL_A__B): systemd adds to the value what follows"),
        ("OPENTALK_CTRL_A__B=\t#planted", "(OPENTALK_CTRL_A__B): Compose takes what follows # for a comment"),
        ("OPENTALK_CTRL_A__B=planted\u00a0", "(OPENTALK_CTRL_A__B): the value begins or ends with an unusual space"),
        ("OPENTALK_CTRL_A__B='planted", "(OPENTALK_CTRL_A__B): the value goes on in the next line"),
        ('OPENTALK_CTRL_A__B="planted\\"', "(OPENTALK_CTRL_A__B): the value goes on in the next line"),
        ("OPENTALK_CTRL_A__B='plan' 'ted", "(OPENTALK_CTRL_A__B): the value goes on in the next line"),
        ('OTHER="planted', ": the value goes on in the next line"),
        ("OTHER=planted\\", ": the value goes on in the next line"),
        ("# planted\\", ": a comment ends with a backslash"),
        *[
            (f"{name} = /planted", f"({name}): this would change how the jobs run")
            for name in (
                "PATH",
                "HOME",
                "LC_ALL",
                "ANSIBLE_CONFIG",
                "PYTHONPATH",
                "LD_PRELOAD",
                "OPENTALK_MAINTENANCE_X",
            )
        ],
    ],
)
def test_line_that_is_read_differently_is_named(line: str, said: str) -> None:
    (problem,) = environment_file.problems(f"OPENTALK_CTRL_GOOD__ONE=x\n{line}".encode())
    assert problem.startswith("line 2") and said in problem
    assert not [part for part in ("planted", "plan", "ted ") if part in problem]


def test_lines_of_a_value_that_goes_on_are_not_named() -> None:
    """They are parts of a secret."""
    text = b'OPENTALK_CTRL_A__B="plan\nOPENTALK_CTRL_SECRET\n"\nexport OPENTALK_CTRL_C__D=1\n'
    (problem,) = environment_file.problems(text)
    assert problem.startswith("line 1 (OPENTALK_CTRL_A__B)") and "SECRET" not in problem


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xef\xbb\xbfOPENTALK_CTRL_A__B=planted", "line 1: the file begins with a byte order mark"),
        (b"OPENTALK_CTRL_A__B=x\nOPENTALK_CTRL_C__D=planted\xff", "line 2: this is not UTF-8 text"),
        (b"# OPENTALK_CTRL_A__B=planted\nOTHER=planted", "none begins with OPENTALK_CTRL_"),
        (b"", "none begins with OPENTALK_CTRL_"),
    ],
)
def test_file_that_is_none(content: bytes, said: str) -> None:
    (problem,) = environment_file.problems(content)
    assert said in problem and "planted" not in problem


def test_as_a_program_it_prints_sentences(tmp_path: Path) -> None:
    path = tmp_path / "controller.env"

    def said() -> str:
        command = [sys.executable, "-I", environment_file.__file__, str(path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=HANGS, check=True).stdout

    assert said() == f"{path} is not there, or is not a file; correct the path.\n"
    path.write_text(GOOD)
    assert said() == ""
    path.write_bytes(b"OPENTALK_CTRL_A__B=$1\n")
    assert said().startswith(f"{path}, line 1 (OPENTALK_CTRL_A__B): Compose replaces")
