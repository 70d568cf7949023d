# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""python-keycloak (https://python-keycloak.readthedocs.io/), with requests that are sent by the collection's session.

python-keycloak decides which requests are sent, with which token, and when a new token is needed (the first version that
wants one after a refusal is 5.1.2). It does not send them itself, because its ConnectionManager, as read and tried in
versions 5.1.2 and 7.1.1, does this in another way:

- Its timeout is for each read, so a server that trickles its answer holds a job up beyond the deadline.
- It sends a request twice at most, and waits as long as a Retry-After header says. urllib3's Retry could make more
  attempts, but would show only the last answer (dump_failed_responses shows all of them), and would not repeat a request
  whose answer breaks off.
- It follows redirects. With status 307 or 308, the client's secret goes to another host.
- It has one error for everything that prevents an answer, and asks no write gate.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partialmethod
from typing import Any
from urllib.parse import unquote, urlsplit

from ..base import packages
from ..base.errors import MissingLibraryError
from .keycloak_errors import no_configuration, no_token, not_understood, other_issuer
from .settings import KeycloakSettings

# What python-keycloak raises for answers that have another form than Keycloak's.
UNEXPECTED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
# Stands for the realm in python-keycloak's paths, of which only what follows the realm is used.
_REALM = "realm"


def admin(settings: KeycloakSettings, send: Callable[..., Any]) -> Any:
    """A KeycloakAdmin that obtains its token when it is first used, and a new one when that has expired.

    :param send: is given method and URL, whether the request is for a `token`, and headers, params and data as for
        requests.request; gives a requests.Response
    :raises MissingLibraryError: python-keycloak is not installed
    """
    try:
        from keycloak import ConnectionManager, KeycloakAdmin, KeycloakOpenID, KeycloakOpenIDConnection
        from keycloak.exceptions import KeycloakError
    except ImportError:
        raise MissingLibraryError("python-keycloak", traceback.format_exc()) from None
    packages.check("python-keycloak")

    class Connection(ConnectionManager):
        """Everything that python-keycloak sends passes here; its requests.Session is not public."""

        for_tokens = False
        # The only address that is asked, once it is known.
        endpoint = ""

        def _send(self, method: str, path: str, data: Any = None, **query: Any) -> Any:
            url = self.endpoint or self.base_url + path.partition(f"realms/{_REALM}")[2]
            return send(method, url, token=self.for_tokens, headers=dict(self.headers), params=query, data=data)

        raw_get = partialmethod(_send, "GET")
        raw_post = partialmethod(_send, "POST")
        raw_put = partialmethod(_send, "PUT")
        raw_delete = partialmethod(_send, "DELETE")

    tokens = KeycloakOpenID(
        server_url=settings.authority.url,
        realm_name=_REALM,
        client_id=settings.client_id,
        client_secret_key=settings.client_secret,
    )
    tokens.connection = Connection(settings.authority.url)
    tokens.connection.for_tokens = True

    class AdminConnection(KeycloakOpenIDConnection, Connection):
        """Asks for tokens where they are issued, which may be another host or realm than that of the accounts."""

        keycloak_openid = tokens

        def get_token(self) -> None:
            if not settings.authority.realm and not tokens.connection.endpoint:
                tokens.connection.endpoint = self._discover()
            try:
                super().get_token()
            except KeycloakError as error:
                raise no_token(error.response_code or 0, error.response_body or b"", settings) from None
            except UNEXPECTED:
                raise not_understood("the answer to the request for a token has none", token=True) from None

        def _discover(self) -> str:
            try:
                return _token_endpoint(tokens.well_known(), settings)
            except KeycloakError as error:
                raise no_configuration(error.response_code or 0) from None
            except UNEXPECTED:
                raise not_understood(
                    "the answer to the request for its OpenID configuration has none that can be used", token=True
                ) from None

        def refresh_token(self) -> None:
            # Client credentials need no refresh token (RFC 6749, 4.4.3), and one could have expired as well.
            self.get_token()

    return KeycloakAdmin(
        connection=AdminConnection(
            server_url=settings.api.url,
            realm_name=_REALM,
            client_id=settings.client_id,
            client_secret_key=settings.client_secret,
            grant_type="client_credentials",
        )
    )


def _token_endpoint(configuration: dict[str, Any], settings: KeycloakSettings) -> str:
    """Where tokens are issued: https://openid.net/specs/openid-connect-discovery-1_0.html, 3 and 4.3."""
    authority, endpoint = settings.authority.url, urlsplit(str(configuration["token_endpoint"]))
    if unquote(configuration["issuer"].rstrip("/")) != unquote(authority):
        raise other_issuer()
    # The secret goes there, so it must not be less protected than the address from which this is known.
    protected = endpoint.scheme == "https" or endpoint.scheme == urlsplit(authority).scheme
    if not protected or "@" in endpoint.netloc:
        raise ValueError(endpoint.scheme)
    return endpoint.geturl()
