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
# Characters of a text that are looked at.
_READ = 50_000
# The keys in which Keycloak says what is wrong; others may hold what is in an account.
_EXPLAINING = ("error", "error_description", "errorMessage")
_REMOVED = "(removed)"
_NO_EXPLANATION = "(JSON that explains nothing, left out)"
_NO_TEXT = "(data that is no text, left out)"
# JSON that cannot be parsed, such as a list of accounts that is cut off, or in an encoding that JSON does not allow.
_DATA = re.compile(rb"(?:\xef\xbb\xbf|[\s\0])*[\[{]|\xfe\xff|\xff\xfe")
_SECRETS = (
    # A JSON Web Token, also one that is cut off (RFC 7519).
    re.compile(r"\beyJ[\w-]{5,}(?:\.[\w-]*)*"),
    re.compile(r"\b(?:bearer|basic|negotiate|dpop)\s[\w.~+/=-]{4,}", re.IGNORECASE),
    re.compile(
        r"(?:(?<![\w-])[\w-]{0,40})?"
        r"(?:secret|password|passwd|token|authorization|api[_-]?key|assertion|credentials?|cookie|session)[\w-]{0,40}"
        r"[\"']?\s?[:=]\s?(?:\"(?:\\.|[^\"\\])*\"?|'[^']*'?|[^\s,;&<>\"']+)",
        re.IGNORECASE,
    ),
    # An address, looked for only where a word begins: from each of its characters on, a long word would take minutes.
    re.compile(r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)*"),
)


def presentable(body: bytes, secrets: Iterable[str], *, failed: bool = True) -> str:
    """The text of an answer on one line, without secrets and without what accounts hold.

    :param body: JSON, of which only Keycloak's own explanation is kept, or HTML, or text
    :param secrets: what must not be in it in any encoding
    :param failed: whether JSON explains a failure; else nothing of it is kept
    """
    forms = {form for secret in secrets for form in _forms(secret)} - {""}
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        text = _NO_TEXT if _DATA.match(body) else _text(body.decode("utf-8", errors="replace"), forms)
    else:
        text = _explanation(content if failed else None, forms)
    text = _one_line(text)
    return text if len(text) <= LIMIT else f"{text[:LIMIT]} ..."


def _text(text: str, secrets: set[str]) -> str:
    text = _shortened(text, secrets)
    # Before the markup goes, too, as a secret may look like a part of it.
    return _clean(_one_line(_without_markup(_clean(text, secrets))), secrets)


def _shortened(text: str, secrets: set[str]) -> str:
    # The secrets before it is cut, as a part of one is one, too; and not within a word, which may be an address.
    text = _without(text, secrets)
    return _one_line(text if len(text) <= _READ else " ".join(text[:_READ].split()[:-1]))


def _one_line(text: str) -> str:
    # Characters that steer terminals have no place in a log.
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _forms(secret: str) -> set[str]:
    as_json = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    return {secret, quote_plus(secret), html.escape(secret), html.escape(secret, quote=False), *as_json}


def _without(text: str, secrets: set[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _REMOVED)
    return text


def _clean(text: str, secrets: set[str]) -> str:
    text = _without(text, secrets)
    for pattern in _SECRETS:
        text = pattern.sub(_REMOVED, text)
    return text


def _explanation(content: object, secrets: set[str]) -> str:
    kept = {}
    if isinstance(content, dict):
        texts = {key: content[key] for key in _EXPLAINING if isinstance(content.get(key), str)}
        kept = {key: _clean(_shortened(text, secrets), secrets) for key, text in texts.items()}
    return json.dumps(kept, ensure_ascii=False) if kept else _NO_EXPLANATION


def _without_markup(text: str) -> str:
    text = re.sub(r"(?is)<(script|style)\b.*?(?:</\1\s*>|\Z)", " ", text)
    text = re.sub(r"(?s)<!--.*?(?:-->|\Z)", " ", text)
    return html.unescape(re.sub(r"<[^>]*>?", " ", text))
