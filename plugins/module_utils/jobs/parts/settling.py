# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How sync_storage_files settles what it found: in batches, each with a line about what it left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from ...deletion.batches import Batches
from ...run import Run


class Counted(Protocol):
    """Things of a known number."""

    def __len__(self) -> int:
        """The number."""

    def __iter__(self) -> Iterator[Any]:
        """The things, which begin with an id."""


def each(run: Run, kind: str, records: Counted, work: Callable[[list[Any]], None]) -> None:
    """Settle records in batches.

    :param kind: the kind in the failures
    :param records: each begins with an id
    :param work: settles the records of a batch
    """
    Batches(
        records,
        lambda record, reason: run.fail(kind, record[0], reason),
        run.deadline,
        largest=run.options["batch_size"],
        progress=run.progress.stage(f"{kind} settled", len(records)),
    ).run(work)


def log_left(run: Run, ids: Iterable[str]) -> None:
    """Say which things were left alone because they changed."""
    if left := sorted(ids):
        run.log.info(
            f"Assets that changed since the bucket was listed, and stay as they are: {len(left)}: "
            + ", ".join(left[: run.options["report_limit"]])
        )


def lack(run: Run, kind: str, what: str, reason: str, failure: tuple[str, str] | None) -> None:
    """Report that the job cannot see some things.

    :param kind: the kind in the plan; its listing is no longer complete
    :param what: what the job does not know, as a clause
    :param reason: why, as a clause
    :param failure: kind and id of a failure, if the operator asked for the deletion of these things
    """
    run.plan[kind].complete = False
    text = f"it is unknown {what}, because {reason}"
    run.warn(f"{text[0].upper()}{text[1:]}.")
    if failure:
        run.fail(*failure, text)


def denied(right: str) -> str:
    """The reason that a right of the object storage is missing, as a clause."""
    return f"the object storage does not allow it (grant {right})"
