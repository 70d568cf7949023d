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
from urllib.parse import urljoin

from ..base import packages
from ..base.errors import MissingLibraryError
from .keycloak_errors import no_token, not_understood
from .settings import KeycloakSettings

# What python-keycloak raises for answers that have another form than Keycloak's.
UNEXPECTED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


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

        def _send(self, method: str, path: str, data: Any = None, **query: Any) -> Any:
            url, headers = urljoin(self.base_url, path), dict(self.headers)
            return send(method, url, token=self.for_tokens, headers=headers, params=query, data=data)

        raw_get = partialmethod(_send, "GET")
        raw_post = partialmethod(_send, "POST")
        raw_put = partialmethod(_send, "PUT")
        raw_delete = partialmethod(_send, "DELETE")

    tokens = KeycloakOpenID(
        server_url=settings.authority.server,
        realm_name=settings.authority.realm,
        client_id=settings.client_id,
        client_secret_key=settings.client_secret,
    )
    tokens.connection = Connection(settings.authority.server)
    tokens.connection.for_tokens = True

    class AdminConnection(KeycloakOpenIDConnection, Connection):
        """Asks for tokens where they are issued, which may be another host or realm than that of the accounts."""

        keycloak_openid = tokens

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
