# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation agrees with the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.jobs.registry import JOB_TYPES, NIGHT

from support.collection import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("roles/*/README.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, _hash, heading in re.findall(r"\]\(([^)#\s]*)(#?)([^)\s]*)\)", page.read_text()):
        if not re.match(r"[a-z]+:", target):
            found = (page.parent / target) if target else page
            assert found.exists(), target
            assert not heading or page.name == "CHANGELOG.md" or heading in _headings(found), f"{target}#{heading}"


def _headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitLab and GitHub make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_promises_name_tests_that_exist() -> None:
    files = {path.stem: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    functions = {name for text in files.values() for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    named = set(re.findall(r"`(test_\w+)(?:\.py)?`", (ROOT / "docs" / "promises.md").read_text()))
    assert len(named) > 30 and named <= functions | files.keys()


@pytest.mark.parametrize("job", JOB_TYPES)
def test_every_job_is_described(job: str) -> None:
    readme = (ROOT / "README.md").read_text()
    if job == "self_check":
        assert f"`opentalk.maintenance.{job}`" in readme
    else:
        assert f"[`opentalk.maintenance.{job}`](docs/jobs/{job}.md)" in readme


def test_order_of_the_night_is_explained() -> None:
    page = (ROOT / "docs" / "all-jobs.md").read_text()
    rows = re.findall(r"^\| ([a-z_]+(?:, [a-z_]+)*) \| ", page, re.MULTILINE)
    assert ", ".join(rows).split(", ") == list(NIGHT)


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) < 1500
