# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Keycloak for tests with its realms: the real one or a stand-in, behind a proxy that records requests and can fail."""

from __future__ import annotations

import functools
import itertools
import secrets
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.keycloak_program import ADMINISTRATOR, VERSION, KeycloakProcess, KeycloakUnavailable
from support.keycloak_stand_in import KeycloakStandIn
from support.limits import HANGS
from support.recording_server import Answer, RecordingProxy, Request
from support.server_process import ServerFailed

if TYPE_CHECKING:
    from typing_extensions import Self

_numbers = itertools.count(1)
TOKEN_PATH = "/protocol/openid-connect/token"
READER, QUERIER, NOBODY, UNABLE = "Controller", "query-users-only", "no-roles", "no-service-account"
_ROLES = {READER: ["view-users", "query-users"], QUERIER: ["query-users"], NOBODY: []}


class KeycloakProxy(RecordingProxy):
    """Passes requests on. With a prefix such as `/auth`, it passes on only paths with the prefix, and removes it.

    Paths that begin with a key of `renamed` are passed on with its value instead, and in answers the other way round.
    It passes on the client's header Host, too, so that Keycloak takes the proxy's address for its own.
    """

    def __init__(self, upstream: str, prefix: str = "") -> None:
        super().__init__(upstream)
        self.prefix = prefix
        self.renamed: dict[str, str] = {}

    def answer(self, request: Request) -> Answer:
        if not request.path.startswith(f"{self.prefix}/"):
            return 404, {"Content-Type": "text/html"}, b"<h1>Not found</h1>"
        path = request.path[len(self.prefix) :]
        for here, there in self.renamed.items():
            if path.startswith(here):
                path = there + path.removeprefix(here)
        status, headers, body = super().answer(
            Request(request.method, path, request.query, request.body, request.headers)
        )
        for here, there in self.renamed.items():
            body = body.replace(f"{self.url}{there}".encode(), f"{self.url}{here}".encode())
        return status, headers, body

    def operation(self, request: Request) -> str:
        path = request.path.partition("?")[0]
        if path.endswith(TOKEN_PATH):
            return "Token"
        if path.endswith("/.well-known/openid-configuration"):
            return "Configuration"
        return {"users": "Page", "count": "Count"}.get(path.rpartition("/")[2], request.method)


class KeycloakServer:
    """A running Keycloak: `with KeycloakServer.start() as keycloak: ...`; `kind` is 'keycloak' or 'stand-in'."""

    def __init__(self, server: KeycloakProcess | KeycloakStandIn, remark: str = "") -> None:
        self._server = server
        self.url = server.url
        self.kind = "keycloak" if isinstance(server, KeycloakProcess) else "stand-in"
        self.description = f"Keycloak {VERSION}" if self.kind == "keycloak" else f"Python ({remark})"
        self.session = requests.Session()
        self._signed_in_until = 0.0

    @classmethod
    def start(cls, *, require: bool = False) -> KeycloakServer:
        """Start the real one. If there is none, start a stand-in, or raise `KeycloakUnavailable` if `require` is set."""
        try:
            return cls(KeycloakProcess())
        except (KeycloakUnavailable, ServerFailed) as error:
            if require:
                raise KeycloakUnavailable(str(error)) from error
            return cls(KeycloakStandIn().__enter__(), str(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()
        if isinstance(self._server, KeycloakProcess):
            self._server.process.stop()
        else:
            self._server.__exit__()

    def send(self, method: str, path: str, content: Any = None) -> Any:
        """Send a request to the admin API as its administrator, and return the content of the answer."""
        self._sign_in()
        answer = self.session.request(method, f"{self.url}/admin/realms{path}", json=content, timeout=HANGS)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def _sign_in(self) -> None:
        """Get a token, if the last one may expire. Keycloak stops reading from a connection whose large request it refuses."""
        if time.monotonic() < self._signed_in_until:
            return
        form = {"grant_type": "password", "client_id": "admin-cli", "username": ADMINISTRATOR}
        form["password"] = self._server.password
        began = time.monotonic()
        answer = requests.post(f"{self.url}/realms/master{TOKEN_PATH}", data=form, timeout=HANGS)
        answer.raise_for_status()
        token = answer.json()
        self.session.headers["Authorization"] = f"Bearer {token['access_token']}"
        self._signed_in_until = began + token["expires_in"] / 2


@functools.cache
def _keys() -> dict[str, Any]:
    """The keys with which realms sign tokens. Without them, Keycloak makes keys for each realm, which takes two seconds."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    providers = {
        "rsa": {"privateKey": [key.decode()]}, "hmac-generated": {"algorithm": ["HS512"]}, "aes-generated": {},
    }  # fmt: skip
    components = [{"name": kind, "providerId": kind, "config": config} for kind, config in providers.items()]
    return {"org.keycloak.keys.KeyProvider": components}


class Realm:
    """A realm with clients that have different roles, and with the accounts that a test adds."""

    def __init__(self, server: KeycloakServer, *, name: str = "", lifespan: int = 300) -> None:
        self.server = server
        self.name = name or f"realm {next(_numbers)}"
        self.secret = secrets.token_urlsafe(24)
        clients = [
            {
                "clientId": client, "secret": self.secret, "publicClient": False,
                "serviceAccountsEnabled": client != UNABLE, "standardFlowEnabled": False,
            }
            for client in (*_ROLES, UNABLE)
        ]  # fmt: skip
        service_accounts = [
            {
                "username": f"service-account-{client.lower()}", "enabled": True, "serviceAccountClientId": client,
                "clientRoles": {"realm-management": roles},
            }
            for client, roles in _ROLES.items()
        ]  # fmt: skip
        server.send(
            "POST", "",
            {
                "realm": self.name, "enabled": True, "accessTokenLifespan": lifespan, "components": _keys(),
                "clients": clients, "users": service_accounts,
            },
        )  # fmt: skip

    def options(self, url: str, client: str = READER) -> dict[str, str]:
        """The module's option `keycloak` for the server at this address."""
        realm = self.name.replace(" ", "%20")
        return {
            "authority": f"{url}/realms/{realm}", "api_base_url": f"{url}/admin/realms/{realm}",
            "client_id": client, "client_secret": self.secret,
        }  # fmt: skip

    def add(self, accounts: Iterable[dict[str, Any]]) -> dict[str, str]:
        """Create accounts, and return the ids of all accounts of the realm by user name."""
        users = [{"enabled": True, **account} for account in accounts]
        self.server.send("POST", f"/{self.name}/partialImport", {"ifResourceExists": "FAIL", "users": users})
        return self.ids()

    def ids(self) -> dict[str, str]:
        return {account["username"]: account["id"] for account in self.accounts()}

    def accounts(self) -> list[dict[str, Any]]:
        """All accounts in Keycloak's order."""
        answer: list[dict[str, Any]] = self.server.send(
            "GET", f"/{self.name}/users?first=0&max=100000&briefRepresentation=false"
        )
        return answer

    def set_enabled(self, identifier: str, enabled: bool) -> None:
        self.server.send("PUT", f"/{self.name}/users/{identifier}", {"enabled": enabled})

    def remove(self, identifier: str) -> None:
        self.server.send("DELETE", f"/{self.name}/users/{identifier}")

    def drop(self) -> None:
        self.server.send("DELETE", f"/{self.name}")
