# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every change of what users install is described in a fragment of the changelog."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.collection import ROOT
from support.components import COMPONENTS

CODE = ("plugins", "roles")
# A release moves the fragments into the changelog.
DESCRIPTIONS = ("changelogs/fragments/*.yml", "changelogs/changelog.yaml")


def undescribed(tree: Path) -> list[str]:
    """What changed in plugins/ or roles/ of a git repository after the newest description: files, or else commits.

    A description is a fragment that was added or changed, or a changed changelog.yaml. It describes the commit that it is
    in, and all earlier ones of the same history. So a fragment comes with a change or after it. Where branches meet, the
    fragment of one says nothing of the commits of the other; a fragment in a commit after the merge does. What a merge
    changes itself is not looked at. The working tree counts as the newest commit, with the files that git does not know
    yet. Whether a fragment fits the change is for people to judge.

    Of a shallow clone only the commits that it has are judged.

    :returns: the files of the working tree if they lack a description, else lines of commits, each with its subject
    """
    if any("D" not in state for state, _name in _not_committed(tree, DESCRIPTIONS)):
        return []
    if files := [name for _state, name in _not_committed(tree, CODE)]:
        return files
    log = ["log", "--full-history", "--no-merges"]
    described = _git(tree, *log, "--diff-filter=AM", "--format=^%H", "--", *DESCRIPTIONS).split()
    return _git(tree, *log, "--format=%h %s", "HEAD", *described, "--", *CODE).splitlines()


def _not_committed(tree: Path, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """The files that differ from the newest commit, each after the two letters of its state."""
    status = ["--no-optional-locks", "status", "--porcelain", "--untracked-files=all", "--no-renames"]
    return [(line[:2], line[3:]) for line in _git(tree, *status, "--", *names).splitlines()]


def _git(tree: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=tree, capture_output=True, text=True, check=True).stdout


def test_changes_are_described() -> None:
    if _git(ROOT, "rev-parse", "--is-shallow-repository").strip() != "false":
        COMPONENTS["changelog"] = "judged by a shallow clone, which lacks history; git fetch --unshallow gets it"
    found = undescribed(ROOT)
    assert not found, (
        "These changed plugins/ or roles/, and no fragment was added or changed with them or after them. Describe them in"
        " changelogs/fragments/, in the section trivial if no user notices them:\n" + "\n".join(found)
    )


class Repository:
    """A git repository that a test makes up."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> None:
        _git(self.tree, *arguments)

    def change(self, *names: str) -> None:
        for name in names:
            path = self.tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write("more\n")

    def commit(self, subject: str, *names: str) -> None:
        """Change these files, and commit all that is changed."""
        self.change(*names)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", subject)

    def undescribed(self) -> list[str]:
        """Files, or subjects of commits."""
        return [line.split(" ", 1)[-1] for line in undescribed(self.tree)]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """One whose first release is in the changelog."""
    settings = tmp_path / "gitconfig"
    settings.write_text("[user]\nname = somebody\nemail = somebody@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    tree = tmp_path / "tree"
    tree.mkdir()
    made = Repository(tree)
    made.commit("release", "plugins/a.py", "roles/b.yml", "changelogs/changelog.yaml")
    return made


def test_gate_wants_a_fragment_with_a_commit_or_after_it(repository: Repository) -> None:
    repository.commit("elsewhere", "docs/a.md")
    assert repository.undescribed() == []
    repository.commit("plugin", "plugins/a.py")
    repository.commit("role", "roles/new.yml")
    assert repository.undescribed() == ["role", "plugin"]
    repository.commit("fragment", "changelogs/fragments/a.yml")
    assert repository.undescribed() == []
    repository.commit("plugin with fragment", "plugins/a.py", "changelogs/fragments/a.yml")
    assert repository.undescribed() == []
    (repository.tree / "roles" / "new.yml").unlink()
    repository.commit("role is gone")
    assert repository.undescribed() == ["role is gone"]
    (repository.tree / "changelogs" / "fragments" / "a.yml").unlink()
    repository.commit("fragment is gone")
    assert repository.undescribed() == ["role is gone"]
    repository.commit("next release", "changelogs/changelog.yaml")
    assert repository.undescribed() == []


@pytest.mark.parametrize("staged", [False, True])
def test_gate_wants_a_fragment_before_the_commit(repository: Repository, staged: bool) -> None:
    repository.commit("fragment", "changelogs/fragments/a.yml")
    (repository.tree / "roles" / "b.yml").unlink()
    repository.change("plugins/a.py", "plugins/new.py")
    fragments = repository.tree / "changelogs" / "fragments"
    (fragments / "a.yml").unlink()

    def found() -> list[str]:
        if staged:
            repository.git("add", "--all")
        return sorted(repository.undescribed())

    assert found() == ["plugins/a.py", "plugins/new.py", "roles/b.yml"]
    repository.change("changelogs/fragments/new.yml")
    assert found() == []
    (fragments / "new.yml").unlink()
    assert found() != []
    repository.change("changelogs/fragments/a.yml", "changelogs/fragments/a.yml")
    assert found() == []


def test_gate_wants_a_fragment_of_each_branch(repository: Repository) -> None:
    for branch, *fragment in (("with", "changelogs/fragments/with.yml"), ("without",)):
        repository.git("switch", "--quiet", "--create", branch, "main")
        repository.commit(branch, f"plugins/{branch}.py", *fragment)
    repository.git("switch", "--quiet", "main")
    repository.commit("main", "roles/b.yml", "changelogs/fragments/main.yml")
    repository.git("merge", "--quiet", "--no-edit", "with")
    assert repository.undescribed() == []
    repository.git("merge", "--quiet", "--no-edit", "without")
    assert repository.undescribed() == ["without"]
    repository.commit("fragment", "changelogs/fragments/without.yml")
    assert repository.undescribed() == []


def test_gate_judges_the_commits_that_a_shallow_clone_has(repository: Repository, tmp_path: Path) -> None:
    repository.commit("fragment", "changelogs/fragments/a.yml")
    repository.commit("plugin", "plugins/a.py")
    found = []
    for depth in (1, 2):
        clone = tmp_path / f"clone{depth}"
        repository.git("clone", "--quiet", f"--depth={depth}", repository.tree.as_uri(), str(clone))
        found.append(len(undescribed(clone)))
    assert found == [0, 1]
