# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a failed answer of Keycloak is shown."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any
from urllib.parse import quote_plus

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems import keycloak_answers
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
        (b"password: " + 50 * b"<b>" + b"hunter", "(removed)"),
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
        "client_secret" + 30 * " " + "=" + 30 * " " + "hunter",
        '<input name="password" value="x">password="hunter > two">',
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_removes_secrets(text: str, wrapped: bool) -> None:
    body = json.dumps({"error": text}) if wrapped else text
    shown = presentable(body.encode(), [SECRET])
    assert "(removed)" in shown
    for part in ("cr&t", quote_plus(SECRET), "eyJ", "Q29udHJ", "hunter", "c2lnbm", "alice"):
        assert part not in shown, shown


ACCOUNTS = [{"username": "alice", "email": "alice@example.org", "firstName": "Alice"}] * 5000


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(ACCOUNTS).encode(),
        json.dumps(ACCOUNTS).encode()[:-1],
        json.dumps(ACCOUNTS).encode()[:300],
        json.dumps(ACCOUNTS[0]).encode()[:60],
        b" \r\n\t" * 1000 + json.dumps(ACCOUNTS).encode()[:-1],
        b"\xef\xbb\xbf" + json.dumps(ACCOUNTS).encode(),
        b"\xef\xbb\xbf \n" + json.dumps(ACCOUNTS).encode()[:300],
        json.dumps(ACCOUNTS).encode("utf-16"),
        json.dumps(ACCOUNTS).encode("utf-16")[:301],
        json.dumps(ACCOUNTS).encode("utf-16-le")[:301],
        json.dumps(ACCOUNTS).encode("utf-16-be")[:301],
        json.dumps(ACCOUNTS).encode("utf-32")[:303],
        '[{"username": "alice", "firstName": "Älice"}]'.encode("latin-1"),
        b"[" * 100_000 + b'"alice"',
    ],
    ids=itertools.count(),
)
def test_shows_nothing_of_accounts(body: bytes) -> None:
    assert "lice" not in presentable(body, []).replace("\0", "")


def test_explains_nothing_where_nothing_failed() -> None:
    assert "alice" not in presentable(b'{"error": "alice", "username": "alice"}', [], failed=False)
    assert presentable(b"\xef\xbb\xbf<html>Bad gateway", [], failed=False) == "Bad gateway"


@pytest.mark.parametrize(
    "word",
    [
        "a",
        "-",
        ".",
        "secret",
        "secret ",
        "token=",
        "token='",
        'token="\\',
        "eyJ",
        "eyJaaaaa.",
        "bearer ",
        "a@",
        "a.",
        "<",
        "<!--",
    ]
    + ["<script", "</script ", "&", "&#", "api_", "\0", " "],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_takes_no_time_for_odd_bodies(word: str, wrapped: bool) -> None:
    text = word * (200_000 // len(word))
    started = time.monotonic()
    presentable(json.dumps({"error": text}).encode() if wrapped else text.encode(), [SECRET])
    assert time.monotonic() - started < 5


def test_does_not_show_what_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever reading ends, no part of a secret or of an address is left at the end."""
    text = f"<style>{'x' * 300}</style> a {SECRET} b alice.hunter@example.org c"
    for end in range(300, len(text)):
        monkeypatch.setattr(keycloak_answers, "_READ", end)
        shown = presentable(text.encode(), [SECRET])
        assert not any(part in shown for part in ("s3", "cr&t", "alice", "hunter")), shown


def test_is_limited() -> None:
    assert len(presentable(b"x " * 10**6, [])) <= LIMIT + 4
