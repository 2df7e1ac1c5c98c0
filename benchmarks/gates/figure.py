"""The receiver operating characteristics of a gate benchmark, as a figure."""

from __future__ import annotations

from itertools import cycle

from matplotlib.figure import Figure

from benchmarks.gates.results import GateResult, Line
from benchmarks.gates.table import detection
from benchmarks.gates.views import label
from benchmarks.report import style
from benchmarks.report.style import Image, drawn, shown

LEAST = 1e-3
"""Left end of the axis: a share of benign uploads that no corpus here resolves."""
PANELS = (("benign uploads", "hostile uploads"), ("harmless uploads", "uploads that do harm"))
"""What is not to be stopped and what is: by what was meant, and by what tuning on it did."""
MOST = 6
"""Detectors drawn beside the combinations; more lines cannot be told apart."""


def curves(found: GateResult) -> Image:
    """Detection against false alarms: the combinations and the best of what they are held against.

    Where the effect was measured it has a panel of its own.
    """
    combined = [line for line in found.lines if line.kind == "combination"]
    single = [line for line in found.lines if line.kind != "combination"]
    single = sorted(single, key=detection, reverse=True)[:MOST]
    text = "; ".join(
        f"{label(line)}: area {line.area:.2f}"
        for line in combined + single
        if line.area is not None
    )
    title = "Detection of hostile uploads against false alarms on benign ones"
    return drawn("roc", title, text, lambda: _draw(found, title, combined, single))


def _draw(found: GateResult, title: str, combined: list[Line], single: list[Line]) -> Figure:
    effect = any(line.effect_curve for line in found.lines)
    figure = Figure(figsize=(11.5 if effect else 7.5, 4.6))
    axes = figure.subplots(1, 1 + effect, squeeze=False)[0]
    for line, (colour, marker) in zip(
        [*combined, *single], cycle(zip(style.SERIES, style.MARKERS, strict=False)), strict=False
    ):
        for one, curve in zip(axes, (line.curve, line.effect_curve), strict=False):
            one.step(
                [max(alarm, LEAST) for alarm, _ in curve],
                [detection for _, detection in curve],
                where="post",
                label=shown(label(line)),
                color=colour,
                linewidth=2.2 if line in combined else 1.2,
                marker=marker,
                markevery=0.2,
                markersize=4,
            )
    for one, (others, these) in zip(axes, PANELS, strict=False):
        one.axvline(found.nominal, color=style.MUTED, linewidth=1, linestyle=":")
        one.set_xscale("log")
        one.set_xlim(LEAST, 1)
        one.set_xticks([0.001, 0.01, 0.1, 1], ["0.1 %", "1 %", "10 %", "100 %"])
        one.minorticks_off()
        one.set_ylim(0, 1.02)
        one.set_xlabel(f"share of {others} stopped (dotted: nominal)")
        one.set_ylabel(f"share of {these} stopped")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold").set_gid("title")
    return figure
