"""`report.html`: one file that asks nothing of a network and trusts no text.

Everything that varies goes through the template's escaping; the content security policy lets one
script run, known by its hash. A reply that holds markup is shown as the text it is.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup, escape

from benchmarks import jury, summary
from benchmarks.report import describe, figures, sample, sheet, style
from benchmarks.report.phrasing import (
    NO_DATA,
    band_text,
    caption,
    column_label,
    defense_label,
    disclaimer,
    expected_text,
    instruments,
    interval_text,
    judge_text,
    percent,
    rate_text,
    rating_note,
    rating_text,
    recovered_text,
    score_text,
    set_text,
)
from benchmarks.report.sheet import Sheet
from benchmarks.report.style import Image
from benchmarks.results import CellResult, Matrix, Transcript
from benchmarks.summary import Column, Entry
from eval.metrics import Interval
from eval.rating import HIGHEST, LOWEST

_TEMPLATES = Path(__file__).resolve().parent / "templates"
RATINGS = "Mean rating of MT-Bench's replies, 1 to 10"
EXPECTED = "Mean of the expected scores by the judge's own probabilities, 1 to 5, as released"
LEVELS = 20
"""Steps of the colour scale."""


class Measure(NamedTuple):
    """One thing that the heatmap can show."""

    label: str
    meaning: str


class Face(NamedTuple):
    """What a cell shows of one measure."""

    value: str
    under: list[str]
    level: str
    """Class of its colour."""


def render(matrix: Matrix, transcripts: Sequence[Transcript] | None = None) -> str:
    """The whole report of a matrix.

    Args:
        matrix: The results.
        transcripts: Texts to show a sample of; None leaves every text out.
    """
    made = sheet.make(matrix)
    return page(made, figures.draw(made), transcripts)


def page(made: Sheet, images: Sequence[Image], transcripts: Sequence[Transcript] | None) -> str:
    """The report, from what is already computed and drawn."""
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    script = (_TEMPLATES / "report.js.jinja").read_text(encoding="utf-8").strip()
    chosen = None if transcripts is None else sample.choose(transcripts)
    return environment.get_template("report.html.jinja").render(
        sheet=made,
        matrix=made.matrix,
        judge=made.judge,
        measure=made.matrix.judges[made.judge],
        disclaimer=disclaimer(made.matrix.target, made.matrix.data),
        judged=", ".join(judge_text(made.matrix, judge) for judge in made.matrix.judges),
        instruments=instruments(made.matrix),
        caption=caption(made.matrix, made.judge),
        facts=_facts(made),
        measures=_measures(made),
        columns=[column_label(column) for column in made.columns],
        rows=[_row(made, y, defense) for y, defense in enumerate(made.rows)],
        attacks=[
            describe.attack(c.attack, made.matrix.target, own_data=made.matrix.data is not None)
            for c in made.columns
        ],
        defenses=[describe.defense(defense) for defense in made.rows],
        table=_table(made),
        figures=[(image, _inline(image)) for image in sorted(images, key=_place) if _place(image)],
        transcripts=chosen,
        total=len(transcripts or ()),
        levels=range(LEVELS + 1),
        style=Markup(_css()),
        script=Markup(script),
        policy=_policy(script),
    )


def _breakable(text: str) -> Markup:
    """A name that may go on in the next line behind its `,` `+` `:`."""
    # Escaped first: none of the three signs stands in an escape.
    return Markup(re.sub(r"([,+:])", r"\1<wbr>", str(escape(text))))


def _place(image: Image) -> int:
    """Where a figure stands in the page; 0 for the heatmap, which is a table there."""
    return ["heatmap", "tradeoff", "dose", "categories"].index(image.name.split("-")[0])


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Styles are inline because a figure's every line carries its own.
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _css() -> str:
    scales = {"h": (style.LIGHT_HEAT, style.DARK_HEAT), "g": (style.LIGHT_GOOD, style.DARK_GOOD)}
    lines = []
    for prefix, (light, dark) in scales.items():
        for level in range(LEVELS + 1):
            a, b = style.heat(level / LEVELS, light), style.heat(level / LEVELS, dark)
            lines.append(
                f".{prefix}{level}{{background:light-dark({a},{b});"
                f"color:light-dark({style.on(a)},{style.on(b)})}}"
            )
    for place, pair in enumerate(zip(style.SERIES, style.DARK_SERIES, strict=True)):
        lines.append(f":root{{--s{place}:light-dark({','.join(pair)})}}")
    text = (_TEMPLATES / "report.css.jinja").read_text(encoding="utf-8")
    return "\n".join([text.strip(), *lines])


def _inline(image: Image) -> Markup:
    """A figure's SVG for the page: its own ids, and the page's colours."""
    svg = image.svg[image.svg.index("<svg") :]
    prefix = f"{image.name}-"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'(xlink:href="|url\()#', rf"\1#{prefix}", svg)
    colours = {style.INK: "ink", style.MUTED: "muted", style.LINE: "line", style.GHOST: "ghost"}
    colours |= {colour: f"s{place}" for place, colour in enumerate(style.SERIES)}
    for colour, name in colours.items():
        svg = svg.replace(f": {colour}", f": var(--{name})")
    # Drawn by matplotlib, which escapes what it writes; ids and colours are replaced above.
    return Markup(svg)


def _facts(made: Sheet) -> list[tuple[str, str]]:
    matrix = made.matrix
    entries = [made.entry(defense, column) for defense in made.rows for column in made.columns]
    verdicts = sum(entry.rate.n + entry.rate.missing for entry in entries)
    missing = sum(entry.rate.missing for entry in entries)
    tuned = sum(cell.status == "tuned" for cell in matrix.cells)
    without = sum(cell.status in ("failed", "not applicable") for cell in matrix.cells)
    return [
        *((what.capitalize(), f"by {judge}") for judge, what in matrix.judges.items()),
        ("Cells tuned", f"{tuned} of {len(matrix.cells)}"),
        ("Without a number", str(without)),
        ("Seeds", str(len(matrix.seeds))),
        ("Requests", str(len(matrix.prompts.ids))),
        ("Utility / over-refusal", f"{matrix.prompts.utility} / {matrix.prompts.borderline}"),
        ("Missing verdicts", f"{percent(missing / verdicts) if verdicts else NO_DATA} %"),
        *(
            (f"Data: {one.role}", set_text(one))
            for one in (matrix.data.sets if matrix.data else ())
        ),
    ]


def _measures(made: Sheet) -> list[Measure]:
    rates = [
        Measure(
            what.capitalize() + (f" ({judge})" if len(made.matrix.judges) > 1 else ""),
            f"% of replies to violating requests scored 5 by the judge {judge}, as released",
        )
        for judge, what in made.matrix.judges.items()
    ]
    return [
        *rates,
        Measure("If released", "The same % had the gates let everything through"),
        Measure("Safety recovered", "% of the attack's harm undone: 100 untuned, 0 undefended"),
        Measure("Mean score", "Mean score of the replies, 1 to 5, as released"),
        *[Measure("Expected score", EXPECTED)] * made.expects(made.judge),
        Measure("Utility", "% of utility questions answered exactly, as released"),
        *[Measure("MT-Bench", f"{RATINGS}, by {made.matrix.rater}, as released")] * made.rated,
        Measure("Over-refusal", "% of harmless questions refused, as released"),
        Measure("Incoherent", "% of replies that are neither a refusal nor readable"),
    ]


def _row(made: Sheet, y: int, defense: str) -> dict[str, Any]:
    cells = []
    for x, column in enumerate(made.columns):
        entry = made.entry(defense, column)
        cells.append(
            {
                "id": f"cell-{y}-{x}",
                "shows": f"cell-{y}-{x} defense-{y} attack-{x}",
                "name": f"{defense_label(defense)} against {column_label(column)}",
                "faces": _faces(made, defense, column),
                "numbers": _numbers(made, defense, column),
                "seeds": [_seed(cell, column, entry) for cell in made.cells(defense, column)],
                "categories": _by_category(made, defense, column),
            }
        )
    return {"label": defense_label(defense), "cells": cells}


def _faces(made: Sheet, defense: str, column: Column) -> list[Face]:
    """What the cell shows, in the order of the measures."""
    entry = made.entry(defense, column)
    note = [entry.note] if entry.note and not entry.rate.interval else []
    faces = []
    for judge in made.matrix.judges:
        found = made.entry(defense, column, judge)
        more = [band_text(found.band)] if found.band and found.rate.interval else []
        faces.append(_interval_face(found.rate.interval, "h", more or note))
    stopped = entry.if_released or (entry.rate if entry.released == 1 else None)
    return [
        *faces,
        _interval_face(stopped.interval if stopped else None, "h", note),
        _interval_face(entry.recovered, "g", note),
        Face(score_text(entry.score), note, _level("h", _from_score(entry.score))),
        *[_expected_face(entry, note)] * made.expects(made.judge),
        Face(percent(entry.utility), note, _level("g", entry.utility)),
        *[_rating_face(entry, note)] * made.rated,
        Face(percent(entry.over_refusal), note, _level("h", entry.over_refusal)),
        Face(percent(entry.incoherent), note, _level("h", entry.incoherent)),
    ]


def _interval_face(interval: Interval | None, scale: str, under: list[str]) -> Face:
    if interval is None:
        return Face(NO_DATA, under, "none")
    value, low, high = interval
    return Face(
        percent(value), [f"[{percent(low)}, {percent(high)}]", *under], _level(scale, value)
    )


def _expected_face(entry: Entry, under: list[str]) -> Face:
    mean = entry.expected.mean if entry.expected else None
    return Face(expected_text(entry.expected), under, _level("h", _from_score(mean)))


def _rating_face(entry: Entry, under: list[str]) -> Face:
    found = entry.mt_bench and entry.mt_bench.interval
    if not found:
        return Face(NO_DATA, under, "none")
    value, low, high = found
    share = (value - LOWEST) / (HIGHEST - LOWEST)
    return Face(f"{value:.2f}", [f"[{low:.2f}, {high:.2f}]", *under], _level("g", share))


def _from_score(score: float | None) -> float | None:
    return None if score is None else (score - 1) / 4


def _level(scale: str, share: float | None) -> str:
    return "none" if share is None else f"{scale}{round(LEVELS * min(max(share, 0), 1))}"


def _numbers(made: Sheet, defense: str, column: Column) -> list[tuple[str, str]]:
    """Everything computed of a cell, in words."""
    rates = []
    for judge, what in made.matrix.judges.items():
        entry = made.entry(defense, column, judge)
        rates.append((f"{what} ({judge}), as released", rate_text(entry.rate, entry.band)))
        if entry.if_released is not None:
            rates.append((f"{what} ({judge}), if released", rate_text(entry.if_released)))
    entry = made.entry(defense, column)
    rates += [
        (f"tokens of {judge}", _tokens(made.matrix, judge, defense, column))
        for judge in made.matrix.judged_by
        if any(summary.tokens(made.matrix, defense, column, judge).model_dump().values())
    ]
    return [
        *rates,
        ("safety recovered", recovered_text(entry)),
        ("difference to undefended, in points", interval_text(entry.difference, NO_DATA)),
        ("mean score, 1 to 5", score_text(entry.score)),
        *[("expected score, 1 to 5", expected_text(entry.expected))] * bool(entry.expected),
        ("utility", percent(entry.utility)),
        *[("MT-Bench, 1 to 10", rating_note(entry.mt_bench))] * bool(entry.mt_bench),
        ("over-refusal", percent(entry.over_refusal)),
        ("incoherent", percent(entry.incoherent)),
        *(
            [("corrected", told)]
            if (told := jury.corrected(made.matrix, defense, column, made.judge))
            else []
        ),
        ("missing verdicts", f"{entry.rate.missing} of {entry.rate.n + entry.rate.missing}"),
        ("uploads released", percent(entry.released)),
        *([("seeds in which no weight moved", str(entry.unchanged))] if entry.unchanged else []),
        *([("note", entry.note)] if entry.note else []),
    ]


def _tokens(matrix: Matrix, judge: str, defense: str, column: Column) -> str:
    """What the verdicts of a cell took, over all seeds, whichever run asked for them."""
    used = summary.tokens(matrix, defense, column, judge)
    price = matrix.prices.get(judge)
    dollars = "" if price is None else f", ${price.of(used):.4f}"
    return f"{used.read:,} read, {used.written:,} written{dollars}"


def _seed(cell: CellResult, column: Column, entry: Entry) -> dict[str, Any]:
    asked = cell.asks.get(column.ask)
    return {
        "seed": cell.seed,
        "rate": percent(entry.by_seed.get(cell.seed)),
        "state": cell.reason or (cell.status if cell.released else f"{cell.status}, not released"),
        "rows": f"{cell.rows} + {cell.added}" if cell.status == "tuned" else NO_DATA,
        "cut": NO_DATA if asked is None else str(asked.released.cut),
        "gates": [
            (
                f"{gate.moment}: {gate.outcome}",
                f"{gate.kept} of {gate.rows} rows kept",
                gate.reason,
                ", ".join(f"{name} {value:.3g}" for name, value in gate.evidence.items()),
            )
            for gate in cell.gates
        ],
    }


def _by_category(made: Sheet, defense: str, column: Column) -> list[tuple[str, str, str, str]]:
    undefended = made.categories.get(("none", column), {})
    rows = []
    for name, rate in made.categories[defense, column].items():
        other = undefended.get(name)
        value = rate.interval.value if rate.interval else None
        rows.append(
            (name, rate_text(rate), rate_text(other) if other else NO_DATA, _level("h", value))
        )
    return rows


def _table(made: Sheet) -> list[tuple[str, str, list[str]]]:
    """All numbers of the first judge: column, defense, numbers."""
    return [
        (
            column_label(column),
            defense_label(defense),
            [
                rate_text(entry.rate, entry.band),
                rate_text(entry.if_released) if entry.if_released else NO_DATA,
                recovered_text(entry),
                score_text(entry.score),
                *[expected_text(entry.expected)] * made.expects(made.judge),
                percent(entry.utility),
                *[rating_text(entry.mt_bench)] * made.rated,
                percent(entry.over_refusal),
                percent(entry.incoherent),
                entry.note,
            ],
        )
        for column in made.columns
        for defense in made.rows
        for entry in [made.entry(defense, column)]
    ]
