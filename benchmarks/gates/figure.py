"""The receiver operating characteristics of a gate benchmark, as a figure."""

from __future__ import annotations

from itertools import cycle

from matplotlib.figure import Figure

from benchmarks.gates.results import GateResult, Line
from benchmarks.gates.views import label
from benchmarks.report import style
from benchmarks.report.style import Image, drawn, shown

LEAST = 1e-3
"""Left end of the axis: a share of benign uploads that no corpus here resolves."""
MOST = 6
"""Detectors drawn beside the combinations; more lines cannot be told apart."""


def curves(found: GateResult) -> Image:
    """Detection against false alarms: the combinations and the best detectors."""
    combined = [line for line in found.lines if line.kind == "combination"]
    single = [line for line in found.lines if line.kind != "combination"][:MOST]
    text = "; ".join(
        f"{label(line)}: area {line.area:.2f}"
        for line in combined + single
        if line.area is not None
    )
    title = "Detection of hostile uploads against false alarms on benign ones"
    return drawn("roc", title, text, lambda: _draw(found, title, combined, single))


def _draw(found: GateResult, title: str, combined: list[Line], single: list[Line]) -> Figure:
    figure = Figure(figsize=(7.5, 4.6))
    axes = figure.subplots()
    colours = cycle(zip(style.SERIES, style.MARKERS, strict=False))
    for line in [*combined, *single]:
        colour, marker = next(colours)
        xs = [max(alarm, LEAST) for alarm, _ in line.curve]
        axes.step(
            xs,
            [detection for _, detection in line.curve],
            where="post",
            label=shown(label(line)),
            color=colour,
            linewidth=2.2 if line in combined else 1.2,
            marker=marker,
            markevery=0.2,
            markersize=4,
        )
    axes.axvline(found.nominal, color=style.MUTED, linewidth=1, linestyle=":")
    axes.set_xscale("log")
    axes.set_xlim(LEAST, 1)
    axes.set_xticks([0.001, 0.01, 0.1, 1], ["0.1 %", "1 %", "10 %", "100 %"])
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("share of benign uploads stopped (dotted: nominal)")
    axes.set_ylabel("share of hostile uploads stopped")
    figure.legend(loc="outside right upper", fontsize=8)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold").set_gid("title")
    return figure
