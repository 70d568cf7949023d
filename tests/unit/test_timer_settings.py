# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that the role timers writes, and the keys that the collection knows of."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.settings import Settings, lookup
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.settings.known import FLAGS, KNOWN
from ansible_collections.opentalk.maintenance.plugins.plugin_utils.timer_settings import problems

GOOD: dict[str, Any] = {
    "database": {"url": "planted", "max_connections": 100},
    "minio": {"uri": "planted", "bucket": "b", "access_key": "a", "secret_key": "planted", "force_path_style": False},
    "oidc": {"authority": "planted", "controller": {"client_id": "c", "client_secret": "planted"}, "frontend": {}},
    "user_search": {"backend": "keycloak_webapi", "api_base_url": "planted", "users_find_behavior": "from_database"},
    # Sections and keys that the collection does not read.
    "http": {"port": 11311, "addr": "0.0.0.0"},
    "rabbit_mq": {"url": "planted"},
    "metrics": {"allowlist": ["127.0.0.0/24"]},
    "default_directives": [1, {"a": 2.5}],
}


def test_settings_of_the_controller_are_taken() -> None:
    assert list(problems(GOOD)) == []
    assert list(problems({"minio": {"force_path_style": "False"}})) == []


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"databse": {"url": "planted"}}, "timers_settings.databse: there is no such section; did you mean database?"),
        ({"shared-folder": {}}, "timers_settings.shared-folder: there is no such section; did you mean shared_folder?"),
        (
            {"minio": {"acces_key": "planted"}},
            "timers_settings.minio.acces_key: there is no such key; did you mean access_key?",
        ),
        (
            {"oidc": {"controler": {"client_secret": "planted"}}},
            "timers_settings.oidc.controler: there is no such key; did you mean controller?",
        ),
        (
            {"oidc": {"controller": {"Client-Secret": "planted"}}},
            "timers_settings.oidc.controller.Client-Secret: there is no such key; did you mean client_secret?",
        ),
        (
            {"oidc.controller": {"client_secret": "planted"}},
            "timers_settings.oidc.controller: a dot does not make a section in YAML; write controller as a dictionary below",
        ),
        ({"database": "planted"}, "timers_settings.database: this is a section of the settings, thus a dictionary."),
        ({"oidc": {"controller": "planted"}}, "timers_settings.oidc.controller: this is a section of the settings"),
        ({"shared_folder": {"password": 12345}}, "timers_settings.shared_folder.password: it must be text; put it in"),
        ({"database": {"url": {"planted": 1}}}, "timers_settings.database.url: it must be text"),
        ({"minio": {"force_path_style": "planted"}}, "timers_settings.minio.force_path_style: it must be true or false."),
        ({"minio": {"force_path_style": 1}}, "timers_settings.minio.force_path_style: it must be true or false."),
        ({"http": {"since": datetime.date(2026, 1, 1)}}, "timers_settings: http.since is neither text nor a number; put"),
        ({"database": {"url": None}}, "timers_settings: database.url has no value"),
        ("planted", "timers_settings must be a dictionary"),
    ],
)  # fmt: skip
def test_mistake_is_named_without_a_value(settings: Any, problem: str) -> None:
    (found,) = problems(settings)
    assert found.startswith(problem) and "planted" not in found and "12345" not in found


def test_name_that_is_like_a_known_one_is_taken_beside_it() -> None:
    """Such as a key that a newer controller has."""
    assert list(problems({"minio": {"access_key": "a", "access_keys": "b"}})) == []


def test_keys_that_are_known_are_those_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read, flags = set(), set()
    optional, flag = lookup.Lookup.optional, lookup.Lookup.flag

    def note_text(self: Any, values: Any, section: str, key: str, option: str) -> str:
        read.add((section, key))
        return optional(self, values, section, key, option)

    def note_flag(self: Any, values: Any, section: str, key: str, option: str, *, default: bool) -> bool:
        flags.add((section, key))
        return flag(self, values, section, key, option, default=default)

    monkeypatch.setattr(lookup.Lookup, "optional", note_text)
    monkeypatch.setattr(lookup.Lookup, "flag", note_flag)
    values = {section: {key: "" for key in keys} for section, keys in KNOWN.items()}
    values["database"]["url"] = "postgres://h"
    values["minio"] = dict.fromkeys(KNOWN["minio"], "http://h") | {"force_path_style": "true"}
    values["shared_folder"] = dict.fromkeys(KNOWN["shared_folder"], "http://h") | {"provider": "nextcloud"}
    values["keycloak"] = {"base_url": "https://h", "realm": "r", "client_id": "c", "client_secret": "s"}

    def settings(*sections: str) -> Settings:
        environment = {
            f"OPENTALK_CTRL_{section.replace('.', '__')}__{key}".upper(): value
            for section in sections
            for key, value in values[section].items()
        }
        return Settings(None, {}, {"HOME": "/nowhere", **environment})

    assert settings("database").database_url()  # which has an option of its own
    settings("minio").object_storage()
    settings("shared_folder").shared_folder()
    settings("keycloak").keycloak()
    values["oidc"]["authority"] = "https://h/realms/r"
    values["user_search"] |= {"backend": "keycloak_webapi", "api_base_url": "https://h/admin/realms/r"}
    values["oidc.controller"] |= {"client_id": "c", "client_secret": "s"}
    settings("oidc", "oidc.controller", "user_search").keycloak()
    known = {(section, key) for section, keys in KNOWN.items() for key in keys}
    assert read | flags | {("database", "url"), ("user_search", "backend")} == known
    assert flags == FLAGS
