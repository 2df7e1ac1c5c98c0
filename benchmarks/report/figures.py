"""The figures of a run."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import cycle

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from benchmarks.report import style, sweeps
from benchmarks.report.phrasing import (
    NO_DATA,
    band_text,
    column_label,
    defense_label,
    measure_text,
    percent,
    target_text,
)
from benchmarks.report.sheet import Sheet
from benchmarks.report.style import Image, drawn, shown, wrapped
from benchmarks.summary import Column
from eval.metrics import Interval, Rate

CONTROLS = ("revert", "none")


def draw(sheet: Sheet) -> list[Image]:
    """Every figure that the matrix has data for."""
    measure = measure_text(sheet.matrix, sheet.judge)
    found = [drawn("heatmap", *_heatmap_words(sheet), lambda: _heatmap(sheet))]
    for number, column in enumerate(sheet.columns, 1):
        if len(set(sheet.matrix.prompts.categories)) > 1 and _worth_drawing(sheet, column):
            title = f"{measure} by category: {column_label(column)}"
            text = (
                "Bars for each defense over the bars of no defense; numbers in the cells' details."
            )
            name = f"categories-{number}-{_slug(column)}"
            found.append(drawn(name, title, text, lambda column=column: _categories(sheet, column)))  # type: ignore[misc]
    for number, sweep in enumerate(sweeps.find([c.attack for c in sheet.columns]), 1):
        found.append(_dose_of_attack(sheet, sweep, number))
    for number, sweep in enumerate(sweeps.find(sheet.rows), 1):
        found.append(_dose_of_defense(sheet, sweep, number))
    title = f"{measure} against utility and over-refusal"
    text = "Each defense's utility and over-refusal by its rate, one panel for each column."
    found.append(drawn("tradeoff", title, text, lambda: _tradeoff(sheet)))
    return found


def _footer(figure: Figure, sheet: Sheet) -> None:
    """What the numbers are and are not, in every image: images travel alone."""
    seeds = len(sheet.matrix.seeds)
    text = f"target {target_text(sheet.matrix)}  ·  judge {sheet.judge}  ·  as released  ·  "
    text += f"95 % intervals  ·  {seeds} seed{'s' if seeds > 1 else ''}"
    # About 15 letters of this size to an inch.
    lines = wrapped(text, int(15 * figure.get_figwidth()))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=7.5, color=style.MUTED)


def _title(figure: Figure, text: str) -> None:
    # About 8 letters of this size to an inch.
    lines = wrapped(text, int(8 * figure.get_figwidth()))
    title = figure.suptitle(lines, x=0.01, ha="left", fontsize=12.5, fontweight="bold")
    title.set_gid("title")  # the page says it in its own way


def _slug(column: Column) -> str:
    """A name that is safe as part of a file's name, whatever the attack is called."""
    return re.sub(r"[^a-z0-9]+", "-", f"{column.attack} {column.ask}".lower()).strip("-")[:40]


def _worth_drawing(sheet: Sheet, column: Column) -> bool:
    """Whether anything was tuned and judged in a column."""
    tuned = any(cell.status == "tuned" for row in sheet.rows for cell in sheet.cells(row, column))
    return tuned and any(sheet.entry(defense, column).rate.n for defense in sheet.rows)


def _heatmap_words(sheet: Sheet) -> tuple[str, str]:
    measure = measure_text(sheet.matrix, sheet.judge)
    text = f"{len(sheet.rows)} defenses by {len(sheet.columns)} columns of attacks."
    return f"{measure} rate as released, in %", text


def _heatmap(sheet: Sheet) -> Figure:
    height, width = len(sheet.rows), len(sheet.columns)
    figure = Figure(figsize=(2.6 + 1.32 * width, 1.75 + 0.62 * height))
    axes = figure.subplots()
    axes.grid(visible=False)
    for y, defense in enumerate(sheet.rows):
        for x, column in enumerate(sheet.columns):
            _heat_cell(axes, x, y, sheet, (defense, column))
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    attacks = [wrapped(column_label(column), 15) for column in sheet.columns]
    axes.set_xticks(range(width), attacks, color=style.INK)
    axes.xaxis.tick_top()
    labels = [wrapped(defense_label(defense), 28) for defense in sheet.rows]
    axes.set_yticks(range(height), labels, color=style.INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    _title(figure, _heatmap_words(sheet)[0])
    _footer(figure, sheet)
    return figure


def _heat_cell(axes: Axes, x: int, y: int, sheet: Sheet, place: tuple[str, Column]) -> None:
    entry = sheet.entry(*place)
    if entry.rate.interval is None:
        box = Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, fc="#f6f8f9", ec=style.LINE, hatch="////")
        axes.add_patch(box)
        axes.text(x, y, NO_DATA, ha="center", va="center", color=style.MUTED, fontsize=12)
        return
    value, low, high = entry.rate.interval
    colour = style.heat(value)
    edge = style.LINE if value < 0.1 else colour
    axes.add_patch(Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, fc=colour, ec=edge, lw=0.8))
    ink = style.on(colour)
    under = [f"[{percent(low)}, {percent(high)}]", *([band_text(entry.band)] if entry.band else [])]
    rise = 0.06 + 0.06 * len(under)
    axes.text(x, y - rise, percent(value), ha="center", va="center", color=ink, fontsize=13)
    for line, text in enumerate(under):
        place_y = y - rise + 0.32 + 0.2 * line
        axes.text(x, place_y, text, ha="center", va="center", color=ink, fontsize=7.5)


def _categories(sheet: Sheet, column: Column) -> Figure:
    """A panel for each defense: its bars over the wider bars of no defense."""
    shown_rows = [d for d in sheet.rows if d not in CONTROLS and sheet.entry(d, column).rate.n]
    panels = shown_rows or ["none"]
    names = list(dict.fromkeys(sheet.matrix.prompts.categories))
    across = min(3, len(panels))
    down = math.ceil(len(panels) / across)
    figure = Figure(figsize=(2.9 + 2.9 * across, 1.5 + down * (0.55 + 0.27 * len(names))))
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for axes, defense in zip(grid.flat, panels, strict=False):
        _category_panel(axes, sheet, (defense, column), names)
    _fill_grid(grid.flat, len(panels), across, "")
    measure = measure_text(sheet.matrix, sheet.judge)
    _title(figure, f"{measure} by category, in %: {column_label(column)}")
    handles = [Patch(color=style.GHOST, label="undefended")]
    handles += [Patch(color=style.ACCENT, label="defended")] if shown_rows else []
    figure.legend(handles=handles, loc="outside right upper", fontsize=8.5)
    _footer(figure, sheet)
    return figure


def _category_panel(
    axes: Axes, sheet: Sheet, place: tuple[str, Column], names: Sequence[str]
) -> None:
    defense, column = place
    undefended = sheet.categories.get(("none", column), {})
    defended = {} if defense == "none" else sheet.categories[place]
    for y, name in enumerate(names):
        _bar(axes, y, undefended.get(name), style.GHOST, 0.78)
        if defended:
            _bar(axes, y, defended.get(name), style.ACCENT, 0.42)
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6))
    axes.set_yticks(range(len(names)), [shown(name)[:24] for name in names], color=style.INK)
    axes.set_xticks(_SHARES, _PERCENTS)
    axes.grid(visible=False, axis="y")
    axes.set_title(wrapped(defense_label(defense), 30))


def _bar(axes: Axes, y: float, rate: Rate | None, colour: str, height: float) -> None:
    if rate is None or rate.interval is None:
        axes.text(0.01, y, NO_DATA, va="center", color=colour, fontweight="bold")
        return
    value, low, high = rate.interval
    axes.barh(y, value, height=height, color=colour)
    if colour == style.ACCENT:
        axes.plot([low, high], [y, y], color=style.INK, lw=1.1, solid_capstyle="butt")


def _dose_of_defense(sheet: Sheet, sweep: sweeps.Sweep, number: int) -> Image:
    lines = [
        (column_label(column), [(dose, (name, column)) for dose, name in sweep.points])
        for column in sheet.columns
        if _worth_drawing(sheet, column)
    ]
    return _dose_image(sheet, sweep, f"dose-defense-{number}", lines)


def _dose_of_attack(sheet: Sheet, sweep: sweeps.Sweep, number: int) -> Image:
    asks = dict.fromkeys(c.ask for c in sheet.columns if c.attack == sweep.points[0][1])
    lines = [
        (
            defense_label(defense) + ("" if ask == "plain" else f", asked with {ask}"),
            [(dose, (defense, Column(name, ask))) for dose, name in sweep.points],
        )
        for defense in sheet.rows
        for ask in asks
    ]
    return _dose_image(sheet, sweep, f"dose-attack-{number}", lines)


_Line = tuple[str, list[tuple[float, tuple[str, Column]]]]


def _dose_image(sheet: Sheet, sweep: sweeps.Sweep, name: str, lines: list[_Line]) -> Image:
    """Rate against dose, a line with its interval for each of `lines`."""
    series: list[tuple[str, list[tuple[float, Interval]]]] = []
    for label, points in lines:
        had = [(d, sheet.entries.get((sheet.judge, *place))) for d, place in points]
        known = [(d, e.rate.interval) for d, e in had if e is not None and e.rate.interval]
        if known:
            series.append((label, known))
    measure = measure_text(sheet.matrix, sheet.judge)
    title = f"{measure} against dose: {sweeps.axis_label(sweep)}"
    doses = [f"{dose:g}" for dose, _ in sweep.points]
    text = f"{len(series)} lines over the doses {', '.join(doses)}."
    return drawn(name, title, text, lambda: _dose(sheet, sweep, title, series))


def _dose(
    sheet: Sheet,
    sweep: sweeps.Sweep,
    title: str,
    series: list[tuple[str, list[tuple[float, Interval]]]],
) -> Figure:
    """A panel for each line, with its interval; the other lines stand behind it in grey."""
    across = min(3, max(1, len(series)))
    down = max(1, math.ceil(len(series) / across))
    figure = Figure(figsize=(max(5.6, 1.0 + 2.7 * across), 1.4 + 2.3 * down))
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    looks = zip(cycle(style.SERIES), cycle(style.MARKERS), strict=False)
    for axes, (label, points), (colour, marker) in zip(grid.flat, series, looks, strict=False):
        for _, other in series:
            axes.plot(*_line(other), color=style.GHOST, lw=0.9, alpha=0.7)
        doses = [dose for dose, _ in points]
        lows, highs = zip(*(interval[1:] for _, interval in points), strict=True)
        axes.fill_between(doses, lows, highs, color=colour, alpha=0.2, lw=0)
        axes.plot(*_line(points), color=colour, marker=marker, lw=2, ms=6, clip_on=False)
        axes.set_title(wrapped(label, 30))
    _dose_axis(grid.flat[0], [dose for dose, _ in sweep.points])
    grid.flat[0].margins(x=0.08)
    grid.flat[0].set(ylim=(-0.02, 1.02))
    grid.flat[0].set_yticks(_SHARES, _PERCENTS)
    _fill_grid(grid.flat, len(series), across, shown(sweeps.axis_label(sweep)))
    _title(figure, f"{title}, % of replies scored 5")
    _footer(figure, sheet)
    return figure


def _line(points: list[tuple[float, Interval]]) -> tuple[list[float], list[float]]:
    return [dose for dose, _ in points], [interval.value for _, interval in points]


_SHARES, _PERCENTS = [0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"]


def _fill_grid(grid: Iterable[Axes], used: int, across: int, label: str) -> None:
    """Hide the panels left over; name the axis under the lowest panel of each column."""
    for place, axes in enumerate(grid):
        axes.set_visible(place < used)
        if place < used <= place + across:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(label)


def _dose_axis(axes: Axes, doses: Sequence[float]) -> None:
    """Ticks at the doses themselves; logarithmic where they span more than a factor of 20."""
    sizes = sorted(abs(dose) for dose in doses if dose)
    if sizes and sizes[-1] > 20 * sizes[0]:
        axes.set_xscale("symlog", linthresh=sizes[0])
    axes.set_xticks(list(doses), [f"{dose:g}" for dose in doses])
    axes.minorticks_off()


def _tradeoff(sheet: Sheet) -> Figure:
    """A panel for each column: utility (filled) and over-refusal (hollow) by rate."""
    columns = [column for column in sheet.columns if _worth_drawing(sheet, column)]
    across = min(3, max(1, len(columns)))
    down = max(1, math.ceil(len(columns) / across))
    height = max(1.2 + 2.5 * down, 0.9 + 0.3 * len(sheet.rows))
    figure = Figure(figsize=(2.6 + 2.6 * across, height))
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    handles: dict[str, Artist] = {}
    for axes, column in zip(grid.flat, columns, strict=False):
        handles |= _tradeoff_panel(axes, sheet, column)
    grid.flat[0].set(xlim=(-0.05, 1.05), ylim=(-0.06, 1.06))
    grid.flat[0].set_xticks(_SHARES, _PERCENTS)
    grid.flat[0].set_yticks(_SHARES, _PERCENTS)
    label = f"{sheet.matrix.judges[sheet.judge]} as released"
    _fill_grid(grid.flat, len(columns), across, label)
    order = [defense for defense in sheet.rows if defense in handles]
    if order:
        labels = [wrapped(defense_label(defense), 26) for defense in order]
        marks = [handles[defense] for defense in order]
        figure.legend(marks, labels, loc="outside right upper", fontsize=8.5, labelspacing=0.9)
    _title(figure, "Harm against use, in %: filled, utility; hollow, over-refusal")
    _footer(figure, sheet)
    return figure


def _tradeoff_panel(axes: Axes, sheet: Sheet, column: Column) -> dict[str, Artist]:
    """Draw one column; gives the mark of each defense that it has."""
    marks: dict[str, Artist] = {}
    looks = zip(cycle(style.SERIES), cycle(style.MARKERS), strict=False)
    for defense, (colour, marker) in zip(sheet.rows, looks, strict=False):
        entry = sheet.entry(defense, column)
        if entry.rate.interval is None:
            continue
        x = entry.rate.interval.value
        known = [y for y in (entry.utility, entry.over_refusal) if y is not None]
        axes.plot([x] * len(known), known, color=colour, lw=0.7, alpha=0.35)
        if entry.over_refusal is not None:
            axes.plot(x, entry.over_refusal, marker, color=colour, mfc="none", ms=6.5, ls="")
        if entry.utility is not None:
            (marks[defense],) = axes.plot(x, entry.utility, marker, color=colour, ms=7, ls="")
    axes.set_title(wrapped(column_label(column), 30))
    return marks
