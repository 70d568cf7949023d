# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page about compatibility names the versions that the tests use."""

from __future__ import annotations

from support import environments, keycloak_program, minio
from support.collection import ROOT


def _tables(page: str) -> dict[str, dict[str, str]]:
    """The second column of each table by its first one. The tables are named after the title of the second column."""
    found: dict[str, dict[str, str]] = {}
    title = None
    for line in page.splitlines():
        if not line.startswith("|"):
            title = None
            continue
        first, second, *_more = (cell.strip() for cell in line.strip("|").split("|"))
        if title is None:
            title = second
            found[title] = {}
        elif set(second) != {"-"}:
            found[title][first] = second
    return found


def test_page_of_compatibility_is_true() -> None:
    tables = _tables((ROOT / "docs" / "compatibility.md").read_text())
    assert tables["Lowest version"] == environments.lowest_versions()
    wanted = {
        python: core.removeprefix("==").removesuffix(".*") or "the newest"
        for python, core in environments.ANSIBLE.items()
    }
    assert tables["ansible-core"] == wanted
    run = tables["Run"]
    assert (run["Keycloak"], run["MinIO"]) == (keycloak_program.VERSION, f"`{minio.VERSION}`")
    pooler = run["PgBouncer"].partition(",")[0]
    assert f"The tests use PgBouncer {pooler}." in (ROOT / "docs" / "database-connection.md").read_text()
    assert f"The role is tested on {run['Hosts with systemd']}." in (ROOT / "roles/timers/README.md").read_text()
    # No cloud is run by the tests.
    assert run["Nextcloud"] == run["OpenCloud"] == ""
