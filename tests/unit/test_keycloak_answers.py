# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a failed answer of Keycloak is shown."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.keycloak_answers import LIMIT, presentable

SECRET = 's3"cr&t+ü<'
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJqdGkiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"error": "unknown_error"}, '{"error": "unknown_error"}'),
        ({"errorMessage": "Könnte sein", "params": ["Alice"]}, '{"errorMessage": "Könnte sein"}'),
        ({"error": "x", "error_description": f"got {TOKEN}"}, '{"error": "x", "error_description": "got (removed)"}'),
        ([{"username": "alice", "email": "alice@example.org"}], "(JSON that explains nothing, left out)"),
        ({"username": "alice"}, "(JSON that explains nothing, left out)"),
        ("alice", "(JSON that explains nothing, left out)"),
        (b"<html><script>var t = 1</script><h1>Bad &amp; worse</h1>\n<p>Gateway</p>", "Bad & worse Gateway"),
        (b"\xff\x00\x1b[31mred", "\N{REPLACEMENT CHARACTER} [31mred"),
        (b"", ""),
    ],
)
def test_shows_what_explains(body: Any, shown: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert presentable(content, [SECRET]) == shown


@pytest.mark.parametrize(
    "text",
    [
        f"failed with {SECRET}.",
        f"client_secret={quote_plus(SECRET)}&x=1",
        f"<pre>{SECRET.replace('&', '&amp;').replace('<', '&lt;').replace(chr(34), '&quot;')}</pre>",
        f"dump: {json.dumps(SECRET)}",
        f"Authorization: Bearer {TOKEN}",
        f"token {TOKEN[:40]}",
        "Authorization: Basic Q29udHJvbGxlcjpzM2NyM3Q=",
        "password = 'hunter two' and more",
        '"access_token" : "hunter",',
        "client-secret: hunter; X-Api-Key: hunter",
        "mail to alice.hunter@example.org",
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_removes_secrets(text: str, wrapped: bool) -> None:
    body = json.dumps({"error": text}) if wrapped else text
    shown = presentable(body.encode(), [SECRET])
    assert "(removed)" in shown
    for part in ("cr&t", quote_plus(SECRET), "eyJ", "Q29udHJ", "hunter", "c2lnbm", "alice"):
        assert part not in shown, shown


def test_is_limited() -> None:
    assert len(presentable(b"x " * 10**6, [])) <= LIMIT + 4
