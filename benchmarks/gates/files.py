"""The files of a gate benchmark: `gates.json`, `gates.html`, `roc.png` and `roc.svg`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.gates.figure import curves
from benchmarks.gates.page import page
from benchmarks.gates.results import GateResult
from benchmarks.store import write_whole

RESULT, PAGE = "gates.json", "gates.html"


def write(folder: Path, found: GateResult) -> Path:
    """Write them all, each whole or not at all, the numbers last; where the page is."""
    folder.mkdir(parents=True, exist_ok=True)
    figure = curves(found)
    write_whole(folder / "roc.png", figure.png)
    write_whole(folder / "roc.svg", figure.svg.encode())
    write_whole(folder / PAGE, page(found).encode())
    write_whole(folder / RESULT, (found.model_dump_json(indent=1) + "\n").encode())
    return folder / PAGE
