"""A whole grid: what is stored is put together, what is missing is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from attacks.base import UserError
from benchmarks.cell import Cell, run_cell
from benchmarks.engines import local
from benchmarks.grid import Grid
from benchmarks.keys import digest
from benchmarks.lab import Lab, NotStored, open_lab
from benchmarks.results import CellResult, Matrix, PromptSet
from benchmarks.store import Store


@dataclass
class Plan:
    """What a run would do."""

    stored: dict[Cell, CellResult] = field(default_factory=dict)
    missing: dict[Cell, str] = field(default_factory=dict)
    """Cell to the first stage that is not stored."""


@dataclass
class Account:
    """What a run did."""

    made: Counter[str] = field(default_factory=Counter)
    """Stages made, by name."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time spent making them, over all workers."""
    reused_cells: int = 0


def lab_for(grid: Grid, store: Store, *, may_make: bool) -> Lab:
    """The lab of a grid in this process."""
    return open_lab(grid.target, judge_specs(grid), store, grid.limit, may_make)


def judge_specs(grid: Grid) -> tuple[str, ...]:
    """The grid's judges, or the target's default.

    Raises:
        UserError: the target has no default judge and none was given.
    """
    from attacks.registry import names
    from targets.resolve import resolve

    if grid.judges:
        return tuple(grid.judges)
    default = resolve(grid.target).judge
    if not default:
        raise UserError(
            f"target {grid.target!r} has no default judge; choose with --judge: "
            f"{', '.join(names('eval.judges'))}"
        )
    return (default,)


def plan(grid: Grid, lab: Lab) -> Plan:
    """Which cells are stored and which are not; nothing is run."""
    found = Plan()
    for cell in grid.cells():
        try:
            found.stored[cell] = run_cell(cell, lab)
        except NotStored as lacking:
            found.missing[cell] = lacking.stage
    return found


def chains(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells of one attack and seed together, since they share the undefended model."""
    groups: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.attack, cell.seed), []).append(cell)
    return list(groups.values())


def run(
    grid: Grid,
    store: Store,
    *,
    worker_count: int | None = None,
    show: Callable[[CellResult], None] = lambda result: None,
) -> tuple[Matrix, Account]:
    """Run what is missing and put the matrix together.

    Args:
        grid: What to run.
        store: Where stages are kept.
        worker_count: Processes; one a core by default.
        show: Told each cell's result as soon as it is known.
    """
    lab = lab_for(grid, store, may_make=False)
    planned = plan(grid, lab)
    account = Account(reused_cells=len(planned.stored))
    results = dict(planned.stored)
    for result in results.values():
        show(result)
    if planned.missing:
        work = chains(list(planned.missing))
        settings = local.LabSettings(grid.target, judge_specs(grid), store.root, grid.limit)
        for done in local.run(work, settings, local.workers(worker_count, len(work))):
            result = done.result
            results[Cell(result.attack, result.defense, result.seed)] = result
            account.made.update(done.made)
            for stage, seconds in done.seconds.items():
                account.seconds[stage] = account.seconds.get(stage, 0.0) + seconds
            show(result)
    return matrix(grid, lab, [results[cell] for cell in grid.cells()]), account


def matrix(grid: Grid, lab: Lab, cells: list[CellResult]) -> Matrix:
    """The results as they are written down."""
    requests, utility, borderline = lab.prompts()
    return Matrix(
        target=lab.resolved.checkpoint.name,
        target_digest=lab.resolved.checkpoint.digest,
        judges={name: judge.measure for name, judge in lab.judges.items()},
        seeds=list(range(grid.seeds)),
        prompts=PromptSet(
            ids=[prompt.id for prompt in requests],
            categories=[prompt.category for prompt in requests],
            utility=len(utility),
            borderline=len(borderline),
            digest=digest(requests, utility, borderline),
        ),
        cells=cells,
    )
