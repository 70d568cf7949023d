# SPDX-FileCopyrightText: The opentalk.maintenance authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws the curves of docs/benchmarks.json as SVG. It runs as a program, in an environment that has only matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402

COLUMNS = 3


def draw(results: Path) -> Path:
    """Draw a curve for each job beside its floor, on two logarithmic scales, and return the file."""
    scale = json.loads(results.read_text())["scale"]["results"]
    # Without these, every drawing of the same figures would be another file.
    matplotlib.rcParams["svg.hashsalt"] = "curves"
    columns = min(len(scale), COLUMNS)
    rows = -(-len(scale) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(4 * columns, 3.6 * rows), squeeze=False)
    for axis in axes.flat[len(scale) :]:
        axis.remove()
    for axis, (name, series) in zip(axes.flat, scale.items(), strict=False):
        sizes = [point["size"] for point in series["points"]]
        for way, style in (("ours", "o-"), ("floor", "s--")):
            axis.plot(sizes, [point["seconds"][way] for point in series["points"]], style, label=way)
        first = series["points"][0]
        linear = [first["seconds"]["ours"] * size / first["size"] for size in sizes]
        axis.plot(sizes, linear, ":", color="gray", label="linear")
        axis.set(xscale="log", yscale="log", title=name, xlabel=series["things"], ylabel="seconds")
        axis.legend()
    figure.tight_layout()
    path = results.parent / "images" / "benchmarks-scale.svg"
    figure.savefig(path, metadata={"Date": None})
    return path


if __name__ == "__main__":
    print(draw(Path(sys.argv[1])))
