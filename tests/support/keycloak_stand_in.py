# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Keycloak, if the real one is missing: realms, clients, tokens that expire, roles and accounts.

It answers the few requests of the admin REST API that the tests and the collection send, as Keycloak 26 does.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from support.recording_server import Answer, RecordingServer, Request

ADMINISTRATOR = "admin"
_ROLES = "realm-management"
_NO_METHOD = (404, {"error": "Unable to find matching target resource method"})
_UNAUTHORIZED = (401, {"error": "HTTP 401 Unauthorized"})
_FORBIDDEN = (403, {"error": "HTTP 403 Forbidden"})
_NO_REALM = (404, {"error": "Realm not found."})


@dataclass
class _Client:
    secret: str
    has_service_account: bool
    roles: list[str] = field(default_factory=list)


@dataclass
class _Realm:
    lifespan: int
    clients: dict[str, _Client] = field(default_factory=dict)
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class _Token:
    realm: str
    roles: list[str]
    expires_at: float


class KeycloakStandIn(RecordingServer):
    """`password` is the password of the administrator in the realm `master`."""

    def __init__(self) -> None:
        super().__init__()
        self.password = secrets.token_hex(12)
        self._realms: dict[str, _Realm] = {}
        self._tokens: dict[str, _Token] = {}

    def answer(self, request: Request) -> Answer:
        with self._lock:
            status, content = self._answer(request)
        body = b"" if content is None else json.dumps(content).encode()
        return status, {"Content-Type": "application/json"}, body

    def _answer(self, request: Request) -> tuple[int, Any]:
        path = unquote(request.path.partition("?")[0])
        if found := re.fullmatch(r"/realms/([^/]+)/protocol/openid-connect/token", path):
            return self._token(found[1], request) if request.method == "POST" else _NO_METHOD
        if found := re.fullmatch(r"/realms/([^/]+)/\.well-known/openid-configuration", path):
            issuer = f"http://{request.headers['Host']}/realms/{quote(found[1])}"
            content = {"issuer": issuer, "token_endpoint": f"{issuer}/protocol/openid-connect/token"}
            return (200, content) if found[1] in self._realms else (404, {"error": "Realm does not exist"})
        found = re.fullmatch(r"/admin/realms(?:/([^/]+)(/.*)?)?", path)
        if not found:
            return _NO_METHOD
        token = self._tokens.get((request.headers.get("Authorization") or "").removeprefix("Bearer "))
        if token is None or time.monotonic() >= token.expires_at:
            return _UNAUTHORIZED
        if found[1] and found[1] not in self._realms:
            return _NO_REALM
        if token.realm == "master":
            return self._administer(found[1], found[2] or "", request)
        return self._read(token, found[1], found[2] or "", request)

    def _token(self, name: str, request: Request) -> tuple[int, Any]:
        form = {key: values[0] for key, values in parse_qs(request.body.decode()).items()}
        if name == "master" and form.get("grant_type") == "password":
            if (form.get("username"), form.get("password")) != (ADMINISTRATOR, self.password):
                return 401, {"error": "invalid_grant", "error_description": "Invalid user credentials"}
            return self._issue("master", [], 60)
        realm = self._realms.get(name)
        if realm is None:
            return 404, {"error": "Realm does not exist"}
        wrong = "Invalid client or Invalid client credentials"
        client = realm.clients.get(form.get("client_id", ""))
        if client is None:
            return 401, {"error": "invalid_client", "error_description": wrong}
        if form.get("client_secret") != client.secret:
            return 401, {"error": "unauthorized_client", "error_description": wrong}
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type", "error_description": "Unsupported grant_type"}
        if not client.has_service_account:
            description = "Client not enabled to retrieve service account"
            return 401, {"error": "unauthorized_client", "error_description": description}
        return self._issue(name, client.roles, realm.lifespan)

    def _issue(self, realm: str, roles: list[str], lifespan: int) -> tuple[int, Any]:
        claims = {"jti": str(uuid.uuid4()), "exp": int(time.time()) + lifespan}
        if roles:
            claims["resource_access"] = {_ROLES: {"roles": roles}}
        parts = [{"alg": "RS256", "typ": "JWT"}, claims, {"signature": secrets.token_hex(32)}]
        token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
        self._tokens[token] = _Token(realm, roles, time.monotonic() + lifespan)
        answer = {"access_token": token, "expires_in": lifespan, "refresh_expires_in": 0, "token_type": "Bearer"}
        return 200, {**answer, "not-before-policy": 0, "scope": "openid profile email"}

    def _read(self, token: _Token, name: str | None, path: str, request: Request) -> tuple[int, Any]:
        if request.method != "GET" or path not in ("/users", "/users/count"):
            return _NO_METHOD
        if name is None or token.realm != name or not {"view-users", "query-users"} & set(token.roles):
            return _FORBIDDEN
        accounts = self._sorted(name) if "view-users" in token.roles else []
        if path == "/users/count":
            return 200, len(accounts)
        query = {key: values[0] for key, values in request.query.items()}
        first = int(query.get("first", 0))
        page = accounts[first : first + int(query.get("max", 100))]
        brief = query.get("briefRepresentation", "").lower() == "true"
        return 200, [
            {key: value for key, value in account.items() if not (brief and key == "attributes") and value != {}}
            for account in page
        ]

    def _sorted(self, realm: str) -> list[dict[str, Any]]:
        return sorted(self._realms[realm].accounts.values(), key=lambda account: account["username"])

    def _administer(self, name: str | None, path: str, request: Request) -> tuple[int, Any]:
        content = json.loads(request.body) if request.body else {}
        if name is None:
            return self._create(content) if request.method == "POST" else _NO_METHOD
        realm = self._realms[name]
        if (request.method, path) == ("DELETE", ""):
            del self._realms[name]
            return 204, None
        if (request.method, path) == ("POST", "/partialImport"):
            for user in content["users"]:
                self._import(realm, user)
            return 200, {"added": len(content["users"])}
        if (request.method, path) == ("GET", "/users"):
            return 200, self._sorted(name)
        found = re.fullmatch(r"/users/([^/]+)", path)
        if not found or request.method not in ("PUT", "DELETE"):
            return _NO_METHOD
        if found[1] not in realm.accounts:
            return 404, {"error": "User not found"}
        if request.method == "DELETE":
            del realm.accounts[found[1]]
        else:
            realm.accounts[found[1]].update(content)
        return 204, None

    def _create(self, content: dict[str, Any]) -> tuple[int, Any]:
        realm = _Realm(content.get("accessTokenLifespan", 300))
        for client in content["clients"]:
            realm.clients[client["clientId"]] = _Client(client["secret"], client["serviceAccountsEnabled"])
        for user in content["users"]:
            self._import(realm, user)
        self._realms[content["realm"]] = realm
        return 201, None

    @staticmethod
    def _import(realm: _Realm, user: dict[str, Any]) -> None:
        if client := user.get("serviceAccountClientId"):
            # Keycloak neither counts nor lists service accounts.
            realm.clients[client].roles = user["clientRoles"][_ROLES]
            return
        identifier = str(uuid.uuid4())
        realm.accounts[identifier] = {"attributes": {}, **user, "id": identifier}
