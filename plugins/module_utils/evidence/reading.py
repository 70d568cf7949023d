# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the audit logs of one host: sums of each run, and the ids of what was not deleted.

The memory does not grow with the number of deleted things: besides sums of runs, there are the ids of one batch at a time,
and those of things that were not deleted when it was their turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from ..base.text import visible
from . import files, lines
from .lines import DamagedLine
from .moments import seconds_between
from .sums import Batch, Key, RunSums, Unfinished

_LONGEST_REASON = 300
# How many damaged lines are named. All are counted.
NAMED = 1000


class Reader:
    """Reads audit logs.

    :param begin: the beginning of the period, as the lines write it
    :param end: the end of the period, which is not part of it
    :param window: seconds within which a due thing should be deleted
    :param looked_for: things of other hosts, of which is to be said when they were deleted, as ``kind id``
    """

    def __init__(self, begin: str, end: str, window: int, looked_for: Collection[str] = ()) -> None:
        self._begin, self._end, self._window = begin, end, window
        self._looked_for = set(looked_for)
        self._runs: dict[str, RunSums] = {}
        self._batches: dict[tuple[str, int], Batch] = {}
        self._unfinished: dict[Key, Unfinished] = {}
        self._found: dict[str, str] = {}
        self.files: list[dict[str, Any]] = []
        self.damaged: list[dict[str, Any]] = []
        self.damaged_count = 0
        self.problems: list[dict[str, str]] = []

    def read(self, paths: list[str]) -> None:
        """Read audit logs with their rotated files. What cannot be read is noted in ``problems``."""
        found: dict[str, None] = {}
        for path in paths:
            try:
                those = files.find(path)
                if not those:
                    raise files.UnreadableError("there is no such file")
                found.update(dict.fromkeys(those))
            except files.UnreadableError as error:
                self.problems.append({"file": path, "problem": str(error)})
        for path in files.in_order(list(found), lines.moment):
            self._read_file(path)
        for (run, number), batch in list(self._batches.items()):
            self._settle_unknown(self._runs[run], number, batch, "died", self._runs[run].last)

    def result(self) -> dict[str, Any]:
        """All that was read, as a value of a module's result. Runs that ended before the period are left out."""
        runs = [run.as_result() for run in self._runs.values() if run.last >= self._begin]
        unfinished = [
            thing.as_result() for thing in self._unfinished.values() if thing.done is None or thing.done >= self._begin
        ]
        return visible(
            {
                "runs": runs,
                "unfinished": unfinished,
                "open_ids": sorted(f"{thing['kind']} {thing['id']}" for thing in unfinished if thing["done"] is None),
                "found": self._found,
                "files": self.files,
                "damaged_lines": self.damaged,
                "damaged_count": self.damaged_count,
                "problems": self.problems,
            }
        )

    # Files

    def _read_file(self, path: str) -> None:
        about: dict[str, Any] = {"file": path, "lines": 0, "damaged": 0, "repeated": 0, "first": None, "last": None}
        self.files.append(about)
        number, waiting = 0, []
        try:
            for number, line in enumerate(files.lines(path), 1):
                try:
                    values = lines.parse(line)
                    is_new = self._take(values)
                except DamagedLine as error:
                    about["damaged"] += 1
                    waiting.append({"file": path, "line": number, "problem": str(error), "after": about["last"]})
                    del waiting[NAMED:]
                    continue
                about["repeated"] += not is_new
                about["first"] = about["first"] or values["time"]
                about["last"] = values["time"]
                if waiting:
                    self._note_damaged(waiting, values["time"])
                    waiting = []
        except files.UnreadableError as error:
            self.problems.append({"file": path, "problem": f"{error}, after line {number}" if number else str(error)})
        self._note_damaged(waiting, None)
        about["lines"] = number
        self.damaged_count += about["damaged"]

    def _note_damaged(self, found: list[dict[str, Any]], before: str | None) -> None:
        """Name damaged lines that may be of the period, by the lines around them."""
        for damaged in found:
            after = damaged.pop("after")
            if (before is None or before >= self._begin) and (after is None or after < self._end):
                self.damaged.append(damaged)
        del self.damaged[NAMED:]

    # Lines

    def _take(self, line: dict[str, Any]) -> bool:
        """Add a line to the sums.

        :returns: whether it is new; False for one that was read before, in a copy of its file
        """
        run = self._runs.get(line["run"])
        if run is None:
            run = RunSums(line["run"], line["job"], line["host"], line["time"], line["time"])
            self._runs[run.run] = run
        take = getattr(self, f"_take_{line['event']}", None)
        is_new = take is None or take(run, line)
        run.last = max(run.last, line["time"])
        return is_new

    def _take_run_started(self, run: RunSums, line: dict[str, Any]) -> bool:
        is_new = run.started is None
        run.started = line["time"]
        return is_new

    def _take_planned(self, run: RunSums, line: dict[str, Any]) -> bool:
        is_new = not run.is_planned
        run.is_planned = True
        run.parameters = lines.dictionary(line, "parameters") if "parameters" in line else None
        run.approval = lines.dictionary(line, "approval") or None
        return is_new

    def _take_run_ended(self, run: RunSums, line: dict[str, Any]) -> bool:
        is_new = run.ended is None
        run.ended = line["time"]
        run.status = lines.text(line, "status", lines.NAME)
        run.failures = lines.number(line, "failures")
        return is_new

    def _take_deleting(self, run: RunSums, line: dict[str, Any]) -> bool:
        key, batch = lines.key(line), self._batch(run, line)
        due = line.get("due")
        if due is not None and not (isinstance(due, str) and lines.DUE.fullmatch(due)):
            raise DamagedLine("the field due is no moment")
        if batch is None or key in batch.announced:
            return False
        batch.announced[key] = due
        return True

    def _take_kept(self, run: RunSums, line: dict[str, Any]) -> bool:
        key, batch = lines.key(line), self._batch(run, line)
        if batch is None or key in batch.kept:
            return False
        batch.kept[key] = None
        return True

    def _take_left_behind(self, run: RunSums, line: dict[str, Any]) -> bool:
        key, number = lines.key(line), lines.number(line, "batch")
        about = (str(line.get("reason", ""))[:_LONGEST_REASON], lines.text(line, "provider", lines.NAME, "unknown"))
        batch = self._batch(run, line)
        if batch is not None:
            is_new = key not in batch.left
            batch.left[key] = about
            return is_new
        thing = self._unfinished.get(key)
        if (thing and thing.why == "left_behind") or run.settled[number] == "rolled_back":
            return False
        self._leave_behind(run, key, line["time"], about)
        return True

    def _take_failed(self, run: RunSums, line: dict[str, Any]) -> bool:
        key, reason = lines.key(line), str(line.get("reason", ""))[:_LONGEST_REASON]
        thing = self._unfinished.get(key)
        if thing and thing.why == "failed" and run.run in thing.runs and thing.reason == reason:
            return False
        self._add(run, key, line["time"], "failed", reason)
        return True

    def _take_deleted(self, run: RunSums, line: dict[str, Any]) -> bool:
        counts, rows = lines.counts(line, "counts"), lines.counts(line, "rows")
        batch = self._batch(run, line)
        if batch is None:
            return False
        time = line["time"]
        self._finish(run, line, "deleted")
        self._settle_died(batch)
        if self._begin <= time < self._end:
            day = run.days.setdefault(time[:10], {"deleted": Counter(), "rows": Counter()})
            day["deleted"].update(counts)
            day["rows"].update(rows)
        for key, due in batch.announced.items():
            if key not in batch.kept:
                self._delete(run, key, time, due)
        for key in batch.kept:
            self._add(run, key, time, "kept")
        for key, about in batch.left.items():
            self._leave_behind(run, key, time, about)
        return True

    def _take_rolled_back(self, run: RunSums, line: dict[str, Any]) -> bool:
        batch = self._batch(run, line)
        if batch is None:
            return False
        self._finish(run, line, "rolled_back")
        for key in batch.announced:
            self._add(run, key, line["time"], "rolled_back")
        return True

    def _take_unknown(self, run: RunSums, line: dict[str, Any]) -> bool:
        batch = self._batch(run, line)
        if batch is None:
            return False
        self._settle_unknown(run, lines.number(line, "batch"), batch, "unknown", line["time"])
        return True

    # Things

    def _batch(self, run: RunSums, line: dict[str, Any]) -> Batch | None:
        """The batch of a line; None if its outcome is known already."""
        number = lines.number(line, "batch")
        if number in run.settled:
            return None
        return self._batches.setdefault((run.run, number), Batch())

    def _finish(self, run: RunSums, line: dict[str, Any], outcome: str) -> None:
        run.settled[line["batch"]] = outcome
        del self._batches[run.run, line["batch"]]

    def _settle_died(self, batch: Batch) -> None:
        """Settle the batches of runs that died, if another run deletes things of them now."""
        for (run, number), other in list(self._batches.items()):
            if not other.announced.keys().isdisjoint(batch.announced):
                self._settle_unknown(self._runs[run], number, other, "died", self._runs[run].last)

    def _settle_unknown(self, run: RunSums, number: int, batch: Batch, why: str, time: str) -> None:
        run.settled[number] = why
        del self._batches[run.run, number]
        for key in batch.announced:
            self._add(run, key, time, why)
        for key, (reason, provider) in batch.left.items():
            self._add(run, key, time, why, reason, provider)

    def _add(self, run: RunSums, key: Key, time: str, why: str, reason: str = "", provider: str = "") -> None:
        """Note that a thing was not deleted. A reason counts more than an outcome, and a folder that was left most."""
        if time >= self._end:
            return
        thing = self._unfinished.get(key)
        if thing is None or (thing.done is not None and thing.done < time):
            thing = Unfinished(*key, run.job, run.host, time, time, why, reason, provider)
            self._unfinished[key] = thing
        elif thing.why != "left_behind" and (why in ("failed", "left_behind") or run.run not in thing.runs):
            thing.why, thing.reason, thing.provider, thing.job = why, reason, provider, run.job
        thing.last = max(thing.last, time)
        thing.runs.add(run.run)

    def _leave_behind(self, run: RunSums, key: Key, time: str, about: tuple[str, str]) -> None:
        self._add(run, key, time, "left_behind", *about)

    def _delete(self, run: RunSums, key: Key, time: str, due: str | None) -> None:
        thing = self._unfinished.get(key)
        if thing is not None and thing.done is None:
            if thing.runs == {run.run}:
                # The batch was tried again in the same run.
                del self._unfinished[key]
            else:
                thing.done = time
        name = " ".join(key)
        if name in self._looked_for:
            self._found[name] = max(time, self._found.get(name, time))
        if due is not None and self._begin <= time < self._end:
            self._measure(run, key, time, due)

    def _measure(self, run: RunSums, key: Key, time: str, due: str) -> None:
        kind, identifier = key
        seconds = seconds_between(due, time)
        sums = run.retention.setdefault(kind, {"known": 0, "early": 0, "late": 0, "longest": None})
        sums["known"] += 1
        sums["early"] += seconds < 0
        sums["late"] += seconds > self._window
        if sums["longest"] is None or seconds > sums["longest"]["seconds"]:
            sums["longest"] = {"id": identifier, "due": due, "deleted": time, "seconds": seconds}
