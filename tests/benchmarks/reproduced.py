"""Made-up measurements of the paper's cells."""

from __future__ import annotations

from benchmarks.reproduce import Plan
from benchmarks.results import CellResult, Matrix
from tests.benchmarks.synthetic import example


def made_up(found: Plan) -> dict[int, Matrix]:
    """A matrix that holds every cell of the plan, with the rates of a synthetic one."""
    base = example(11, found.seeds)
    answered: dict[tuple[str, str, int], CellResult] = {}
    for cell in base.cells:
        answered.setdefault((cell.attack, cell.defense, cell.seed), cell)
    matrices = {}
    for world, grid in found.grids():
        cells = []
        for cell in grid.cells():
            like = answered.get(cell) or answered["harmful:n=10", "mix:n=50", cell.seed]
            asks = like.asks
            if cell.attack == "backdoor":
                asks = {"plain": like.asks["plain"], "trigger": like.asks["plain"]}
            cells.append(like.model_copy(update={**cell._asdict(), "asks": asks}))
        matrices[world] = base.model_copy(update={"cells": cells})
    return matrices
