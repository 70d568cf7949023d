# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The accounts of a Keycloak realm: https://www.keycloak.org/docs-api/latest/rest-api/index.html#_users."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ..base.deadline import Deadline
from .http_session import LARGEST_ANSWER, HttpSession, NoAnswer, UnusableAddress
from .keycloak_answers import presentable
from .keycloak_connection import UNEXPECTED, admin
from .keycloak_errors import (
    ADMIN_CLIENT,
    missing_role,
    not_understood,
    refused,
    unanswered,
    unusable_address,
)
from .settings import KeycloakSettings
from .write_gate import WriteGate

# Bytes for each account of a page. Attributes can be long.
ACCOUNT_SIZE = 2**15
# Each lets its holder see all accounts.
_SEEING_ROLES = frozenset({"view-users", "manage-users"})


class Account(NamedTuple):
    """An account: its id, what users are matched by, and whether it may log in."""

    id: str
    key: str
    enabled: bool


class Keycloak:
    """Reads accounts with client credentials. The connection is made when it is first used.

    :param gate: asked before every request
    :param ca_path: a file of CA certificates, or None for those of the system
    :param dump: is given a line about each failed answer, free of secrets
    """

    def __init__(
        self,
        settings: KeycloakSettings,
        *,
        deadline: Deadline,
        gate: WriteGate,
        validate_certs: bool,
        ca_path: str | None,
        dump: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._dump = dump
        self._admin: Any = None
        self._expected = 0
        # Credentials are in the requests; without a callable here, those of a .netrc file would take their place.
        self._session = HttpSession(
            "Keycloak",
            deadline=deadline,
            gate=gate,
            validate_certs=validate_certs,
            ca_path=ca_path,
            auth=lambda request: request,
        )

    @classmethod
    def for_job(
        cls,
        settings: KeycloakSettings,
        options: Mapping[str, Any],
        *,
        deadline: Deadline,
        gate: WriteGate,
        dump: Callable[[str], None] = lambda line: None,
    ) -> Keycloak:
        """The realm as a job with these options reads it."""
        return cls(
            settings,
            deadline=deadline,
            gate=gate,
            validate_certs=options["validate_certs"],
            ca_path=options["ca_path"],
            dump=dump,
        )

    def count(self) -> int:
        """How many accounts there are; those of clients are not counted.

        :raises KeycloakError: Keycloak does not tell, or does not let the client see all accounts
        """
        count = self._ask(lambda keycloak: keycloak.users_count())
        if not isinstance(count, int) or isinstance(count, bool):
            raise not_understood("the answer to the request for the number of accounts is not a number", token=False)
        if not self._may_see_all():
            raise missing_role(self._settings)
        return count

    def page(self, first: int, size: int) -> list[Account]:
        """Some of the accounts, without those of clients, in Keycloak's order; empty after the last one.

        :param first: how many accounts to leave out
        :param size: how many to give at most
        :raises KeycloakError: Keycloak does not give them
        """
        self._expected = ACCOUNT_SIZE * size
        brief = "false" if self._settings.external_id_attribute else "true"
        records = self._ask(
            lambda keycloak: keycloak.get_users({"first": first, "max": size, "briefRepresentation": brief})
        )
        if not isinstance(records, list):
            raise not_understood("the answer to the request for accounts is not a list", token=False)
        return [self._account(record) for record in records]

    def _account(self, record: Any) -> Account:
        fields = record if isinstance(record, dict) else {}
        identifier, enabled = fields.get("id"), fields.get("enabled")
        if not isinstance(identifier, str) or not identifier or not isinstance(enabled, bool):
            raise not_understood("the list of accounts has an entry without id or without enabled", token=False)
        attributes = fields.get("attributes")
        values = attributes.get(self._settings.external_id_attribute) if isinstance(attributes, dict) else None
        external = values[0] if isinstance(values, list) and values and isinstance(values[0], str) else ""
        return Account(identifier, external or identifier, enabled)

    def _ask(self, request: Callable[[Any], Any]) -> Any:
        if self._admin is None:
            self._admin = admin(self._settings, self._send)
        from keycloak.exceptions import KeycloakError as Refusal

        try:
            return request(self._admin)
        except Refusal as error:
            raise refused(error.response_code or 0, self._settings) from None
        except UNEXPECTED:
            # python-keycloak puts all of the answer into the message.
            return None

    def _send(self, method: str, url: str, *, token: bool, **content: Any) -> Any:
        def look(answer: Any) -> bool:
            if answer.status_code >= 300 or "json" not in answer.headers.get("Content-Type", ""):
                self._dump_answer(method, url, content.get("params"), answer)
            return answer.status_code == 429 or answer.status_code >= 500

        try:
            largest = LARGEST_ANSWER + self._expected
            return self._session.request(method, url, try_again=look, token_request=token, largest=largest, **content)
        except NoAnswer as error:
            raise unanswered(url, str(error), token=token) from None
        except UnusableAddress:
            raise unusable_address(token=token) from None

    def _dump_answer(self, method: str, url: str, query: Any, answer: Any) -> None:
        secrets = [self._settings.client_secret]
        if self._admin is not None and self._admin.connection.token:
            secrets += [value for value in self._admin.connection.token.values() if isinstance(value, str)]
        asked = "".join(f" {name}={value}" for name, value in (query or {}).items())
        body = presentable(answer.content, secrets, failed=answer.status_code >= 300)
        self._dump(
            f"Failed answer to {method} {urlsplit(url).path}{asked}: HTTP status {answer.status_code},"
            f" body: {body or '(empty)'}"
        )

    def _may_see_all(self) -> bool:
        """Whether the token does not say otherwise.

        Without the role, Keycloak counts and lists only the accounts that the client may see, which may be none.
        """
        try:
            payload = self._admin.connection.token["access_token"].split(".")[1]
            access = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["resource_access"]
            clients = [access[name] for name in (ADMIN_CLIENT, f"{self._settings.api.realm}-realm") if name in access]
            roles = {role for client in clients for role in client["roles"]}
        except UNEXPECTED:
            # Tokens need not be readable for clients.
            return True
        return not roles or bool(roles & _SEEING_ROLES)
