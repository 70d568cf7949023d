# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many ids as a few bytes each, in which an id that is not among them is found out.

Each id becomes 38 bits by multiply-add-shift hashing (M. Thorup, "High Speed Hashing for Integers and Strings",
https://arxiv.org/abs/1504.06804, section 3.5): an id that is not among a number of others looks as if it was with a
probability of at most that number divided by 2 to the 38th, which is less than one in a million for 200,000 others.
"""

from __future__ import annotations

import array
import base64
import hashlib
import itertools
import struct
import sys
import zlib
from collections.abc import Iterable

BITS = 38
_WORD = 128
_MASK = (1 << _WORD) - 1
_SHIFT = _WORD - BITS
_PAIRS = struct.Struct(">QQ")
_FACTORS = struct.Struct(">16s16s16s")
_PLANES = 8


class Hash:
    """Gives the fingerprints of ids.

    :param seed: another one gives other fingerprints
    """

    def __init__(self, seed: str) -> None:
        digest = hashlib.sha512(seed.encode()).digest()
        self._high, self._low, self._constant = (int.from_bytes(part, "big") for part in _FACTORS.unpack_from(digest))

    def __call__(self, ids: list[str]) -> list[int]:
        """The fingerprints, in the order of the ids.

        :param ids: UUIDs, or other texts of 32 hexadecimal digits
        """
        high, low, constant = self._high, self._low, self._constant
        data = bytes.fromhex("".join(ids).replace("-", ""))
        return [
            (first * high + second * low + constant & _MASK) >> _SHIFT for first, second in _PAIRS.iter_unpack(data)
        ]


def encode(fingerprints: Iterable[int]) -> str:
    """Fingerprints in any order as text, with less than four characters for each of many."""
    ordered = sorted(fingerprints)
    gaps = array.array("Q", (later - earlier for earlier, later in zip([0, *ordered], ordered, strict=False)))
    data = _little_endian(gaps).tobytes()
    # Bytes of the same weight beside each other are alike, so that they can be compressed.
    planes = b"".join(data[weight::_PLANES] for weight in range(_PLANES))
    return base64.b64encode(zlib.compress(planes)).decode()


def decode(text: str, count: int) -> list[int]:
    """The fingerprints, sorted.

    :param count: their number
    :raises ValueError: the text is not that of so many fingerprints
    """
    size = count * _PLANES
    decompression = zlib.decompressobj()
    try:
        planes = decompression.decompress(base64.b64decode(text, validate=True), size + 1)
    except zlib.error:
        raise ValueError from None
    if len(planes) != size or not decompression.eof or decompression.unused_data:
        raise ValueError
    data = bytearray(size)
    for weight in range(_PLANES):
        data[weight::_PLANES] = planes[weight * count : (weight + 1) * count]
    fingerprints = list(itertools.accumulate(_little_endian(array.array("Q", bytes(data)))))
    if fingerprints and fingerprints[-1] >> BITS:
        raise ValueError
    return fingerprints


def _little_endian(numbers: array.array[int]) -> array.array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
