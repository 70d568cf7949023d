# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The result of a module: values and diff."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..base import journal
from ..base.text import as_yaml
from ..record import effects
from ..record.effects import Effects, Listing, SizedListing
from ..run import Run

# The most things of one kind that a diff shows.
SHOWN = 20


def result(run: Run, *, check_mode: bool, failed: bool, duration: float | None) -> dict[str, Any]:
    """The return values that all jobs have.

    :param failed: whether the run failed. Then the lists are short, because Ansible prints all of them as one line.
    :param duration: seconds, or None to leave it out
    """
    most = effects.LISTED_AFTER_FAILURE if failed else None
    values = {
        "job_type": run.job_type,
        "changed": bool(run.plan) and not run.skipped if check_mode else bool(run.done) or run.changed_more,
        "skipped": run.skipped,
        "log": _shortened(run.log.lines) if failed else run.log.lines,
        "failures": run.failures,
        "failure_count": run.failure_count,
        "shared_folders_left_behind": run.shared_folders_left_behind[:most],
        "shared_folders_left_behind_count": len(run.shared_folders_left_behind),
        "plan": run.plan.as_result(most),
        "done": run.done.as_result(most),
        **run.more,
    }
    if duration is not None:
        values["duration"] = round(duration, 3)
    return values


def left_out(run: Run) -> str:
    """How many entries the lists of a failed run leave out, and where these are. Empty if they leave out nothing."""
    most = effects.LISTED_AFTER_FAILURE
    number = run.plan.left_out(most) + run.done.left_out(most) + run.failure_count - len(run.failures)
    number += max(0, len(run.shared_folders_left_behind) - most)
    if not number:
        return ""
    tag = journal.tag(run.job_type)
    return (
        f"The lists of a failed run are short: {number} entries are left out, which are counted all the same."
        f" A preview that is not refused has the whole plan, the audit log has what was deleted, and the journal of this host"
        f" ({tag}) has what stays."
    )


def _shortened(lines: list[str]) -> list[str]:
    """The beginning and the end of a log, without the end of very long lines."""
    most = effects.LISTED_AFTER_FAILURE
    first, last, longest = 2 * most, 4 * most, 500 * most
    if (rest := len(lines) - first - last) > 0:
        lines = [*lines[:first], f"[INFO ] Lines of the log that are left out here: {rest}", *lines[-last:]]
    return [line if len(line) <= longest else f"{line[:longest]} ..." for line in lines]


def diff(shown: Effects) -> list[dict[str, str]]:
    """The effects for people: the number of things of each kind, the rows by table, then some ids of each kind.

    All texts are YAML. Together they are never longer than a few screens.
    """
    touched = {kind: listing for kind, listing in shown.listings.items() if listing.count and not listing.informative}
    rows = shown.as_result()
    entries = [
        _entry("summary", "".join(_summary(touched, changes=False)), "".join(_summary(touched, changes=True))),
        _entry("rows_deleted", _numbers("rows_deleted", rows["rows_deleted"]), ""),
        _entry("rows_updated", "", _numbers("rows_updated", rows["rows_updated"])),
        *(_listing(kind, listing) for kind, listing in touched.items()),
    ]
    return [entry for entry in entries if entry["before"] or entry["after"]]


def _entry(name: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": name, "after_header": name, "before": before, "after": after}


def _summary(touched: dict[str, Listing], *, changes: bool) -> Iterator[str]:
    for kind, listing in touched.items():
        if listing.changes == changes:
            size = f" # {listing.bytes} bytes" if isinstance(listing, SizedListing) else ""
            yield f"{kind}: {listing.count}{size}\n"


def _numbers(name: str, counts: dict[str, int]) -> str:
    return f"{name}:\n" + "".join(f"  {as_yaml(table)}: {count}\n" for table, count in counts.items()) if counts else ""


def _listing(kind: str, listing: Listing) -> dict[str, str]:
    def text(things: list[Any]) -> str:
        lines = [f"    - {as_yaml(thing)}\n" for thing in things]
        more = listing.count - len(lines)
        return f"{kind}:\n  {listing.key}:\n" + "".join(lines) + (f"    # and {more} more\n" if more else "")

    shown = listing.listed[:SHOWN]
    if not listing.changes:
        return _entry(kind, text(shown), "")
    pairs = [listing.change(thing) for thing in shown]
    return _entry(kind, text([old for old, _unused in pairs]), text([new for _unused, new in pairs]))
