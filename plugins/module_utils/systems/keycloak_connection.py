# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""python-keycloak (https://python-keycloak.readthedocs.io/), with requests that are sent by the collection's session."""

from __future__ import annotations

import traceback
from typing import Any, Protocol
from urllib.parse import urljoin

from ..base.errors import MissingLibraryError
from .keycloak_errors import no_token, not_understood
from .settings import KeycloakSettings

# What python-keycloak raises for answers that have another form than Keycloak's.
UNEXPECTED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class Send(Protocol):
    """Sends a request and gives the answer, a requests.Response; `token` says whether it is for a token."""

    def __call__(self, method: str, url: str, *, token: bool, **content: Any) -> Any: ...


def admin(settings: KeycloakSettings, send: Send) -> Any:
    """A KeycloakAdmin that obtains its token when it is first used, and a new one when that has expired.

    :raises MissingLibraryError: python-keycloak is not installed
    """
    try:
        from keycloak import ConnectionManager, KeycloakAdmin, KeycloakOpenID, KeycloakOpenIDConnection
        from keycloak.exceptions import KeycloakError
    except ImportError:
        raise MissingLibraryError("python-keycloak", traceback.format_exc()) from None

    class Connection(ConnectionManager):
        """Everything that python-keycloak sends passes here."""

        for_tokens = False

        def raw_get(self, path: str, **query: Any) -> Any:
            return self._send("GET", path, params=query)

        def raw_post(self, path: str, data: Any, **query: Any) -> Any:
            return self._send("POST", path, data=data, params=query)

        def raw_put(self, path: str, data: Any, **query: Any) -> Any:
            return self._send("PUT", path, data=data, params=query)

        def raw_delete(self, path: str, data: Any = None, **query: Any) -> Any:
            return self._send("DELETE", path, data=data, params=query)

        def _send(self, method: str, path: str, **content: Any) -> Any:
            return send(
                method, urljoin(self.base_url, path), token=self.for_tokens, headers=dict(self.headers), **content
            )

    class TokenConnection(Connection):
        for_tokens = True

    tokens = KeycloakOpenID(
        server_url=settings.authority.server,
        realm_name=settings.authority.realm,
        client_id=settings.client_id,
        client_secret_key=settings.client_secret,
    )
    tokens.connection = TokenConnection(settings.authority.server)

    class AdminConnection(KeycloakOpenIDConnection, Connection):
        """Asks for tokens where they are issued, which may be another host or realm than that of the accounts."""

        @property
        def keycloak_openid(self) -> Any:
            return tokens

        def get_token(self) -> None:
            try:
                super().get_token()
            except KeycloakError as error:
                raise no_token(error.response_code or 0, error.response_body or b"", settings) from None
            except UNEXPECTED:
                raise not_understood("the answer to the request for a token has none", token=True) from None

        def refresh_token(self) -> None:
            # Client credentials need no refresh token (RFC 6749, 4.4.3), and one could have expired as well.
            self.get_token()

    return KeycloakAdmin(
        connection=AdminConnection(
            server_url=settings.api.server,
            realm_name=settings.api.realm,
            client_id=settings.client_id,
            client_secret_key=settings.client_secret,
            grant_type="client_credentials",
        )
    )
