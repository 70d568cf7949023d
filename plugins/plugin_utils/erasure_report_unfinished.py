# SPDX-FileCopyrightText: The opentalk.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was not deleted when it was its turn, and what became of it, of all hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.opentalk.maintenance.plugins.plugin_utils.erasure_report_scope import Scope, short_or_none

# The states of shared folders that were left behind.
LEFT = ("left behind", "removed later")
_WHY = {
    "failed": "",
    "kept": "stayed in its batch",
    "rolled_back": "its batch was rolled back",
    "unknown": "the outcome of its batch is not known",
    "died": "its run died or is in progress",
    "left_behind": "",
}


def unfinished(
    read: Mapping[str, Any], lookups: Mapping[str, Any], runs: list[dict[str, Any]], scope: Scope
) -> list[dict[str, Any]]:
    """What was not deleted when it was its turn, of all hosts, with what became of it."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for result in read.values():
        for thing in result["unfinished"]:
            key = (thing["kind"], thing["id"])
            known = found.setdefault(key, thing)
            if known is not thing:
                found[key] = _joined(known, thing)
    deleted: dict[str, str] = {}
    for result in lookups.values():
        for name, time in result.get("found", {}).items():
            deleted[name] = max(time, deleted.get(name, time))
    ended: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        if run["status"] == "succeeded" and not run["approval"]:
            ended.setdefault(run["job"], []).append(run)
    shown = [_settled(thing, deleted, ended.get(thing["job"], [])) for thing in found.values()]
    in_period = [
        thing
        for thing in shown
        if thing["since"] < scope.end and (thing["done"] is None or thing["done"] >= scope.begin)
    ]
    for thing in in_period:
        thing["since"], thing["last"], thing["done"] = map(
            short_or_none, (thing["since"], thing["last"], thing["done"])
        )
    return sorted(in_period, key=lambda thing: (thing["since"], thing["kind"], thing["id"]))


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The same thing as two hosts saw it."""
    first, last = sorted((one, other), key=lambda thing: thing["last"])
    ends = [thing["done"] for thing in (one, other) if thing["done"] is not None and thing["done"] >= last["last"]]
    return {
        **last,
        "since": min(one["since"], other["since"]),
        "runs": sorted({*first["runs"], *last["runs"]}),
        "done": max(ends, default=None),
    }


def _settled(thing: dict[str, Any], deleted: Mapping[str, str], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What became of a thing.

    :param runs: the runs of its job that did all that they had to do, in the order of their starts
    """
    name = f"{thing['kind']} {thing['id']}"
    done = thing["done"]
    if done is None and deleted.get(name, "") > thing["last"]:
        done = deleted[name]
    is_left = thing["why"] == "left_behind"
    state = ("removed later" if is_left else "made good") if done else ("left behind" if is_left else "open")
    if state == "open":
        later = next((run for run in runs if run["started"] > thing["last"]), None)
        if later:
            state, done = "not found again", later["ended"]
    return {
        "kind": thing["kind"],
        "id": thing["id"],
        "job": thing["job"],
        "host": thing["host"],
        "since": thing["since"],
        "last": thing["last"],
        "runs": len(thing["runs"]),
        "reason": ": ".join(filter(None, (_WHY[thing["why"]], thing["reason"]))),
        "provider": thing["provider"],
        "state": state,
        "done": done,
    }
