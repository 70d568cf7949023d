# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sources of settings: the environment overrides the file, and options override both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.world import World


def test_precedence(open_world: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = open_world()
    world.fill(events=44)
    options = world.options
    config = tmp_path / "opentalk" / "controller.toml"
    config.parent.mkdir()
    storage = {**options["object_storage"], "secret_key": "overridden below"}
    config.write_text(
        '[database]\nurl = "postgres://u:p@127.0.0.1:1/overridden_below"\nunknown = 1\n[minio]\nforce_path_style = true\n'
        + "".join(f"{key} = {json.dumps(value)}\n" for key, value in storage.items())
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    only_file = world.run_bare("event_cleanup")
    assert "127.0.0.1:1" in only_file["msg"]
    monkeypatch.setenv("OPENTALK_CTRL_DATABASE__URL", options["database_url"])
    monkeypatch.setenv("OPENTALK_CTRL_MINIO__SECRET_KEY", "still wrong")
    assert "secret_key" in world.run_bare("event_cleanup")["msg"]
    secret = {"secret_key": options["object_storage"]["secret_key"]}
    assert world.run_bare("event_cleanup", object_storage=secret)["changed"]
