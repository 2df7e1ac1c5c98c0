"""`gates.html`: the gate benchmark in one file, without a script or a word to the network."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jinja2

from benchmarks.gates import views
from benchmarks.gates.figure import curves
from benchmarks.gates.results import Adaptive, GateResult, Line, Share
from benchmarks.report import style
from benchmarks.report.phrasing import NO_DATA, disclaimer, interval_text, percent

TEMPLATES = Path(__file__).resolve().parent / "templates"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
"""No script, no network: an image is in the page itself."""


def page(found: GateResult) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    figure = curves(found)
    shown = [line for line in found.lines if line.kind == "combination"]
    shown += [line for line in found.lines if line.kind != "combination"]
    return environment.get_template("gates.html.jinja").render(
        policy=POLICY,
        found=found,
        disclaimer=disclaimer(found.target),
        picture=base64.b64encode(figure.png).decode(),
        figure=figure,
        lines=[_line(line) for line in found.lines],
        columns=[views.label(line) for line in shown],
        families=[
            {
                "family": family,
                "harm": NO_DATA if family.harm is None else percent(family.harm),
                "cells": [_cell(line, family.name) for line in shown],
            }
            for family in found.families
        ],
        answers=found.answers,
        searched=_searched(found.adaptive),
        kinds=("allow", "allow with mitigation", "hold", "reject", "inconclusive"),
        gains=views.gains(found),
        weakest=views.weakest(found, 3),
        elsewhere=views.ELSEWHERE,
        nominal=f"{found.nominal:.0%}",
    )


def _line(line: Line) -> dict[str, str]:
    return {
        "name": views.label(line),
        "alarms": interval_text(line.false_alarm_rate, NO_DATA),
        "detection": interval_text(line.detection, NO_DATA),
        "unseen": interval_text(line.unseen, NO_DATA),
        "area": views.area(line.area),
        "effect": views.area(line.effect_area),
        "seconds": NO_DATA if line.seconds is None else f"{line.seconds:.2g}",
        "passes": f"{line.passes:.0f}",
        "missing": str(views.missing(line) or ""),
    }


def _searched(found: Adaptive | None) -> dict[str, Any] | None:
    """What a searching attacker reached, by family."""
    if found is None:
        return None
    rows = [
        {"family": family, "cell": _coloured(one, one.hits / one.n if one.n else 0.0)}
        for family, one in found.by_family.items()
    ]
    title = f"{views.SEARCHED[0].upper()}{views.SEARCHED[1:]}"
    return {"title": title, "rows": rows, "told": views.searched(found)}


def _cell(line: Line, family: str) -> dict[str, str]:
    """A family's share with the colour of how little of it is stopped."""
    one = line.by_family[family]
    return _coloured(one, 1 - one.hits / one.n if one.n else 0.0)


def _coloured(one: Share, heat: float) -> dict[str, str]:
    if not one.n:
        return {"text": NO_DATA, "fill": "transparent", "ink": style.MUTED}
    fill = style.heat(heat)
    return {"text": views.share_text(one), "fill": fill, "ink": style.on(fill)}
