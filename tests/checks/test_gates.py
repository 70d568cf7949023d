# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tools that judge the tree and take long, each without an exception that is not explained where it is made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from support import checkout, code_tools, environments
from support.collection import ROOT


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the tree in a folder that makes it a collection."""
    return checkout.copy(tmp_path)


def run(tree: Path, *command: str, **variables: str) -> str:
    """What a tool prints of a tree, which must succeed."""
    return code_tools.run(tree, tree.parents[2], *command, **variables)


@pytest.fixture(scope="module", autouse=True)
def sanity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[str]]:
    """What ansible-test prints; it takes longest, and so runs beside the other tools."""
    tree = checkout.copy(tmp_path_factory.mktemp("sanity"))
    found = [str(python.parent) for python in environments.pythons().values()]
    path = os.pathsep.join([str(code_tools.programs()), *found, os.environ["PATH"]])
    home = str(checkout.ansible_test_home(code_tools.programs()))
    command = ["ansible-test", "sanity", "--requirements", "--color", "no"]
    with ThreadPoolExecutor(1) as executor:
        yield executor.submit(run, tree, *command, PATH=path, HOME=home)


def test_ansible_lint(tree: Path) -> None:
    assert "Profile 'production' was required" in run(tree, "ansible-lint", "--nocolor")


def test_documentation_is_built_without_a_warning(tree: Path, tmp_path: Path) -> None:
    run(tree, "antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs", "all", ".")
    (tmp_path / "docs").mkdir()
    said = run(
        tree, "antsibull-docs", "collection", "--use-current", "--fail-on-error", "--squash-hierarchy",
        "--dest-dir", str(tmp_path / "docs"), "opentalk.maintenance",
    )  # fmt: skip
    assert not said, said
    built = {path.stem for path in (tmp_path / "docs").glob("*_module.rst")}
    assert built == {f"{path.stem}_module" for path in (ROOT / "plugins" / "modules").glob("*.py")}


@pytest.mark.parametrize(
    "command",
    [
        ["yamllint", "-s", "."],
        ["antsibull-changelog", "lint"],
        ["reuse", "lint"],
        ["pre-commit", "validate-config"],
    ],
    ids=" ".join,
)
def test_linters(tree: Path, command: list[str]) -> None:
    run(tree, *command)


def test_ansible_test_sanity(sanity: Future[str]) -> None:
    """Every test that ansible-test has, on every Python of this machine that the collection runs on."""
    assert not list(ROOT.glob("tests/sanity/ignore*"))
    said = sanity.result()
    for test in ("import", "pylint", "shellcheck", "validate-modules"):
        assert f'Running sanity test "{test}"' in said
    assert "not found" not in said, said
