# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers of Keycloak that are failures: what of them may be shown."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from urllib.parse import quote_plus

# Characters of a body that are shown at most.
LIMIT = 2000
# Characters of a body that are looked at.
_READ = 200_000
# The keys in which Keycloak says what is wrong; others may hold what is in an account.
_EXPLAINING = ("error", "error_description", "errorMessage")
_REMOVED = "(removed)"
_SECRETS = (
    # A JSON Web Token, also one that is cut off (RFC 7519).
    re.compile(r"\beyJ[\w-]{5,}(?:\.[\w-]*)*"),
    re.compile(r"\b(?:bearer|basic|negotiate|dpop)\s+[\w.~+/=-]{4,}", re.IGNORECASE),
    re.compile(
        r"[\w-]*(?:secret|password|passwd|token|authorization|api[_-]?key|assertion|credentials?|cookie|session)[\w-]*"
        r"[\"']?\s*[:=]\s*(?:\"(?:\\.|[^\"\\])*\"?|'[^']*'?|[^\s,;&<>\"']+)",
        re.IGNORECASE,
    ),
    # An address.
    re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)*"),
)


def presentable(body: bytes, secrets: Iterable[str]) -> str:
    """The text of a failed answer on one line, without secrets and without what accounts hold.

    :param body: JSON, of which only Keycloak's own explanation is kept, or HTML, or text
    :param secrets: what must not be in it in any encoding
    """
    text = body[:_READ].decode("utf-8", errors="replace")
    forms = {form for secret in secrets for form in _forms(secret)} - {""}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        # Before the markup goes, too, as a secret may look like a part of it.
        text = _clean(_without_markup(_clean(text, forms)), forms)
    else:
        text = _explanation(content, forms)
    # Characters that steer terminals have no place in a log.
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return text if len(text) <= LIMIT else f"{text[:LIMIT]} ..."


def _forms(secret: str) -> set[str]:
    as_json = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    return {secret, quote_plus(secret), html.escape(secret), html.escape(secret, quote=False), *as_json}


def _clean(text: str, secrets: set[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _REMOVED)
    for pattern in _SECRETS:
        text = pattern.sub(_REMOVED, text)
    return text


def _explanation(content: object, secrets: set[str]) -> str:
    kept = {}
    if isinstance(content, dict):
        kept = {key: _clean(content[key], secrets) for key in _EXPLAINING if isinstance(content.get(key), str)}
    return json.dumps(kept, ensure_ascii=False) if kept else "(JSON that explains nothing, left out)"


def _without_markup(text: str) -> str:
    text = re.sub(r"(?is)<(script|style)\b.*?(?:</\1\s*>|\Z)", " ", text)
    text = re.sub(r"(?s)<!--.*?(?:-->|\Z)", " ", text)
    return html.unescape(re.sub(r"<[^>]*>?", " ", text))
