"""Results as they may leave this machine: every path is told by its last part only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from attacks.base import UserError
from attacks.spec import Part, format_spec, parse
from benchmarks.results import Answers, Asked, CellResult, Matrix
from targets.endpoint import PREFIX

T = TypeVar("T")

WITHHELD = "told in the run's own report"
"""Stands for a sentence that may hold a path: where one ends in it cannot be known."""
_SEPARATOR = re.compile(r"[/\\]")


class Portable(NamedTuple):
    """A matrix and its settings without this machine's folders."""

    matrix: Matrix
    grid: dict[str, Any]


def portable(matrix: Matrix, grid: Mapping[str, Any]) -> Portable:
    """The matrix and its grid's settings, all paths by their last part."""
    attacks = specs(cell.attack for cell in matrix.cells)
    defenses = specs(cell.defense for cell in matrix.cells)
    judges = specs(matrix.judges)

    def by_judge(found: Mapping[str, T]) -> dict[str, T]:
        return {judges[judge]: one for judge, one in found.items()}

    def answers(found: Answers | None) -> Answers | None:
        if found is None:
            return None
        missing = {
            judges[j]: {prose(why): n for why, n in reasons.items()}
            for j, reasons in found.missing.items()
        }
        named = {"scores": by_judge(found.scores), "tokens": by_judge(found.tokens)}
        ratings = found.mt_bench
        if ratings is not None:
            reasons = {prose(why): n for why, n in ratings.missing.items()}
            ratings = ratings.model_copy(update={"missing": reasons})
        return found.model_copy(update={**named, "missing": missing, "mt_bench": ratings})

    def renamed(cell: CellResult) -> CellResult:
        asks = {
            name: Asked.model_construct(
                released=answers(asked.released), if_released=answers(asked.if_released)
            )
            for name, asked in cell.asks.items()
        }
        gates = [g.model_copy(update={"reason": prose(g.reason)}) for g in cell.gates]
        names = {"attack": attacks[cell.attack], "defense": defenses[cell.defense]}
        texts = {"reason": prose(cell.reason), "gates": gates, "asks": asks}
        return cell.model_copy(update={**names, **texts})

    changed = {
        "target": target(matrix.target),
        "caveats": [prose(caveat) for caveat in matrix.caveats],
        "judges": by_judge(matrix.judges),
        "judged_by": by_judge(matrix.judged_by),
        "rater": judges.get(matrix.rater, ""),
        "prices": by_judge(matrix.prices),
        "calibrations": by_judge(matrix.calibrations),
        "cells": [renamed(cell) for cell in matrix.cells],
    }
    known = {"attacks": attacks, "defenses": defenses, "judges": judges}
    settings: dict[str, Any] = {
        key: [names.get(text) or spec(text) for text in grid.get(key, [])]
        for key, names in known.items()
    }
    settings["target"] = target(str(grid.get("target", "")))
    own = {"data": name, "provider_judge": spec, "accelerate": name}
    settings |= {key: tell(grid[key]) for key, tell in own.items() if grid.get(key)}
    settings |= {"generate_with": WITHHELD} if grid.get("generate_with") else {}
    return Portable(matrix.model_copy(update=changed), {**grid, **settings})


def specs(texts: Iterable[str]) -> dict[str, str]:
    """Each spec's portable text; two that differ stay different."""
    found: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        short, n = spec(text), 1
        while (told := short if n == 1 else f"{short} ({n})") in found.values():
            n += 1
        found[text] = told
    return found


def spec(text: str) -> str:
    """A spec whose names and values hold no folder."""
    try:
        (parts,) = parse(text)
    except (UserError, ValueError):
        return prose(text)
    return format_spec(
        tuple(Part(name(p.name), {k: name(v) for k, v in p.params.items()}) for p in parts)
    )


def target(text: str) -> str:
    """A target's name, without its folder or its server's address."""
    return text.partition("@http")[0] if text.startswith(PREFIX) else name(text)


def name(text: str) -> str:
    """The last part of a path, or a text that is none."""
    return _SEPARATOR.split(text.rstrip("/\\"))[-1]


def prose(text: str) -> str:
    """A sentence, if it can hold no path."""
    return WITHHELD if _SEPARATOR.search(text) else text
