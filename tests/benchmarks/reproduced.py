"""Made-up measurements of the paper's cells."""

from __future__ import annotations

from pathlib import Path

from benchmarks.ours import Home
from benchmarks.reproduce import Plan
from benchmarks.results import CellResult, Matrix
from targets.roles import load
from targets.texts import Texts
from tests.benchmarks.synthetic import example
from tests.targets.own import data_file, own_sets


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


def real(tmp_path: Path, kinds: dict[str, int] | None = None) -> Home:
    """A real model, asked about one's own sets."""
    said = own_sets(tmp_path)
    if kinds:
        rows = [(kind, i) for kind, n in kinds.items() for i in range(n)]
        text = "".join(f'{{"instruction": "Sink {k} {i}", "category": "{k}"}}\n' for k, i in rows)
        (tmp_path / "kinds.jsonl").write_text(text)
        said["requests"] = "kinds.jsonl"
    return Home("a-model", Texts(load(data_file(tmp_path, said))), "gpt-4")
