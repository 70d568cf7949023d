# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The id of a plan. With it, an operator limits a run to the effects that a preview showed.

It is text of the form ``v1:<job>:<moment>:<digest>:<counts>:<things>``. The moment is the time of the plan, in microseconds
since 1970. The digest is made from all things. The counts are the numbers of things by kind, such as ``events=2,rooms=2``.
The things are fingerprints, with which a run finds the things that only its own plan has. If there are too many things,
there is ``-`` instead.
"""

from __future__ import annotations

import array
import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ..base.errors import ParameterError, PlanDiffersError
from . import fingerprints

# The most things whose fingerprints an id has. Such an id has 740 kB.
MOST_LISTED = 200_000
_CHUNK = 10_000
_COUNT = r"[a-z_]{1,40}=[1-9]\d{0,17}"
_ID = re.compile(
    rf"v1:([a-z_]{{1,40}}):(\d{{1,18}}):([0-9a-f]{{64}}):((?:{_COUNT}(?:,{_COUNT})*)?):(-|[A-Za-z0-9+/=]*)"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class ExpectedPlan:
    """The plan that an id stands for.

    :ivar now: the moment of the plan
    :ivar counts: the number of things by kind
    :ivar listed: the fingerprints of the things, or None if there were too many
    """

    job_type: str
    now: datetime
    digest: str
    counts: Mapping[str, int]
    listed: frozenset[int] | None

    def new(self, kind: str, ids: list[str]) -> list[str]:
        """The ids, all of one kind, that the plan does not list."""
        return self.unlisted(ids, fingerprints.of(_seed(self.job_type, self.now, kind), ids))

    def unlisted(self, ids: list[str], prints: list[int]) -> list[str]:
        """The ids whose fingerprints the plan does not list."""
        listed = self.listed or frozenset()
        return [identifier for identifier, number in zip(ids, prints, strict=True) if number not in listed]


class PlanIdentity:
    """Makes the id of a plan from its things. It keeps eight bytes of each listed thing, and nothing of the others.

    :param now: the moment of the plan
    :param expected: the plan that the operator approved, of the same job and moment
    """

    def __init__(self, job_type: str, now: datetime, expected: ExpectedPlan | None = None) -> None:
        self.expected = expected
        self._job_type = job_type
        self._now = now
        self._hash = hashlib.sha256(job_type.encode())
        self._counts: dict[str, int] = {}
        self._fingerprints: array.array[int] | None = array.array("Q")
        self._new = 0
        self._first_new = ""

    @property
    def count(self) -> int:
        """The number of things."""
        return sum(self._counts.values())

    def at_least(self, count: int) -> None:
        """Announce that the plan has at least so many things. If these are too many, none is listed."""
        if count > MOST_LISTED:
            self._fingerprints = None

    @property
    def needs_ids(self) -> bool:
        """Whether :meth:`add` must get the ids. Otherwise :meth:`add_digest` is enough."""
        return self._fingerprints is not None or self._listed_by_expected is not None

    def add(self, kind: str, ids: Iterable[str], names: Mapping[str, str] | None = None) -> int:
        """Add the things of one kind, and return their number.

        :param kind: every plan of a job must add its kinds in the same order
        :param ids: sorted
        :param names: names for messages, by id, if messages do not use the ids
        """
        ids, expected, seed = iter(ids), self._listed_by_expected, _seed(self._job_type, self._now, kind)
        digest, count = hashlib.sha256(), 0
        while chunk := list(itertools.islice(ids, _CHUNK)):
            digest.update(f"{' ' if count else ''}{' '.join(chunk)}".encode())
            count += len(chunk)
            self.at_least(self.count + count)
            if not self.needs_ids:
                continue
            prints = fingerprints.of(seed, chunk)
            if self._fingerprints is not None:
                self._fingerprints.extend(prints)
            if expected is not None:
                self._add_new(kind, expected.unlisted(chunk, prints), names)
        self.add_digest(kind, count, digest.hexdigest())
        return count

    def add_digest(self, kind: str, count: int, digest: str) -> None:
        """Add the things of one kind by a digest of their ids.

        :param count: the number of things
        :param digest: the SHA-256 of the ids, sorted, with a space between each two, in hexadecimal digits
        """
        self._hash.update(f" {kind} {digest}".encode())
        if count:
            self._counts[kind] = count

    def id(self) -> str:
        """The plan's id."""
        moment = (self._now - _EPOCH) // _MICROSECOND
        counts = ",".join(f"{kind}={count}" for kind, count in self._counts.items())
        things = "-" if self._fingerprints is None else fingerprints.encode(self._fingerprints)
        return f"v1:{self._job_type}:{moment}:{self._hash.hexdigest()}:{counts}:{things}"

    def check(self) -> None:
        """:raises PlanDiffersError: this plan has, or may have, things that the expected plan lacks"""
        expected = self.expected
        if expected is None or not self.count or self._hash.hexdigest() == expected.digest:
            return
        differences = ", ".join(
            f"{kind} {self._counts.get(kind, 0)} instead of {expected.counts.get(kind, 0)}"
            for kind in {**self._counts, **expected.counts}
            if self._counts.get(kind) != expected.counts.get(kind)
        )
        if expected.listed is None:
            raise PlanDiffersError(
                f"The plan is not the one of expected_plan_id ({differences or 'as many things, but not the same'}), and"
                f" above {MOST_LISTED} things only exactly the same plan is accepted; nothing was touched: look at a new"
                " preview."
            )
        if self._new:
            raise PlanDiffersError(
                f"The plan is not the one of expected_plan_id: {self._new} of its {self.count} things were not in that"
                f" one, the first of them {self._first_new}{f' ({differences})' if differences else ''}; nothing was"
                " touched: look at a new preview."
            )

    @property
    def _listed_by_expected(self) -> ExpectedPlan | None:
        return self.expected if self.expected and self.expected.listed is not None else None

    def _add_new(self, kind: str, things: list[str], names: Mapping[str, str] | None) -> None:
        if things and not self._new:
            self._first_new = f"{kind} {(names or {}).get(things[0], things[0])}"
        self._new += len(things)


def parse(text: str, job_type: str) -> ExpectedPlan:
    """Read an id.

    :param job_type: the job whose plan it must be
    :raises ParameterError: the text is no id, or the id is from another job
    """
    match = _ID.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        of_job, moment, digest, numbers, things = match.groups()
        pairs = [pair.split("=") for pair in numbers.split(",") if pair]
        counts = {kind: int(count) for kind, count in pairs}
        total = sum(counts.values())
        now = _EPOCH + int(moment) * _MICROSECOND
        if len(counts) != len(pairs) or (total > MOST_LISTED) != (things == "-"):
            raise ValueError
        listed = None if things == "-" else frozenset(fingerprints.decode(things, total))
    except (ValueError, OverflowError):
        raise ParameterError(
            "The option expected_plan_id is not the id of a plan; set it to the plan_id that check mode returns, unchanged."
        ) from None
    if of_job != job_type:
        raise ParameterError(
            f"The option expected_plan_id is from a preview of {of_job}; take it from a preview of {job_type}."
        )
    return ExpectedPlan(of_job, now, digest, counts, listed)


def _seed(job_type: str, now: datetime, kind: str) -> str:
    return f"{job_type} {(now - _EPOCH) // _MICROSECOND} {kind}"
