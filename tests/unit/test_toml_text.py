# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written as TOML is read as it was."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from ansible_collections.opentalk.maintenance.plugins.module_utils.systems.settings.file import toml_parser
from ansible_collections.opentalk.maintenance.plugins.plugin_utils import toml_text

# Every character below 256, and some that are easy to get wrong: line separators, a byte order mark, astral ones.
CHARACTERS = [
    *map(chr, range(256)),
    "\u2028",
    "\u2029",
    "\ufeff",
    "\ufffe",
    "\U0001f600",
    "\U0010ffff",
    "{{",
    "'''",
    '"""',
    "\\u0041",
]
PLAIN = {
    "database": {"url": 'postgres://u:p"\\#\'$@h/d', "max": 5},
    "oidc": {"authority": "https://id", "controller": {"client_id": "Controller"}, "more": {}},
    "top": True,
    "a key with spaces.and a dot": {"": 1, 'quote"': False, "\x7f": "\x7f", "ü": "ü"},
    "numbers": [0, -1, 2**63 - 1, -(2**63), 1.5, -0.0, 1e300, 1e-300, math.inf, -math.inf],
    "lists": [[], [1, [2.5, "three"]], [{"a": {"b": [True, {}]}}, {}], ["1\n2\r\n3\t"]],
}  # fmt: skip


def read(values: dict[str, Any]) -> Any:
    return toml_parser().loads(toml_text.document(values))


def test_everything_that_toml_has_comes_back() -> None:
    assert read(PLAIN) == PLAIN and read({}) == {}
    # Numbers keep their types, and so does what only looks like one.
    values = [1, 1.0, True, "1", "1.0", "true", "2026-01-01", "nan"]
    assert list(map(repr, read({"values": values})["values"])) == list(map(repr, values))
    assert math.isnan(read({"a": math.nan})["a"])
    every = {"all": "".join(CHARACTERS), "each": CHARACTERS, **{f"key {text}": text for text in CHARACTERS}}
    assert read(every) == every


def test_random_documents_come_back() -> None:
    generator = random.Random(20)

    def text() -> str:
        return "".join(generator.choices(CHARACTERS, k=generator.randrange(6)))

    def value(depth: int) -> Any:
        kind = generator.randrange(7 if depth else 5)
        if kind < 5:
            return [
                text(),
                generator.random() * 10 ** generator.randrange(-9, 30),
                generator.getrandbits(63),
                kind > 3,
                "",
            ][kind]
        return table(depth - 1) if kind == 5 else [value(depth - 1) for _unused in range(generator.randrange(4))]

    def table(depth: int) -> dict[str, Any]:
        return {text(): value(depth) for _unused in range(generator.randrange(5))}

    for _unused in range(300):
        values = table(4)
        assert read(values) == values


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"database": {"url": None}}, "database.url has no value"),
        ({"a": {"b": {1: "planted"}}}, "a.b has a key that is not text"),
        ({True: "planted"}, "The document has a key that is not text"),
        ({"a": ["planted", {"b": object()}]}, "a.b is neither text nor a number"),
        ({"a": 2**63}, "a is a number of more than 64 bits"),
        ({"a": {"b": "planted\ud800"}}, "a.b has half of a surrogate pair"),
        ({"a": b"planted"}, "a is neither text nor a number"),
    ],
)
def test_what_toml_does_not_have_is_named_without_its_value(values: dict[Any, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        toml_text.document(values)
    assert "planted" not in str(raised.value)
