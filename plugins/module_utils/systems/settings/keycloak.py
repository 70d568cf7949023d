# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of Keycloak, which are in several sections."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from ...base.errors import ConfigurationError
from .lookup import Lookup, is_address

BACKEND = "keycloak_webapi"
_OPTION = "keycloak"
# The deprecated section has the same name as the option.
_DEPRECATED = "keycloak"
_ADDRESS = re.compile(r"(https?://[^/?#@\s]+)(/[^?#]*)?", re.IGNORECASE)
# The end of a path as Keycloak itself has it. A reverse proxy can have another one.
_REALM = re.compile(r"(/admin)?/realms/([^/]+)$")
# Characters of a path that need no percent-encoding (RFC 3986, 3.3), and the sign of those that are encoded already.
_PATH = "/%!$&'()*+,;=:@~"


@dataclass(frozen=True)
class RealmAddress:
    """Where requests about a realm go.

    :ivar url: the address without a slash at its end, percent-encoded
    :ivar realm: the name of the realm, or empty if the address does not end with it as Keycloak's own addresses do
    """

    url: str
    realm: str


@dataclass(frozen=True)
class KeycloakSettings:
    """Sections ``[oidc]`` and ``[user_search]``, or the deprecated section ``[keycloak]``.

    :ivar authority: the realm that issues tokens
    :ivar api: the realm with the accounts
    :ivar external_id_attribute: the user attribute with the id by which users are matched, or empty
    :ivar warnings: warnings for the administrator about these settings
    """

    authority: RealmAddress
    api: RealmAddress
    client_id: str
    client_secret: str = field(repr=False)
    external_id_attribute: str
    warnings: tuple[str, ...]


def is_named(lookup: Lookup) -> bool:
    """Whether anything is set that says where the accounts are."""
    return bool(lookup.overrides(_OPTION)) or any(
        lookup.section(section, required=False) for section in ("user_search", _DEPRECATED)
    )


def read(lookup: Lookup) -> KeycloakSettings:
    """:raises ConfigurationError: a setting is missing or wrong"""
    if "backend" not in lookup.section("user_search", required=False) and lookup.section(_DEPRECATED, required=False):
        return _read_deprecated(lookup)
    authority = _value(lookup, "authority", "oidc.controller", "oidc")
    return KeycloakSettings(
        authority=_authority(authority, lookup.where("oidc", "authority", _OPTION)),
        api=_api(_api_base_url(lookup), lookup.where("user_search", "api_base_url", _OPTION)),
        client_id=_value(lookup, "client_id", "user_search", "oidc.controller"),
        client_secret=_value(lookup, "client_secret", "user_search", "oidc.controller"),
        external_id_attribute=_optional(lookup, "external_id_user_attribute_name", "user_search"),
        warnings=(),
    )


def _read_deprecated(lookup: Lookup) -> KeycloakSettings:
    def address(key: str, path: str) -> str:
        return _optional(lookup, key) or (
            f"{_value(lookup, 'base_url', _DEPRECATED).rstrip('/')}{path}"
            f"/realms/{quote(_value(lookup, 'realm', _DEPRECATED), safe='')}"
        )

    where = lookup.where(_DEPRECATED, "base_url", _OPTION)
    return KeycloakSettings(
        authority=_authority(address("authority", ""), where),
        api=_api(address("api_base_url", "/admin"), where),
        client_id=_value(lookup, "client_id", _DEPRECATED),
        client_secret=_value(lookup, "client_secret", _DEPRECATED),
        external_id_attribute=_optional(lookup, "external_id_user_attribute_name", _DEPRECATED),
        warnings=(
            f"The section [{_DEPRECATED}] in {lookup.source()} is deprecated; replace it by the sections [oidc] and"
            " [user_search].",
        ),
    )


def _api_base_url(lookup: Lookup) -> str:
    url = _value(lookup, "api_base_url", "user_search")
    search = lookup.section("user_search", required=False)
    if "api_base_url" not in lookup.overrides(_OPTION) and search.get("backend") != BACKEND:
        raise ConfigurationError(
            f"The key backend of section [user_search] in {lookup.source()} is not {BACKEND}, so the controller does not"
            f" read accounts from Keycloak; correct it, or set api_base_url in the option {_OPTION}."
        )
    return url


def _value(lookup: Lookup, key: str, *sections: str) -> str:
    value = _optional(lookup, key, *sections)
    if value:
        return value
    usual = sections[-1]
    if not any(lookup.section(section, required=False) for section in sections):
        raise lookup.missing_section(usual, _OPTION)
    raise ConfigurationError(
        f"The key {key} of section [{usual}] is missing in {lookup.source()};"
        f" add it, or set {key} in the option {_OPTION}."
    )


def _optional(lookup: Lookup, key: str, *sections: str) -> str:
    overrides = lookup.overrides(_OPTION)
    if key in overrides:
        return lookup.optional(overrides, sections[0], key, _OPTION)
    for section in sections:
        value = lookup.optional(lookup.section(section, required=False), section, key, _OPTION)
        if value:
            return value
    return ""


def _authority(url: str, where: str) -> RealmAddress:
    address, of_admin = _parsed(url)
    if address is None or of_admin:
        raise ConfigurationError(
            f"The address of the realm ({where}) must have the form https://HOST/realms/REALM, with a path such as /auth"
            " before /realms where the server has one, or that of a reverse proxy, without a user name, a query and a"
            " fragment."
        )
    return address


def _api(url: str, where: str) -> RealmAddress:
    address, of_admin = _parsed(url)
    if address is None or (address.realm and not of_admin):
        raise ConfigurationError(
            f"The address of Keycloak's admin API ({where}) must have the form https://HOST/admin/realms/REALM, with a"
            " path such as /auth before /admin where the server has one, or that of a reverse proxy, without a user name,"
            " a query and a fragment."
        )
    return address


def _parsed(url: str) -> tuple[RealmAddress | None, bool]:
    """The address, or None if it is not usable, and whether it is one of the admin API.

    Names may be percent-encoded or not, as in the controller's settings (https://url.spec.whatwg.org/#path-state).
    """
    url = url.strip()
    found = _ADDRESS.fullmatch(url)
    # An @ between slashes is the end of a password with a raw slash.
    if not found or not url.isprintable() or not is_address(url) or re.search("@.*/", found[2] or ""):
        return None, False
    path = quote(found[2] or "", safe=_PATH).rstrip("/")
    realm = _REALM.search(path)
    if not realm and "realms" in path.split("/"):
        # Keycloak's own address with too little or too much behind it.
        return None, False
    return RealmAddress(found[1] + path, unquote(realm[2]) if realm else ""), bool(realm and realm[1])
