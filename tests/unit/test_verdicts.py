# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the verdicts of slow tools that are kept between the runs of the tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support import verdicts

Ask = Callable[..., int]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    for name in ("plugins/a.py", "tests/b.py", ".git/index"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def ask(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks for a verdict, and returns how often the tool has judged until then."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    judged: list[str] = []

    def judge() -> str:
        judged.append("said")
        return "said"

    def make(*facts: object) -> int:
        assert verdicts.of_tree(judge, tree, lambda name: not name.startswith("tests/"), *facts) == "said"
        return len(judged)

    return make


def test_same_files_are_judged_once(ask: Ask, tree: Path) -> None:
    assert [ask("a tool"), ask("a tool")] == [1, 1]
    (tree / "tests" / "b.py").write_text("changed")
    (tree / ".git" / "index").write_text("changed")
    assert ask("a tool") == 1


@pytest.mark.parametrize("change", ["content", "name", "mode", "new file", "link", "facts"])
def test_what_changed_is_judged_again(ask: Ask, tree: Path, change: str) -> None:
    assert ask("a tool") == 1
    file = tree / "plugins" / "a.py"
    if change == "content":
        file.write_text("changed")
    elif change == "name":
        file.rename(file.with_name("c.py"))
    elif change == "mode":
        file.chmod(0o755)
    elif change == "new file":
        (tree / "plugins" / "c.py").touch()
    elif change == "link":
        (tree / "plugins" / "c.py").symlink_to("nowhere")
    assert ask("another tool" if change == "facts" else "a tool") == 2


def test_failure_is_not_kept(ask: Ask, tree: Path) -> None:
    def fail() -> str:
        raise AssertionError("wrong")

    for _unused in range(2):
        with pytest.raises(AssertionError, match="wrong"):
            verdicts.of_tree(fail, tree, lambda name: not name.startswith("tests/"), "a tool")
    assert ask("a tool") == 1


def test_verdict_that_nobody_asks_for_is_removed(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask("a tool") == 1
    monkeypatch.setattr(verdicts, "KEPT", -60.0)
    assert ask("another tool") == 2
    monkeypatch.undo()
    (kept,) = (tmp_path / "cache" / "opentalk-maintenance" / "verdicts").iterdir()
    assert kept.suffix == ".txt"
