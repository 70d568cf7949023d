# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings: the file, overridden by the environment, overridden by options, and what is refused."""

from __future__ import annotations

import sys
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
        ["config.toml", "controller.toml", "xdg/opentalk/controller.toml"],
        ["controller.toml", "xdg/opentalk/controller.toml"],
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
        for ignored in ("", "xdg", "./xdg"):
            environment["XDG_CONFIG_HOME"] = ignored
            assert Settings(None, {}, environment).database_url() == f"postgres://{places[-1]}"
        del environment["XDG_CONFIG_HOME"]
        assert Settings(None, {}, environment).database_url() == f"postgres://{places[-1]}"


# What the controller's parser makes of a line, or of a variable; None if it refuses it.
FLAGS = [
    ("true", True), ("false", False), ("1", True), ("0", False), ("2", True), ("0.0", False), ('"yes"', True),
    ('"No"', False), ('"on"', True), ('"OFF"', False), ('"1"', True), ('"0"', False), ('"True"', True),
    ('"perhaps"', None), ('""', None), ('"2"', None), ("[]", None), ("1979-05-27", None),
]  # fmt: skip
TEXTS = [
    ('"a"', "a"), ("12345", "12345"), ("-7", "-7"), ("true", "true"), ("1.5", "1.5"), ("2.0", "2"),
    ("1e20", "100000000000000000000"), ("0x10", "16"), ("[]", None), ("{a = 1}", None),
]  # fmt: skip
VARIABLES = [
    "OPENTALK_CTRL_MINIO__BUCKET", "opentalk_ctrl_minio__bucket", "OpenTalk_Ctrl_Minio__Bucket", "OPENTALK_CTRL_MINIO.BUCKET",
    "opentalk_ctrl_minio.bucket",
]  # fmt: skip


@pytest.mark.parametrize(("value", "meaning"), FLAGS)
def test_flags_are_read_as_the_controller_reads_them(read: Read, value: str, meaning: bool | None) -> None:
    def style(text: str, **environment: str) -> bool:
        return read(STORAGE + text, **environment).object_storage().force_path_style

    forms = [lambda: style(f"force_path_style = {value}")]
    if value[0] in '"tf':
        forms.append(lambda: style("force_path_style = []", MINIO__FORCE_PATH_STYLE=value.strip('"')))
    for form in forms:
        if meaning is None:
            with pytest.raises(ConfigurationError, match="force_path_style .* must be true or false"):
                form()
        else:
            assert form() is meaning


@pytest.mark.parametrize(("value", "meaning"), TEXTS)
def test_text_is_read_as_the_controller_reads_it(read: Read, value: str, meaning: str | None) -> None:
    text = STORAGE.replace('access_key = "file"', f"access_key = {value}")
    if meaning is None:
        with pytest.raises(ConfigurationError, match="access_key .* must be a string"):
            read(text).object_storage()
    else:
        assert read(text).object_storage().access_key == meaning


@pytest.mark.parametrize("name", VARIABLES)
def test_variables_have_names_in_any_case_and_with_dots(tmp_path: Path, name: str) -> None:
    (tmp_path / "c.toml").write_text(STORAGE)
    assert Settings(str(tmp_path / "c.toml"), {}, {name: "seen"}).object_storage().bucket == "seen"
    for other in (name.replace("_", "-", 1), f"X{name}"):
        assert Settings(str(tmp_path / "c.toml"), {}, {other: "seen"}).object_storage().bucket == "file"


def test_more_forms_that_the_controller_takes(read: Read) -> None:
    assert read(b"\xef\xbb\xbf" + STORAGE.encode()).object_storage().bucket == "file"
    # The controller drops the path. It signs with an empty region; servers that take this take any other.
    for uri in ("http://file:9000/minio/x", "http://file:9000/", "http://file:9000"):
        changed = read(STORAGE.replace("http://file", uri) + 'region = ""\n').object_storage()
        assert (changed.uri, changed.region) == ("http://file:9000", "unknown")
    assert read('[database]\nurl = "host=a dbname=b"\n').database_url() == "host=a dbname=b"
    assert read(FOLDERS.replace('password = "file"', 'password = ""')).shared_folder().password == ""  # type: ignore[union-attr]
    other = '[user_search]\nusers_find_behavior = "disabled"\n'
    assert read(DEPRECATED + other).keycloak().client_id == "old"
    assert read(KEYCLOAK + DEPRECATED).keycloak().client_id == "oidc"


def test_file_with_syntax_of_another_version_of_toml(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """tomli reads TOML 1.1 since version 2.4, and tomllib since Python 3.15."""
    newest = STORAGE + "[logging]\notlp = {\n  enabled = true,\n}\n"
    if file._reads_newest(file.toml_parser()):
        assert read(newest).object_storage().bucket == "file"
    else:
        with pytest.raises(ConfigurationError, match=r"at line \d+, column \d+: .*tomli 2.4 or newer"):
            read(newest).object_storage()
    monkeypatch.setitem(sys.modules, "tomli", None)
    try:
        import tomllib  # noqa: F401
    except ImportError:
        return
    if not file._reads_newest(file.toml_parser()):
        with pytest.raises(ConfigurationError, match=r"at line 7, column \d+: .*tomli 2.4 or newer"):
            read(newest).object_storage()


def test_shared_folders_are_optional_but_not_by_halves(read: Read) -> None:
    assert read("").shared_folder() is None
    found = read(FOLDERS, {"shared_folder": {"directory": "a/b"}}).shared_folder()
    assert found is not None and (found.provider, found.directory) == ("nextcloud", "a/b")
    assert read(FOLDERS).shared_folder().directory == ""  # type: ignore[union-attr]
    with pytest.raises(ConfigurationError, match=r"password of section \[shared_folder\] is missing"):
        read(FOLDERS.replace('password = "file"\n', "")).shared_folder()
    with pytest.raises(ConfigurationError, match="must be nextcloud or opencloud"):
        read(FOLDERS, SHARED_FOLDER__PROVIDER="webdav").shared_folder()


def test_keycloak_is_read_from_several_sections(read: Read) -> None:
    found = read(KEYCLOAK, USER_SEARCH__CLIENT_ID="search").keycloak()
    assert (found.client_id, found.client_secret) == ("search", "oidc")
    assert found.authority.url == "https://file/auth/realms/talk"
    assert found.api.url == "https://file/auth/admin/realms/talk"
    assert (found.authority.realm, found.api.realm, found.warnings) == ("talk", "talk", ())
    assert "oidc" not in repr(found)  # which is the secret here


def test_backend_must_be_keycloak_unless_an_option_says_where_it_is(read: Read) -> None:
    other = {"USER_SEARCH__BACKEND": "ldap"}
    with pytest.raises(ConfigurationError, match="is not keycloak_webapi"):
        read(KEYCLOAK, **other).keycloak()
    option = {"keycloak": {"api_base_url": "https://option/admin/realms/r"}}
    assert read(KEYCLOAK, option, **other).keycloak().api.url == "https://option/admin/realms/r"


def test_deprecated_section_of_keycloak_is_taken_with_a_warning(read: Read) -> None:
    found = read(DEPRECATED).keycloak()
    assert (found.authority.url, found.authority.realm) == ("https://old/auth/realms/a%20b", "a b")
    assert (found.api.url, found.api.realm) == ("https://old/auth/admin/realms/a%20b", "a b")
    assert len(found.warnings) == 1 and "deprecated" in found.warnings[0]
    # Where there are the new ones it does not count.
    assert read(DEPRECATED + KEYCLOAK).keycloak().client_id == "oidc"


@pytest.mark.parametrize(
    ("address", "url", "realm"),
    [
        ("https://h/realms/a b/", "https://h/realms/a%20b", "a b"),
        (" https://h/x/realms/a%20ü%2fb ", "https://h/x/realms/a%20%C3%BC%2fb", "a ü/b"),
        ("https://h/a b", "https://h/a%20b", ""),
        ("https://h", "https://h", ""),
    ],
)
def test_address_of_a_realm(read: Read, address: str, url: str, realm: str) -> None:
    api = address.replace("/realms/", "/admin/realms/")
    found = read(KEYCLOAK, {"keycloak": {"authority": address, "api_base_url": api}}).keycloak()
    assert (found.authority.url, found.authority.realm) == (url, realm)
    assert (found.api.url, found.api.realm) == (url.replace("/realms/", "/admin/realms/"), realm)


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
        ("https://h/realms/a\nb", "https://h/admin/realms/r"),
        ("https://u:p/w@h/realms/r", "https://h/admin/realms/r"),
        ("https://u:1/w@h/realms/r", "https://h/admin/realms/r"),
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
        ("a = 1\nb = [\n", r"not valid TOML \(at (line \d+, column \d+|end of document): "),
        (b"a = '\xff'", "not UTF-8 text"),
        ("minio = 5", r"\[minio\] in .*controller.toml must be a section"),
        ("", r"section \[minio\] is missing in .*controller.toml"),
        (STORAGE.replace('bucket = "file"\n', ""), r"bucket of section \[minio\] is missing"),
        (STORAGE.replace('bucket = "file"', "bucket = []"), "bucket .* must be a string"),
        (STORAGE.replace("http://file", "file:///etc"), "must begin with http:// or https://"),
        (STORAGE.replace("http://file", "http://name:123/secret@file"), "no @ behind"),
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


def test_working_directory_that_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(file, "find", lambda environment: None)
    with pytest.raises(
        ConfigurationError, match="looked for: config.toml, controller.toml, /etc/opentalk/controller.toml"
    ):
        Settings(None, {}, {}).database_url()
    # The process must be somewhere when the test ends.
    monkeypatch.chdir(tmp_path)
