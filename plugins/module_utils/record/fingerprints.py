# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fingerprints of ids: a few bytes for each id, to find out whether an id is among many others.

A fingerprint is the first 38 bits of the id's SHA-256. An id that is not among n others has the fingerprint of one of
them with a probability of n / 2**38; for 200,000 others that is less than one in a million.
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

    :param seed: text that is hashed with each id, so that another seed gives other fingerprints
    """
    start, number = hashlib.sha256(f"{seed} ".encode()), int.from_bytes
    found = []
    for identifier in ids:
        digest = start.copy()
        digest.update(identifier.encode())
        found.append(number(digest.digest()[:_BYTES], "big") >> _SHIFT)
    return found


def encode(fingerprints: Iterable[int]) -> str:
    """Encode fingerprints, in any order, as text. Large numbers of them take less than four characters each."""
    ordered = sorted(fingerprints)
    gaps = array.array("Q", (later - earlier for earlier, later in zip([0, *ordered], ordered, strict=False)))
    data = _little_endian(gaps).tobytes()
    # Bytes of the same weight are alike, so they are put beside each other to compress well.
    planes = b"".join(data[weight::_PLANES] for weight in range(_PLANES))
    return base64.b64encode(zlib.compress(planes)).decode()


def decode(text: str, count: int) -> list[int]:
    """Decode fingerprints; they come sorted.

    :param count: their number
    :raises ValueError: the text does not encode so many fingerprints
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
