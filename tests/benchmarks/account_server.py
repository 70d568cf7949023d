# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Keycloak that lists any number of accounts without storing them, in a process of its own.

Each page takes as long as a page of a real server takes for its query.
"""

from __future__ import annotations

import json
import os
import sys
import time

from support.recording_server import Answer, RecordingServer, Request

# Seconds for each page, beside what it takes for each account.
LATENCY = 0.005


class AccountServer(RecordingServer):
    """:param accounts: the number of accounts, whose ids are those of :func:`identifier`"""

    def __init__(self, accounts: int) -> None:
        super().__init__()
        self._accounts = accounts

    def answer(self, request: Request) -> Answer:
        path = request.path.partition("?")[0]
        self.requests.clear()
        if path.endswith("/token"):
            return _json({"access_token": "x", "expires_in": 3600, "token_type": "Bearer"})
        if path.endswith("/count"):
            return _json(self._accounts)
        time.sleep(LATENCY)
        first, size = int(request.query["first"][0]), int(request.query["max"][0])
        return _json(list(map(_account, range(first, min(first + size, self._accounts)))))


def identifier(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def _account(number: int) -> dict[str, object]:
    # As Keycloak 26 gives it with briefRepresentation.
    return {
        "id": identifier(number), "username": f"user{number:07}", "firstName": "First", "lastName": "Last",
        "email": f"user{number:07}@example.org", "emailVerified": True, "enabled": True,
        "createdTimestamp": 1767225600000 + number, "totp": False, "disableableCredentialTypes": [],
        "requiredActions": [], "notBefore": 0,
        "access": {"manageGroupMembership": False, "view": True, "mapRoles": False, "impersonate": False, "manage": False},
    }  # fmt: skip


def _json(content: object) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


if __name__ == "__main__":
    with AccountServer(int(sys.argv[1])) as server:
        print(server.url, flush=True)
        # It ends with the process that started it.
        os.read(0, 1)
