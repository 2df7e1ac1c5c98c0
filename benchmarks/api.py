"""The bench as a function, for the command line and for notebooks."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from attacks.base import UserError
from benchmarks import folder, hosting, run
from benchmarks.grid import Grid, load_grid, make_grid
from benchmarks.report import files
from benchmarks.results import CellResult, Matrix, Transcript
from benchmarks.store import Store, default_root
from benchmarks.trial import Cell
from benchmarks.wire import Tell

if TYPE_CHECKING:
    import pandas

Show = AbstractContextManager[Callable[[CellResult], None]]


class Finished(NamedTuple):
    """A run that came to its end."""

    matrix: Matrix
    account: run.Account
    folder: Path
    lines: list[str]
    """What a person should be told: where things are, how to sync."""


def execute(
    grid: Grid,
    store: Store,
    *,
    out: Path | None = None,
    workers: int | None = None,
    wandb: str = "disabled",
    include_text: bool = False,
    disk_budget: int = 5 * 1024**3,
    show: Show | None = None,
    tell: Tell = lambda event: None,
    budget: run.Budget | None = None,
) -> Finished:
    """Run a grid and write its folder.

    Args:
        grid: What to run.
        store: Where stages are kept.
        out: The run's folder; `runs/` and the grid's digest by default.
        workers: Processes; one a core by default.
        wandb: `online`, `offline` or `disabled`.
        include_text: Put sample transcripts into the report.
        disk_budget: Bytes of model weights to keep afterwards.
        show: Entered while cells run; gives the function that is told each result.
        tell: Told what happens to jobs and batches on a server.
        budget: What calls may take; no limit by default.

    Raises:
        UserError: the folder or the store cannot be used.
        WorkerDied: a worker was killed; what it had finished is stored.
    """
    begin = time.time()
    with folder.claim(out or folder.default(grid), grid) as place:
        with show or nullcontext(lambda result: None) as told:
            matrix, account = run.run(
                grid, store, worker_count=workers, show=told, tell=tell, budget=budget
            )
        store.add_timings(account.made, account.seconds)
        transcripts = run.transcripts(grid, store, _run(matrix)) if include_text else None
        provenance = _provenance(grid, account, begin)
        files.write(place, matrix, provenance, grid.to_yaml(), transcripts)
        lines = [_work(account, time.time() - begin), *_called(account)]
        lines.append(f"report: {place / 'report.html'}")
        if wandb != "disabled":
            lines += _tracked(matrix, grid, place, wandb)
    store.collect(disk_budget)
    return Finished(matrix, account, place, lines)


def rewrite(place: Path, store: Store | None) -> Path:
    """Write a run's report and figures anew; with a store, transcripts too.

    Raises:
        UserError: the folder is not a run, a bench is writing into it, or the store does not
            hold its replies.
    """
    grid = load_grid(place / folder.GRID_FILE)
    with folder.claim(place, grid):
        matrix = files.load(place)
        transcripts = None if store is None else run.transcripts(grid, store, _run(matrix))
        files.write_report(place, matrix, transcripts)
    return place / "report.html"


def replies_of(place: Path, store: Store, attack: str, defense: str, seed: int) -> list[Transcript]:
    """What was asked and answered in one cell of a run.

    Raises:
        UserError: the run has no such cell, or the store does not hold its replies.
    """
    grid, cell = cell_of(place, attack, defense, seed)
    return run.transcripts(grid, store, [cell])


def cell_of(place: Path, attack: str, defense: str, seed: int) -> tuple[Grid, Cell]:
    """A cell of a run, and the grid that it is of.

    Raises:
        UserError: the run has no such cell.
    """
    grid = load_grid(place / folder.GRID_FILE)
    cell = Cell(attack, defense, seed)
    if cell not in grid.cells():
        raise UserError(f"the run has no cell {attack} | {defense}, seed {seed}")
    return grid, cell


def bench(
    attacks: Sequence[str] = ("aoa",),
    defenses: Sequence[str] = ("mix",),
    *,
    out: Path | str | None = None,
    store: Path | str | None = None,
    workers: int | None = None,
    budget: run.Budget | None = None,
    **settings: Any,
) -> pandas.DataFrame:
    """Cross attacks with defenses and give back the matrix as a table.

    Args:
        attacks: Specs such as `aoa` or `harmful:n=10`.
        defenses: Specs such as `mix:n=100` or `moderate+mix`.
        out: The run's folder.
        store: Where stages are kept; the user's cache folder by default.
        workers: Processes; one a core by default.
        budget: What calls to judges and to servers that tune may take; they are sent without a
            question, and without a limit unless one is given.
        **settings: `target`, `judges`, `seeds`, `limit`, `counterfactual`, `data`,
            `provider_judge`, `elicit`, `processes`, `accelerate`, `generate_with`, as in
            `run.yaml`.

    Worker processes read the script that calls this anew, so in a script the call stands under
    `if __name__ == "__main__":`; in a notebook it may stand anywhere.

    Returns:
        One row for each defense in each column of the matrix; shares between 0 and 1.
    """
    grid = make_grid(attacks, defenses, **settings)
    opened = Store(Path(store) if store else default_root())
    place = Path(out) if out else None
    finished = execute(grid, opened, out=place, workers=workers, budget=budget)
    if run.incomplete(finished.matrix):
        warnings.warn(
            f"some cells failed or verdicts are missing; {finished.folder}/report.html says why",
            stacklevel=2,
        )
    return files.frame(finished.matrix)


def _run(matrix: Matrix) -> list[Cell]:
    """The cells that did not fail."""
    return [Cell(c.attack, c.defense, c.seed) for c in matrix.cells if c.status != "failed"]


def _work(account: run.Account, seconds: float) -> str:
    """What was done, in one line; a cell served by a stored model is not a tuned one."""
    rate = f", {60 * account.tuned_cells / seconds:.0f} tuned a minute" * bool(account.tuned_cells)
    failed = f", {account.failed_cells} failed" * bool(account.failed_cells)
    return (
        f"{account.tuned_cells} cells tuned and asked, {account.other_cells} run on models that "
        f"were there, {account.stored_cells} stored{failed}; {seconds:.0f} s{rate}"
    )


def _called(account: run.Account) -> list[str]:
    """What was asked over a wire, what it cost, and why it stopped."""
    notes = list(account.notes)
    if account.desk is not None:
        notes.append(hosting.told(account.desk))
    if account.calls is None:
        return notes
    ledger = account.calls.ledger
    cost = f", ${ledger.dollars:.2f}" if ledger.dollars else ""
    twice = ledger.possibly_paid_twice
    counted = (
        f"judge: {ledger.answered} of {ledger.sent} calls answered, {ledger.prompt_tokens} tokens "
        f"read and {ledger.completion_tokens} written{cost}"
        + f", {twice} possibly paid twice"
        * bool(twice)
    )
    stopped = account.calls.stopped
    sent = [counted] if ledger.sent or account.calls.stopped else []
    return [*notes, *sent, *([f"judge stopped: {stopped}"] if stopped else [])]


def _tracked(matrix: Matrix, grid: Grid, place: Path, mode: str) -> list[str]:
    """Log the matrix, unless this very matrix was logged before in the same way."""
    content = hashlib.sha256((place / files.MATRIX).read_bytes()).hexdigest()
    mark = place / ".tracked"
    if mark.is_file() and (lines := mark.read_text().splitlines())[:1] == [f"{mode} {content}"]:
        return lines[1:]
    from benchmarks import tracking

    lines = tracking.track(matrix, grid.settings(), grid.digest, place, mode)
    mark.write_text("\n".join([f"{mode} {content}", *lines]))
    return lines


def _provenance(grid: Grid, account: run.Account, begin: float) -> dict[str, Any]:
    """When and with what; kept apart from the results, which it does not change."""
    from benchmarks.keys import environment

    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin)),
        "seconds": round(time.time() - begin, 1),
        "grid": grid.digest,
        "files": grid.files(),
        "environment": environment(),
        "stages_made": dict(sorted(account.made.items())),
        "stage_seconds": {k: round(v, 2) for k, v in sorted(account.seconds.items())},
        "cells_stored_before": account.stored_cells,
    }
