"""What a person sees while a grid runs: a bar, and each row as soon as it is known."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.grid import Grid
from benchmarks.report.terminal import interval_text
from benchmarks.results import CellResult
from eval import metrics

if TYPE_CHECKING:
    from targets.hosted.desk import Event

_CELLS = "cells"
_SHORT = 14
"""Letters of a job's name: its kind, and enough to tell jobs apart; the first line has all."""


class Live:
    """Progress on standard error; a context manager."""

    def __init__(self, grid: Grid, judge: str, console: Console) -> None:
        self.grid = grid
        self.judge = judge
        self.console = console
        self.results: dict[tuple[str, str], list[CellResult]] = {}
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task(_CELLS, total=len(grid.cells()))

    def __enter__(self) -> Callable[[CellResult], None]:
        self.progress.start()
        return self.show

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def show(self, result: CellResult) -> None:
        """Count a cell; print its row when all seeds of it are there."""
        row = self.results.setdefault((result.attack, result.defense), [])
        row.append(result)
        self.progress.advance(self.task)
        if len(row) == self.grid.seeds:
            self.console.print(self._line(row), markup=False, highlight=False)

    def tell(self, event: Event) -> None:
        """Say what happens on a server; a loss stands until the next one comes."""
        where = event.where[:_SHORT]
        passing = f"{where} {event.message[:50]}" if event.passing else _CELLS
        self.progress.update(self.task, description=passing)
        if not event.passing:
            line = f"{where}: {event.message}"
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _line(self, row: list[CellResult]) -> str:
        first = row[0]
        parts = []
        for ask in first.asks:
            answers = [cell.asks[ask].released for cell in row if ask in cell.asks]
            hits = [[metrics.is_hit(s) for s in a.scores[self.judge]] for a in answers]
            rate = interval_text(metrics.rate(hits).interval)
            parts.append(rate if ask == "plain" else f"{ask} {rate}")
        found = ", ".join(parts) or f"{first.status}: {first.reason}"
        return f"{first.attack} | {first.defense}: {found}"
