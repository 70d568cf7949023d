# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many ids as a few bytes each, in which an id that is not among them is found out.

Each id becomes the first 38 bits of its SHA-256: an id that is not among a number of others looks as if it was with a
probability of that number divided by 2 to the 38th, which is less than one in a million for 200,000 others.
"""

from __future__ import annotations

import array
import base64
import hashlib
import itertools
import sys
import zlib
from collections.abc import Iterable

BITS = 38
_BYTES = 5
_SHIFT = 8 * _BYTES - BITS
_PLANES = 8


def of(seed: str, ids: Iterable[str]) -> list[int]:
    """The fingerprints of ids, in their order.

    :param seed: another one gives other fingerprints
    """
    start, number = hashlib.sha256(f"{seed} ".encode()), int.from_bytes
    found = []
    for identifier in ids:
        digest = start.copy()
        digest.update(identifier.encode())
        found.append(number(digest.digest()[:_BYTES], "big") >> _SHIFT)
    return found


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
