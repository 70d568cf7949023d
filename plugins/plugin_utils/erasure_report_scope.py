# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an erasure report is about, and how it writes moments."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scope:
    """What a report is about.

    :ivar begin: the beginning of the period, as the audit log writes it
    :ivar end: the end of the period, which is not part of it
    :ivar window: the days that a job has to delete what is due
    :ivar limit: the most entries of each list of single things
    """

    begin: str
    end: str
    window: int
    limit: int


def short(stamp: str) -> str:
    """A moment in whole seconds."""
    return f"{stamp[:19]}Z"


def short_or_none(stamp: str | None) -> str | None:
    return short(stamp) if stamp else None
