# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The approval of a preview: what an operator hands to a run, so that it does no more than the preview showed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ..base.errors import ParameterError

# An id, the time of the last write if it is an object, and the id of the upload if it is one.
_ROOT = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}( [0-9T:.+Z-]{1,40}( [!-~]{1,1024})?)?"
)
_ADVICE = "set it to the approval that check mode returns, unchanged"


@dataclass(frozen=True)
class Approval:
    """A preview that somebody approves.

    :ivar parameters: the job's parameters
    :ivar database: the database of the preview
    :ivar snapshot: what was committed in it, as text
    :ivar moment: the moment by which the job decides, UTC
    :ivar roots: the ids of all roots by kind; an object has its id in the bucket, a space, and the time of its last write;
        an unfinished upload has the time of its begin, a space, and its own id
    :ivar counts: the numbers of things by kind, for people
    """

    job_type: str
    parameters: Mapping[str, Any]
    database: str
    snapshot: str
    moment: datetime
    roots: Mapping[str, list[str]]
    counts: Mapping[str, int]

    def as_result(self) -> dict[str, Any]:
        """The approval as a value of a module's result, and of the option ``approved_plan``."""
        moment = self.moment.astimezone(timezone.utc).isoformat(timespec="microseconds")
        return {**vars(self), "moment": moment}

    @classmethod
    def from_option(cls, value: Mapping[str, Any], job_type: str, parameters: Mapping[str, Any]) -> Approval:
        """Read the option of a run.

        :param value: has all keys, with values of the right types
        :param job_type: the job of the run
        :param parameters: the parameters of the run
        :raises ParameterError: it is no approval, or of another job, or of other parameters
        """
        if value["job_type"] != job_type:
            raise ParameterError(
                f"The option approved_plan is from a preview of {value['job_type']}; take it from a preview of {job_type}."
            )
        approved = value["parameters"]
        differences = [
            f"{name} is {_shown(parameters.get(name))} and was {_shown(approved.get(name))}"
            for name in sorted({*parameters, *approved})
            if parameters.get(name) != approved.get(name)
        ]
        if differences:
            raise ParameterError(
                f"The option approved_plan is from a preview with other parameters ({', '.join(differences)}); give the run the"
                " parameters of the preview, or look at a new one."
            )
        for kind, ids in value["roots"].items():
            if not (isinstance(ids, list) and all(isinstance(root, str) and _ROOT.fullmatch(root) for root in ids)):
                raise ParameterError(f"The option approved_plan has no list of ids in roots.{kind}; {_ADVICE}.")
        try:
            moment = datetime.fromisoformat(value["moment"])
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise ParameterError(f"The option approved_plan has no time with a time zone in moment; {_ADVICE}.")
        return cls(**{**value, "moment": moment})


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
