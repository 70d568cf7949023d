# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings: the file, overridden by the environment, overridden by options, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.base.errors import ConfigurationError
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.settings import Settings, file

Read = Callable[..., Settings]
STORAGE = '[minio]\nuri = "http://file"\nbucket = "file"\naccess_key = "file"\nsecret_key = "file"\n'
FOLDERS = '[shared_folder]\nprovider = "nextcloud"\nurl = "http://file"\nusername = "file"\npassword = "file"\n'
KEYCLOAK = """
[oidc]
authority = "https://file/auth/realms/talk"
[oidc.controller]
client_id = "oidc"
client_secret = "oidc"
[user_search]
backend = "keycloak_webapi"
api_base_url = "https://file/auth/admin/realms/talk"
"""
DEPRECATED = '[keycloak]\nbase_url = "https://old/auth/"\nrealm = "a b"\nclient_id = "old"\nclient_secret = "old"\n'


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Settings from the text of a file, options, and values of the environment."""

    def make(text: str | bytes = "", options: dict[str, Any] | None = None, **environment: str) -> Settings:
        path = tmp_path / "controller.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        variables = {f"OPENTALK_CTRL_{name}": value for name, value in environment.items()}
        return Settings(str(path), options or {}, variables)

    return make


def test_environment_is_above_the_file_and_options_are_above_both(read: Read) -> None:
    """Each key by itself."""
    options = {"object_storage": {"bucket": "option", "uri": None}, "shared_folder": None}
    variables = {"MINIO__BUCKET": "environment", "MINIO__ACCESS_KEY": "environment", "UNKNOWN": "x"}
    found = read(STORAGE, options, **variables).object_storage()
    assert (found.uri, found.bucket, found.access_key) == ("http://file", "option", "environment")
    assert (found.region, found.force_path_style) == ("unknown", True)


def test_database_url_has_an_option_of_its_own(read: Read) -> None:
    text = '[database]\nurl = "postgres://file"\n'
    assert read(text).database_url() == "postgres://file"
    assert read(text, DATABASE__URL="postgresql://environment").database_url() == "postgresql://environment"
    option = {"database_url": "postgres://option"}
    assert read(text, option, DATABASE__URL="postgres://environment").database_url() == "postgres://option"
    assert read("", option).database_url() == "postgres://option"


def test_environment_alone_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(file, "find", lambda environment: None)
    environment = {"OPENTALK_CTRL_DATABASE__URL": "postgres://environment", "HOME": str(tmp_path)}
    assert Settings(None, {}, environment).database_url() == "postgres://environment"
    for name in ("opentalk_ctrl_database__url", "OPENTALK_CTRL_DATABASE.URL", "Opentalk_Ctrl_Database__Url"):
        assert Settings(None, {}, {name: "postgres://environment"}).database_url() == "postgres://environment"
    with pytest.raises(ConfigurationError, match="No settings file of the controller was found.*controller_config"):
        Settings(None, {}, {}).database_url()


@pytest.mark.parametrize(
    "places",
    [
        ["controller.toml", "config.toml", "xdg/opentalk/controller.toml"],
        ["config.toml", "xdg/opentalk/controller.toml"],
        ["xdg/opentalk/controller.toml", "home/.config/opentalk/controller.toml"],
    ],
)
def test_file_is_looked_for_where_the_controller_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, places: list[str]
) -> None:
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(f'[database]\nurl = "postgres://{place}"\n')
    monkeypatch.chdir(tmp_path)
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path / "home")}
    assert Settings(None, {}, environment).database_url() == f"postgres://{places[0]}"
    if "home" in places[-1]:
        del environment["XDG_CONFIG_HOME"]
        assert Settings(None, {}, environment).database_url() == f"postgres://{places[-1]}"


def test_flags_are_true_or_false_also_as_text(read: Read) -> None:
    def style(text: str, **environment: str) -> bool:
        return read(STORAGE + text, **environment).object_storage().force_path_style

    assert style("force_path_style = false") is False
    assert style("force_path_style = false", MINIO__FORCE_PATH_STYLE="True") is True
    for wrong in ('"yes"', "1", '""'):
        with pytest.raises(ConfigurationError, match="force_path_style .* must be true or false"):
            style(f"force_path_style = {wrong}")


def test_shared_folders_are_optional_but_not_by_halves(read: Read) -> None:
    assert read("").shared_folder() is None
    found = read(FOLDERS, {"shared_folder": {"directory": "a/b"}}).shared_folder()
    assert found is not None and (found.provider, found.directory) == ("nextcloud", "a/b")
    assert read(FOLDERS).shared_folder().directory == ""  # type: ignore[union-attr]
    with pytest.raises(ConfigurationError, match=r"password of section \[shared_folder\] is missing"):
        read(FOLDERS, SHARED_FOLDER__PASSWORD="").shared_folder()
    with pytest.raises(ConfigurationError, match="must be nextcloud or opencloud"):
        read(FOLDERS, SHARED_FOLDER__PROVIDER="webdav").shared_folder()


def test_keycloak_is_read_from_several_sections(read: Read) -> None:
    found = read(KEYCLOAK, USER_SEARCH__CLIENT_ID="search").keycloak()
    assert (found.client_id, found.client_secret) == ("search", "oidc")
    assert (found.authority.server, found.api.server) == ("https://file/auth/", "https://file/auth/")
    assert (found.authority.realm, found.api.realm, found.warnings) == ("talk", "talk", ())
    assert "oidc" not in repr(found)  # which is the secret here


def test_backend_must_be_keycloak_unless_an_option_says_where_it_is(read: Read) -> None:
    other = {"USER_SEARCH__BACKEND": "ldap"}
    with pytest.raises(ConfigurationError, match="is not keycloak_webapi"):
        read(KEYCLOAK, **other).keycloak()
    option = {"keycloak": {"api_base_url": "https://option/admin/realms/r"}}
    assert read(KEYCLOAK, option, **other).keycloak().api.server == "https://option/"


def test_deprecated_section_of_keycloak_is_taken_with_a_warning(read: Read) -> None:
    found = read(DEPRECATED).keycloak()
    assert (found.authority.server, found.authority.realm) == ("https://old/auth/", "a%20b")
    assert (found.api.server, found.api.realm) == ("https://old/auth/", "a%20b")
    assert len(found.warnings) == 1 and "deprecated" in found.warnings[0]
    # Where there are the new ones it does not count.
    assert read(DEPRECATED + KEYCLOAK).keycloak().client_id == "oidc"


@pytest.mark.parametrize(
    ("authority", "api"),
    [
        ("https://h/realms/", "https://h/admin/realms/r"),
        ("https://h/admin/realms/r", "https://h/admin/realms/r"),
        ("https:///realms/r", "https://h/admin/realms/r"),
        ("https://u@h/realms/r", "https://h/admin/realms/r"),
        ("https://h/realms/r?x", "https://h/admin/realms/r"),
        ("https://h/realms/r", "https://h/realms/r"),
        ("https://h/realms/r", "https://h/admin/realms/r/users"),
    ],
)
def test_address_that_is_no_realm_is_refused(read: Read, authority: str, api: str) -> None:
    options = {"keycloak": {"authority": "https://h/realms/r", "api_base_url": "https://h/admin/realms/r"}}
    read(KEYCLOAK, options).keycloak()
    with pytest.raises(ConfigurationError, match="must have the form https://HOST/"):
        read(KEYCLOAK, {"keycloak": {"authority": authority, "api_base_url": api}}).keycloak()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = 1\nb = [\n", r"not valid TOML \(at (line \d+, column \d+|end of document)\)"),
        (b"a = '\xff'", "not UTF-8 text"),
        ("minio = 5", r"\[minio\] in .*controller.toml must be a section"),
        ("", r"section \[minio\] is missing in .*controller.toml"),
        (STORAGE.replace('bucket = "file"\n', ""), r"bucket of section \[minio\] is missing"),
        (STORAGE.replace('bucket = "file"', "bucket = 5"), "bucket .* must be a string"),
        (STORAGE.replace("http://file", "file:///etc"), "must begin with http:// or https://"),
    ],
)
def test_wrong_file_is_refused_by_a_sentence_that_names_the_place(read: Read, text: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read(text).object_storage()


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A device could be read for ever."""
    for path, words in (("/dev/zero", "is not a file"), (str(tmp_path), "is not a file"), ("/nowhere", "not exist")):
        with pytest.raises(ConfigurationError, match=words):
            Settings(path, {}, {})


def test_variable_can_take_the_place_of_a_value_that_is_no_section(read: Read) -> None:
    assert read("database = 5", DATABASE__URL="postgres://environment").database_url() == "postgres://environment"
    with pytest.raises(ConfigurationError, match="must begin with postgres://"):
        read("", DATABASE__URL="mysql://environment").database_url()
