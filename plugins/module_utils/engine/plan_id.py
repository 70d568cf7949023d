# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The id of a plan, by which a run can be held to what a preview showed.

It is text of the form ``v1:<moment>:<number>:<digest>:<things>``: the moment by which the plan was made, in microseconds
since 1970; how many things it has; a digest of them all; and, where they are not too many, five bytes of the hash of each,
in base64, so that things that were not in the plan can be told from things that are not in it any more.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from .errors import ParameterError, PlanDiffersError

# The most things that are listed in an id, which is then 67 kB.
MOST_LISTED = 10_000
_BYTES = 5
_CHUNK = 10_000
_ID = re.compile(r"v1:(\d{1,18}):(\d{1,18}):([0-9a-f]{64}):([A-Za-z0-9+/=]*)")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class PlanIdentity:
    """Takes in the things of a plan, in constant memory but for the few bytes of each that is listed."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.sha256()
        self._listed: dict[bytes, str] = {}

    def add(self, kind: str, ids: Iterable[str]) -> int:
        """Take in things of one kind, and give their number.

        :param kind: the kinds come in the same order for each plan of a job
        :param ids: sorted
        """
        before, ids = self.count, iter(ids)
        self._hash.update(f"{kind}:".encode())
        while chunk := list(itertools.islice(ids, _CHUNK)):
            self._hash.update(f"{' '.join(chunk)} ".encode())
            if self.count <= MOST_LISTED:
                things = [f"{kind} {identifier}" for identifier in chunk]
                self._listed.update((hashlib.sha256(thing.encode()).digest()[:_BYTES], thing) for thing in things)
            self.count += len(chunk)
        return self.count - before

    def id(self, now: datetime) -> str:
        """The plan's id.

        :param now: the moment by which the plan was made
        """
        listed = b"".join(sorted(self._listed)) if self.count <= MOST_LISTED else b""
        moment = (now - _EPOCH) // timedelta(microseconds=1)
        return f"v1:{moment}:{self.count}:{self._hash.hexdigest()}:{base64.b64encode(listed).decode()}"

    def check(self, expected: ExpectedPlan) -> None:
        """:raises PlanDiffersError: this plan has things that the expected one has not, or that cannot be told"""
        if (self.count, self._hash.hexdigest()) == (expected.count, expected.digest):
            return
        if self.count > expected.count or expected.listed is None:
            reason = (
                ""
                if expected.listed is not None
                else f", and above {MOST_LISTED} only exactly the same plan is accepted"
            )
            first = self._first_new(expected)
            raise PlanDiffersError(
                f"The plan is not the one of expected_plan_id: it has {self.count} things instead of {expected.count}"
                f"{f', among them {first}' if first else ''}{reason}; nothing was touched: look at a new preview."
            )
        new = [name for digest, name in self._listed.items() if digest not in expected.listed]
        if new:
            raise PlanDiffersError(
                f"The plan is not the one of expected_plan_id: {len(new)} of its {self.count} things were not in that"
                f" one, the first of them {new[0]}; nothing was touched: look at a new preview."
            )

    def _first_new(self, expected: ExpectedPlan) -> str | None:
        if expected.listed is None:
            return None
        return next((name for digest, name in self._listed.items() if digest not in expected.listed), None)


@dataclass(frozen=True)
class ExpectedPlan:
    """What an id says.

    :ivar now: the moment by which the plan was made
    :ivar listed: the first bytes of the hash of each thing, or None where they were too many
    """

    now: datetime
    count: int
    digest: str
    listed: frozenset[bytes] | None


def parse(text: str) -> ExpectedPlan:
    """Read an id.

    :raises ParameterError: it is none
    """
    match = _ID.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        data = base64.b64decode(match[4], validate=True)
        now, count = _EPOCH + timedelta(microseconds=int(match[1])), int(match[2])
        if count <= MOST_LISTED and len(data) % _BYTES:
            raise ValueError
    except (ValueError, OverflowError, binascii.Error):
        raise ParameterError(
            "The option expected_plan_id is not the id of a plan; set it to the plan_id that check mode returns, unchanged."
        ) from None
    listed = frozenset(data[at : at + _BYTES] for at in range(0, len(data), _BYTES)) if count <= MOST_LISTED else None
    return ExpectedPlan(now, count, match[3], listed)
