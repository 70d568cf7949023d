# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sentences for what Keycloak answers when it does not give what it was asked for."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from ..base.errors import KeycloakError
from .settings import KeycloakSettings

# The client of a realm whose roles open its admin API; in the realm "master" there is one for each other realm.
ADMIN_CLIENT = "realm-management"

_CREDENTIALS = (
    "check client_id and client_secret in section [user_search] or [oidc.controller] of the controller's settings or in"
    " the option keycloak"
)
_AUTHORITY = (
    "check authority in section [oidc] of the controller's settings or in the option keycloak, also whether its path"
    " must begin with /auth"
)
_API = (
    "check api_base_url in section [user_search] of the controller's settings or in the option keycloak, also whether"
    " its path must begin with /auth"
)


def no_token(status: int, body: bytes, settings: KeycloakSettings) -> KeycloakError:
    """The error to raise when no access token was issued."""
    error, description = _error(body)
    client = f"the client {settings.client_id}"
    if status in (400, 401) and "service account" in description.lower():
        return KeycloakError(
            f"Keycloak does not let {client} have a token of its own; turn on its service account in Keycloak, with the"
            f" roles view-users and query-users of {ADMIN_CLIENT}."
        )
    if status in (400, 401, 403):
        return KeycloakError(
            f"Keycloak refused {client} with HTTP status {status}{f' and {error}' if error else ''}, so its id or its"
            f" secret is wrong, or it is disabled; {_CREDENTIALS}."
        )
    return _unexpected(status, "the request for a token", _AUTHORITY)


def no_configuration(status: int) -> KeycloakError:
    """The error to raise when the address of the realm does not lead to its OpenID configuration."""
    return _unexpected(status, "the request for its OpenID configuration", _AUTHORITY)


def other_issuer() -> KeycloakError:
    """The error to raise when the address of the realm leads to the configuration of another one."""
    return KeycloakError(
        "The OpenID configuration below the authority names another issuer than the authority, so no secret is sent"
        " there; set authority in section [oidc] of the controller's settings or in the option keycloak to the issuer."
    )


def refused(status: int, settings: KeycloakSettings) -> KeycloakError:
    """The error to raise when a request to the admin API failed."""
    if status == 403:
        return missing_role(settings)
    if status == 401:
        return KeycloakError(
            "Keycloak's admin API refused a token that was just issued (HTTP status 401); check that authority in section"
            " [oidc] and api_base_url in section [user_search] of the controller's settings name the same realm on the"
            " same host."
        )
    return _unexpected(status, "a request to its admin API", _API)


def missing_role(settings: KeycloakSettings) -> KeycloakError:
    """The error to raise when the client may not see all accounts."""
    return KeycloakError(
        f"Keycloak does not let the client {settings.client_id} see all accounts of the realm; give its service account"
        f" the roles view-users and query-users of {ADMIN_CLIENT}."
    )


def no_accounts(settings: KeycloakSettings) -> KeycloakError:
    """The error to raise when the realm seems to be empty."""
    return KeycloakError(
        f"Keycloak lists no accounts at all at {settings.api.url}, so nothing was changed; {_API}, and that the service"
        f" account of the client {settings.client_id} has the roles view-users and query-users of"
        f" {ADMIN_CLIENT}."
    )


def not_understood(what: str, *, token: bool) -> KeycloakError:
    """The error to raise when an answer is not one of Keycloak.

    :param what: which answer, as a clause that begins with "the answer"
    :param token: whether it came from where tokens are issued
    """
    return KeycloakError(f"Something else than Keycloak seems to answer, as {what}; {_AUTHORITY if token else _API}.")


def unanswered(url: str, reason: str, *, token: bool) -> KeycloakError:
    """The error to raise when no answer came.

    :param url: what was asked for
    :param reason: a clause that begins with "the server"
    """
    key, section = ("authority", "oidc") if token else ("api_base_url", "user_search")
    return KeycloakError(
        f"Keycloak at {urlsplit(url).netloc} gave no answer ({reason}); check that it runs, and {key} in section"
        f" [{section}] of the controller's settings or in the option keycloak."
    )


def unusable_address(*, token: bool) -> KeycloakError:
    """The error to raise when nothing can be sent to an address."""
    return KeycloakError(f"The address of Keycloak cannot be used; {_AUTHORITY if token else _API}.")


def _unexpected(status: int, what: str, advice: str) -> KeycloakError:
    if 300 <= status < 400:
        return KeycloakError(
            f"Keycloak redirected {what} to another address (HTTP status {status}), which is not followed; {advice}."
        )
    if status == 404:
        return KeycloakError(f"Keycloak knows no such realm or address (HTTP status 404) for {what}; {advice}.")
    if status == 429 or status >= 500:
        return KeycloakError(
            f"Keycloak answered {what} with HTTP status {status} every time; see its log, or set dump_failed_responses to"
            " have its answers in the log of the job, and run the job again."
        )
    return KeycloakError(
        f"Keycloak answered {what} with HTTP status {status}; set dump_failed_responses to have its answer in the log of"
        f" the job, and {advice}."
    )


def _error(body: bytes) -> tuple[str, str]:
    # RFC 6749, 5.2: the code is one of a few words.
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(content, dict):
        return "", ""
    error, description = str(content.get("error", "")), str(content.get("error_description", ""))
    return (error if error.replace("_", "").isalpha() and len(error) < 40 else ""), description
