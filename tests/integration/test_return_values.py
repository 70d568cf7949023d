# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules return the values that their documentation describes: in check mode, in a run, and when they fail."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import yaml

from support.cloud_server import CloudServer
from support.keycloak import KeycloakProxy, Realm
from support.keycloak_world import KeycloakWorld
from support.modules import PACKAGE, run_module
from support.world import World

# What Ansible itself documents.
COMMON = {"changed", "msg", "failed", "warnings", "diff", "invocation", "exception", "deprecations"}
TYPES = {"str": str, "int": int, "float": (int, float), "bool": bool, "list": list, "dict": dict}
JOBS: dict[str, dict[str, Any]] = {
    "event_cleanup": {},
    "user_cleanup": {"days_since_user_has_been_disabled": 0},
    "user_erasure": {
        "emails": [f"user{number}@example.org" for number in range(30)],
        "require_disabled": False,
        "fail_on_unmatched": False,
    },
    "adhoc_event_cleanup": {},
    "room_cleanup": {},
    "invite_cleanup": {"delete_invites": True},
    "sync_storage_files": {
        "missing_storage_file_handling": "delete_asset_entry",
        "orphaned_objects": "delete",
        "orphan_min_age": 0,
        "unlinked_assets": "delete",
    },
}


def documentation(module: str) -> dict[str, Any]:
    documented: dict[str, Any] = yaml.safe_load(importlib.import_module(f"{PACKAGE}.{module}").RETURN)
    return documented


def assert_documented(values: dict[str, Any], documented: dict[str, Any]) -> None:
    """Check that names, types and the form of lists are as documented, on all levels."""
    assert set(values) == set(documented), set(values) ^ set(documented)
    for key, value in values.items():
        entry = documented[key]
        assert isinstance(value, TYPES[entry["type"]]), (key, value)
        if isinstance(value, dict) and "sample" in entry and not key.startswith("rows_"):
            assert set(value) == set(entry["sample"]), (key, value)
        if "contains" in entry:
            for item in value if isinstance(value, list) else [value]:
                assert_documented(item, entry["contains"])


def own(result: dict[str, Any]) -> dict[str, Any]:
    """The return values of the module that are not common to all modules of Ansible."""
    return {key: value for key, value in result.items() if key not in COMMON}


@pytest.mark.parametrize("module", JOBS)
def test_deleting_jobs(open_world: Callable[..., World], module: str) -> None:
    """The run leaves folders behind, because the settings name no cloud for them, and the storage refuses objects."""
    world = open_world()
    world.fill(events=110)
    orphan = min(world.ids("assets"))
    world.query("DELETE FROM room_assets WHERE asset_id = %s", (orphan,))
    world.query("DELETE FROM assets WHERE id = %s", (orphan,))
    documented, options = documentation(module), JOBS[module]
    world.proxy.refuse_keys(dict.fromkeys(world.objects(), "AccessDenied"))

    preview = world.run(module, check_mode=True, diff=True, **options)
    assert preview["changed"]
    assert_documented(own(preview), documented)
    run = world.run(module, **options)
    assert_documented(own(run), {key: entry for key, entry in documented.items() if key != "approval"})
    assert bool(run["failures"]) == (module != "invite_cleanup")
    world.proxy.clear_faults()
    hidden = world.run(module, hide_duration=True, **options)
    assert hidden["changed"] == (module != "invite_cleanup")
    assert set(documented) - set(own(hidden)) == {"duration", "approval"}
    wrong = world.run(module, timeout=0)
    assert wrong["failed"] and set(own(wrong)) == {"job_type", "log"}


def test_sync_shared_folders(open_world: Callable[..., World], open_cloud: Callable[..., CloudServer]) -> None:
    world, cloud = open_world(), open_cloud()
    world.cloud = cloud
    for number in range(3):
        cloud.make_folder(f"{cloud.directory}/opentalk-event-00000000-0000-4000-8000-{number:012}")
    cloud.make_older(set(cloud.folders), timedelta(days=2))
    cloud.fail(403, lambda request: request.operation == "DeleteFolder", times=1)
    documented = documentation("sync_shared_folders")
    options = {"orphaned_shared_folders": "delete", "max_affected": 3}
    preview = world.run("sync_shared_folders", check_mode=True, diff=True, **options)
    assert_documented(own(preview), documented)
    run = world.run("sync_shared_folders", **options)
    assert run["shared_folders_left_behind"] and run["done"]["orphaned_shared_folders"]["count"] == 2
    assert_documented(own(run), {key: entry for key, entry in documented.items() if key != "approval"})


def test_keycloak_account_sync(open_world: Callable[..., World], realm: Realm, keycloak_proxy: KeycloakProxy) -> None:
    accounts = KeycloakWorld(open_world(), realm, keycloak_proxy)
    realm.add([{"username": "user"}])
    accounts.build.user()
    documented = documentation("keycloak_account_sync")
    for check_mode in (True, False):
        result = accounts.run(check_mode=check_mode)
        assert result["changed"], result
        assert_documented(own(result), documented)


def test_jobs_without_a_database() -> None:
    documented = documentation("self_check")
    assert_documented(own(run_module("self_check", connections=True)), documented)
    del documented["connections"]
    assert_documented(own(run_module("self_check")), documented)
    described = run_module("job_info")
    (jobs,) = documentation("job_info").values()
    for job in described["jobs"].values():
        assert_documented(job, jobs["contains"])
