# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Breaks right things: settings, JSON, XML, and answers of servers."""

from __future__ import annotations

import copy
import json
import random
from typing import Any
from xml.etree import ElementTree

from support.recording_server import Answer

# Texts for which some layer may have no answer.
TEXTS = (
    "", " ", "\0", "\n", "a\nb", "\r\nX-Injected: 1", "\x7f", "\u202e", "\u2028", "\ud800", "²", "٣", "é" * 300,
    "x" * 70_000,
    "%", "%zz", "%00", "{}", "{0}", "%s", "$X", "`id`", "'; DROP TABLE users; --", "../../etc", "/", "null", "true", "-1", "nan",
    "1e999",
    "9" * 4000, "0x10", "2026-99-99", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "\ufeff", "🎉", "<b>", "&x;",
)  # fmt: skip
ADDRESSES = (
    "http://", "https://", "http:///x", "http://[", "http://[::1", "http://[::1]:x", "http://h:99999", "http://h:-1",
    "http://h h", "http://\u2100", "http://.", "http://..", "http://xn--", "http://" + "a" * 64, "http://a..b", "http://127.0.0.1:1/%zz?#",
    "ftp://127.0.0.1", "file:///etc/passwd", "//127.0.0.1", "127.0.0.1", "http:127.0.0.1", "http://\n", "http://127.0.0.1:1\\x",
    "http://127.0.0.1:1/\u00e9", "HTTP://127.0.0.1:1", "http://user@:1", "http://é.invalid", "http://127.0.0.1:1/" + "x" * 9000,
)  # fmt: skip
NUMBERS = (0, 1, -1, 2**31, 2**63, 2**64, 10**30, -(10**30), 0.5, 1e308, float("inf"), float("-inf"), float("nan"))
THINGS: tuple[Any, ...] = (
    None, True, False, [], {}, [[]], [None], [1, "a"], {"": ""}, {"a": {"b": []}}, ["x"] * 50, *NUMBERS, *TEXTS,
)  # fmt: skip
STATUSES = (
    200,
    201,
    202,
    204,
    205,
    206,
    207,
    226,
    299,
    300,
    301,
    304,
    307,
    308,
    400,
    401,
    402,
    403,
    404,
    405,
    406,
    408,
)
STATUSES += (
    409,
    410,
    411,
    412,
    413,
    415,
    416,
    418,
    421,
    422,
    423,
    425,
    429,
    431,
    451,
    499,
    500,
    501,
    502,
    503,
    504,
    507,
    599,
)
_HEADERS = {
    "Content-Type": ("text/html", "application/json; charset=nonsense", ""),
    "Content-Encoding": ("gzip", "deflate", "nonsense"),
    "Retry-After": ("\xb2", "-5", "soon", "Mon, 99 Foo 99999 99:99:99 GMT", "1e3", "0"),
    "Date": ("never", "", "Wed, 01 Jan 99999 00:00:00 +9999"),
    "Location": ("http://[::1", "///"),
    "Set-Cookie": ("a=b; Max-Age=x",),
    "WWW-Authenticate": ("Digest",),
    "Content-Length": ("0",),
    "x-amz-bucket-region": ("mars-1",),
    "X-Odd": ("é" * 200,),
}
_BODIES = (
    *(text.encode() for text in (
        "", " ", "\0", "null", "0", '""', "[]", "{}", "[", "{", "NaN", "1e999", "9" * 5_000, "[" * 20_000, '{"a":' * 20_000,
        "<html><title>Log in</title><form>", "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", "<a>" * 5_000, "\ufeff{}",
        "<?xml version='1.0' encoding='nonsense'?><a/>", "<?xml version='1.1'?><a>&#0;</a>", "<Error/>",
        "<Error><Code>a b</Code>", "<Error><Code>Strange</Code><Message>x</Message></Error>", '{"error": {"a": 1}}',
        '{"ocs": []}', '{"ocs": {"meta": {"statuscode": 1e999}}}', "é",
    )),
    "<é>".encode("utf-16"), b"\xff\xfe\x00",
)  # fmt: skip


class Disorder:
    """Breaks things, each time at a random place and in a random way."""

    def __init__(self, choose: random.Random) -> None:
        self.choose = choose

    def thing(self) -> Any:
        return copy.deepcopy(self.choose.choice(THINGS))

    def nested(self, content: Any) -> Any:
        """JSON-like content with a wrong thing at one place."""
        content = copy.deepcopy(content)
        places = list(_places(content))
        if not places or self.choose.random() < 0.1:
            return self.thing()
        holder, key = self.choose.choice(places)
        kind = self.choose.random()
        if kind < 0.6:
            holder[key] = self.thing()
        elif kind < 0.8:
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        else:
            holder[key] = [holder[key]]
        return content

    def text(self, data: bytes) -> bytes:
        """The bytes, cut, doubled or replaced at one place."""
        place, end = sorted(self.choose.randint(0, len(data)) for _unused in range(2))
        kind = self.choose.randrange(4)
        if kind == 0:
            return data[:place]
        if kind == 1:
            return data[:place] + self.choose.randbytes(self.choose.randint(1, 4)) + data[place:]
        if kind == 2:
            return data[:place] + data[end:]
        return data[:end] + data[place:]

    def markup(self, data: bytes) -> bytes:
        """XML with a wrong thing at one place."""
        try:
            root = ElementTree.fromstring(data)
        except ElementTree.ParseError:
            return self.text(data)
        elements = list(root.iter())
        element = self.choose.choice(elements)
        kind = self.choose.randrange(4)
        if kind == 0:
            text = str(self.choose.choice((*TEXTS, *NUMBERS)))
            element.text = "".join(character for character in text if character.isprintable())
        elif kind == 1:
            element.tag = self.choose.choice(("Error", "x", root.tag))
        elif kind == 2 and len(element):
            element.remove(self.choose.choice(list(element)))
        else:
            element.append(copy.deepcopy(self.choose.choice(elements)))
        return ElementTree.tostring(root)

    def answer(self, answer: Answer) -> Answer:
        """The answer of a server, broken in one or two ways."""
        status, headers, body = answer
        for _unused in range(self.choose.randint(1, 2)):
            kind = self.choose.random()
            if kind < 0.2:
                status = self.choose.choice(STATUSES)
            elif kind < 0.35:
                name = self.choose.choice(list(_HEADERS))
                headers = {key: value for key, value in headers.items() if key.lower() != name.lower()}
                headers[name] = self.choose.choice(_HEADERS[name])
            elif kind < 0.5:
                body = self.choose.choice(_BODIES)
            elif kind < 0.6:
                body = self.text(body)
            else:
                body = self._content(body)
        return status, headers, body

    def _content(self, body: bytes) -> bytes:
        try:
            content = json.loads(body)
        except ValueError:
            return self.markup(body)
        return json.dumps(self.nested(content)).encode(errors="surrogatepass")


def _places(content: Any) -> Any:
    """Every place inside the content: the container, and the key in it."""
    if isinstance(content, (dict, list)):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield content, key
            yield from _places(value)
