# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of the Python packages of jobs."""

from __future__ import annotations

import importlib.metadata

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base import packages
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import OutdatedLibraryError

from support.messages import is_sentence


@pytest.mark.parametrize("version", ["1.26.27", "1.26.100", "2.0.post1", "1.26.dev1", "1.27rc1"])
def test_versions_that_are_new_enough(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    packages.check("boto3")


@pytest.mark.parametrize("version", ["1.26.26", "1.9.300", "0.1"])
def test_version_that_is_too_old_is_named_with_the_one_that_is_needed(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    with pytest.raises(OutdatedLibraryError) as refused:
        packages.check("boto3")
    assert is_sentence(str(refused.value))
    assert all(word in str(refused.value) for word in ("boto3", version, "1.26.27"))
