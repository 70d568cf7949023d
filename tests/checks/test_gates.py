# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tools that judge the tree and take long, each without an exception that is not explained where it is made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from support import checkout, code_tools, environments, verdicts
from support.collection import ROOT


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the tree in a folder that makes it a collection."""
    return checkout.copy(tmp_path)


def run(tree: Path, *command: str, **variables: str) -> str:
    """What a tool prints of a tree, which must succeed."""
    return code_tools.run(tree, tree.parents[2], *command, **variables)


def everything(_name: str) -> bool:
    return True


def no_program_of_tests(name: str) -> bool:
    return not (name.startswith("tests/") and name.endswith(".py"))


def nothing_of_tests(name: str) -> bool:
    return not name.startswith("tests/") or name == "tests/config.yml"


@pytest.fixture(scope="module", autouse=True)
def sanity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Future[str]]]:
    """What ansible-test prints of the collection, and of its tests; it takes longest, and so runs beside the other tools."""
    tree = checkout.copy(tmp_path_factory.mktemp("sanity"))
    pythons = list(environments.pythons().values())
    path = os.pathsep.join(
        [str(code_tools.programs()), *(str(python.parent) for python in pythons), os.environ["PATH"]]
    )
    home = str(checkout.ansible_test_home(code_tools.programs()))
    facts = [
        code_tools.programs(),
        *(python.resolve() for python in pythons),
        *map(shutil.which, ("shellcheck", "pwsh")),
    ]

    def judge(wanted: Callable[[str], bool], *targets: str) -> str:
        command = ["ansible-test", "sanity", "--requirements", "--color", "no", *targets]
        return verdicts.of_tree(lambda: run(tree, *command, PATH=path, HOME=home), tree, wanted, command, facts)

    with ThreadPoolExecutor(1) as executor:
        # pylint follows the imports of the tests into the collection.
        yield [
            executor.submit(judge, nothing_of_tests, "--exclude", "tests/"),
            executor.submit(judge, everything, "tests/"),
        ]


def test_ansible_lint(tree: Path) -> None:
    command = ("ansible-lint", "--nocolor")
    said = verdicts.of_tree(lambda: run(tree, *command), tree, no_program_of_tests, command, code_tools.programs())
    assert "Profile 'production' was required" in said


def test_documentation_is_built_without_a_warning(tree: Path, tmp_path: Path) -> None:
    pages = tmp_path / "docs"
    lint = ("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs", "all", ".")
    build = (
        "antsibull-docs", "collection", "--use-current", "--fail-on-error", "--squash-hierarchy", "opentalk.maintenance",
    )  # fmt: skip

    def make() -> str:
        run(tree, *lint)
        pages.mkdir()
        said = run(tree, *build, "--dest-dir", str(pages))
        assert not said, said
        return "\n".join(path.stem for path in pages.glob("*_module.rst"))

    built = verdicts.of_tree(make, tree, nothing_of_tests, lint, build, code_tools.programs())
    assert set(built.split()) == {f"{path.stem}_module" for path in (ROOT / "plugins" / "modules").glob("*.py")}


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
    verdicts.of_tree(lambda: run(tree, *command), tree, everything, command, code_tools.programs())


def test_ansible_test_sanity(sanity: list[Future[str]]) -> None:
    """Every test that ansible-test has, on every Python of this machine that the collection runs on."""
    assert not list(ROOT.glob("tests/sanity/ignore*"))
    collection, tests = (judged.result() for judged in sanity)
    for test in ("import", "pylint", "shellcheck", "validate-modules"):
        assert f'Running sanity test "{test}"' in collection
    for test in ("pep8", "pylint", "shellcheck"):
        assert f'Running sanity test "{test}"' in tests
    assert "not found" not in collection + tests, collection + tests
