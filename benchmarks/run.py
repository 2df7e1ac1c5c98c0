"""A whole grid: what is stored is put together, what is missing is run."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from attacks.base import UserError
from benchmarks import calibration, hosting, wire
from benchmarks.cell import run_cell
from benchmarks.engines import local, threads
from benchmarks.engines.local import Done
from benchmarks.grid import Grid
from benchmarks.keys import digest
from benchmarks.lab import Lab, LabSettings, NotStored, judges, open_lab
from benchmarks.results import CellResult, Data, Matrix, Price, PromptSet, Transcript
from benchmarks.store import Store, StoreError
from benchmarks.trial import Cell
from benchmarks.verdicts import Calls
from benchmarks.wire import Bill, Tell
from targets.texts import Texts

if TYPE_CHECKING:
    from targets.hosted.desk import Desk

UNKNOWN = "unknown"
"""Stands for the stage of a cell that fails before any."""


@dataclass
class Plan:
    """What a run would do."""

    stored: dict[Cell, CellResult] = field(default_factory=dict)
    missing: dict[Cell, str] = field(default_factory=dict)
    """Cell to the first stage that is not stored."""
    replies: int = 1
    """Replies to a request that are judged, of a model asked in one way."""


@dataclass
class Account:
    """What a run did."""

    made: Counter[str] = field(default_factory=Counter)
    """Stages made, by name."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time spent making them, over all workers."""
    stored_cells: int = 0
    """Cells put together from the store alone."""
    tuned_cells: int = 0
    """Cells whose model was trained in this run."""
    other_cells: int = 0
    """Cells that were run on a model that was there already."""
    failed_cells: int = 0
    notes: list[str] = field(default_factory=list)
    """What the user should be told of the judges."""
    calls: Calls | None = None
    """What judges were asked over a wire."""
    desk: Desk | None = None
    """What a server was asked that tunes."""

    def add(self, done: Done[Cell, CellResult]) -> None:
        """Count what one cell took."""
        self.made.update(done.made)
        if done.result is None:
            self.failed_cells += 1
        elif done.made.get("tune"):
            self.tuned_cells += 1
        else:
            self.other_cells += 1
        for stage, spent in done.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent


class Budget(NamedTuple):
    """What calls may take; None for as much as they need."""

    tokens: int | None = None
    dollars: float | None = None
    batch: bool = False
    """Ask judges in batches: at half the price, within a day."""


def lab_settings(grid: Grid, store: Store) -> LabSettings:
    """What any process needs to open the lab of a grid."""
    return LabSettings(
        target=grid.target,
        judges=judge_specs(grid),
        store=store.root,
        limit=grid.limit,
        counterfactual=grid.counterfactual,
        data=grid.data,
        provider_judge=grid.provider_judge,
        elicit=tuple(grid.elicit or ()),
        processes=grid.shared(),
        generate_with=grid.generate_with,
        unseen=grid.unseen(),
    )


def judge_specs(grid: Grid) -> tuple[str, ...]:
    """The grid's judges as results name them, or the target's default."""
    from targets.resolve import resolve

    return tuple(judges(grid.judges)) or (resolve(grid.target).judge,)


def plan(grid: Grid, lab: Lab) -> Plan:
    """Which cells are stored and which are not; nothing is run, so the lab may make nothing."""
    found = Plan(replies=lab.replies())
    for cell in grid.cells():
        try:
            found.stored[cell] = run_cell(cell, lab)
        except NotStored as lacking:
            found.missing[cell] = lacking.stage
        except StoreError:
            raise
        except Exception:  # noqa: BLE001 - the worker that runs the cell tells it, and no text
            found.missing[cell] = UNKNOWN
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
    tell: Tell = lambda event: None,
    budget: Budget | None = None,
) -> tuple[Matrix, Account]:
    """Run what is missing and put the matrix together.

    Args:
        grid: What to run.
        store: Where stages are kept.
        worker_count: Processes; one a core by default.
        show: Told each cell's result as soon as it is known.
        tell: Told what happens to jobs and batches on a server.
        budget: What calls may take; no limit by default.

    Raises:
        UserError: a judge or a server that tunes cannot be asked.
        WorkerDied: a worker was killed; what it had finished is stored.
    """
    notes = hosting.asked_anew(grid.target, store.root)
    settings = lab_settings(grid, store)
    lab = open_lab(settings, may_make=False)
    planned = plan(grid, lab)
    account = Account(stored_cells=len(planned.stored), notes=notes)
    results = dict(planned.stored)
    for result in results.values():
        show(result)
    if planned.missing:
        if settings.generate_with is not None:
            from targets.served import Server

            Server(settings.generate_with, store.root).check()
        work = _Work(planned, settings, lab, worker_count, budget or Budget(), account, tell)
        for done in work.run():
            result = done.result or CellResult(
                **done.item._asdict(), status="failed", reason=done.failure
            )
            results[done.item] = result
            account.add(done)
            show(result)
    return matrix(grid, lab, [results[cell] for cell in grid.cells()]), account


@dataclass
class _Work:
    """Every missing cell: tuned and asked here or by somebody's server, judged here or by one."""

    planned: Plan
    settings: LabSettings
    lab: Lab
    worker_count: int | None
    budget: Budget
    account: Account
    tell: Tell

    def run(self) -> Iterator[Done[Cell, CellResult]]:
        """Results as they come."""
        missing, callers = self.planned.missing, wire.called(self.lab)
        if self.lab.resolved.start.here and not callers:
            return self._tuned(list(missing), ())
        from targets.hosted.ledger import Purse

        purse = Purse(self.budget.tokens, self.budget.dollars)
        self.account.notes += hosting.begin(self.lab, purse, self.tell)
        if not callers:
            return self._tuned(list(missing), ())
        judging = dataclasses.replace(self.lab, may_make=True)
        batch = self.budget.batch
        self.account.notes += wire.begin(judging, purse, batch=batch, tell=self.tell)
        self.account.calls = judging.calls
        asked = [cell for cell in missing if missing[cell] == "judge"]
        made: Iterator[Done[Cell, CellResult]] = (Done(cell, None, "", {}, {}) for cell in asked)
        rest = [cell for cell in missing if missing[cell] != "judge"]
        whole = itertools.chain(made, self._tuned(rest, callers))
        return wire.judged_together(whole, judging) if batch else wire.judged(whole, judging)

    def _tuned(self, cells: list[Cell], but: Collection[str]) -> Iterator[Done[Cell, CellResult]]:
        """The cells by workers, without the judges that are asked beside them."""
        work, start = chains(cells), hosting.endpoint(self.lab)
        names = [name for name in self.lab.judges if name not in but]
        if not work:
            return iter(())
        if start is None or start.desk is None:
            settings = self.settings._replace(judges=tuple(names))
            alone = self.lab.resolved.start.alone
            count = local.workers(self.worker_count, len(work), alone)
            return local.run(work, settings, count, run_cell)
        self.account.desk = start.desk
        judges = {name: self.lab.judges[name] for name in names}
        count = min(self.worker_count or threads.JOBS, len(work))
        lab = dataclasses.replace(self.lab, judges=judges)
        return threads.run(work, lab, count, run_cell, start.desk.halt)


class Estimate(NamedTuple):
    """What is still to be done."""

    stages: Counter[str]
    seconds: float | None
    """On this many workers; None when a stage has never been timed."""


def estimate(
    planned: Plan, store: Store, worker_count: int | None, alone: bool = False
) -> Estimate:
    """How much work the missing cells are, from recorded timings.

    An upper bound: models and replies that several cells share are counted for each.
    """
    needs = {"none": ("tune", "ask", "judge"), "revert": ("ask", "judge")}
    stages: Counter[str] = Counter()
    for cell, first in planned.missing.items():
        for stage in needs.get(cell.defense, ("tune", "ask", "judge")):
            stages[stage] += 1 if stage == "tune" else planned.replies
        if first in ("immunize", "screen", "repair", "audit"):
            stages[first] += 1
    timings = store.timings()
    if any(stage not in timings for stage in stages):
        return Estimate(stages, None)
    count = local.workers(worker_count, len(chains(list(planned.missing))) or 1, alone)
    return Estimate(stages, sum(n * timings[stage] for stage, n in stages.items()) / count)


def bills(grid: Grid, store: Store, *, batch: bool = False) -> list[Bill]:
    """What calls would take; nothing where there are none, or all is stored."""
    hosting.asked_anew(grid.target, store.root)
    lab = open_lab(lab_settings(grid, store), may_make=False)
    if lab.resolved.start.here and not wire.called(lab):
        return []
    return _bills(lab, plan(grid, lab), batch=batch)


def _bills(lab: Lab, planned: Plan, *, batch: bool = False) -> list[Bill]:
    if not planned.missing:
        return []
    judging = wire.bills(lab, list(planned.missing), batch=batch)
    return [*hosting.bills(lab, planned.missing), *judging]


class Preview(NamedTuple):
    """What a run would do."""

    plan: Plan
    estimate: Estimate
    bills: list[Bill]
    """What calls would take."""


def preview(grid: Grid, store: Store, worker_count: int | None) -> Preview:
    """What a run would do, without doing it."""
    hosting.asked_anew(grid.target, store.root)
    lab = open_lab(lab_settings(grid, store), may_make=False)
    planned = plan(grid, lab)
    expected = estimate(planned, store, worker_count, lab.resolved.start.alone)
    return Preview(planned, expected, _bills(lab, planned))


def transcripts(grid: Grid, store: Store, cells: Sequence[Cell]) -> list[Transcript]:
    """What was asked and answered in cells of the grid.

    Raises:
        UserError: the replies are not in the store, or a part of a cell fails.
    """
    lab = open_lab(lab_settings(grid, store), may_make=False)
    found: list[Transcript] = []
    lab.listen = found.append
    for cell in cells:
        try:
            run_cell(cell, lab)
        except NotStored as error:
            raise UserError(
                "the replies are not in this store; give the --store they were made in, "
                "or run the bench again"
            ) from error
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{' | '.join(cell[:2])}: {local.where(error)}") from error
    return found


def incomplete(matrix: Matrix) -> bool:
    """Whether a cell failed or a verdict is missing."""
    if any(cell.status == "failed" for cell in matrix.cells):
        return True
    asked = [asked for cell in matrix.cells for asked in cell.asks.values()]
    answers = [one for each in asked for one in (each.released, each.if_released) if one]
    if any(one.mt_bench and one.mt_bench.missing for one in answers):
        return True
    return any(None in scores for one in answers for scores in one.scores.values())


def _data(lab: Lab) -> Data | None:
    """The user's own sets, where the lab has such."""
    domain = lab.resolved.domain
    if not isinstance(domain, Texts):
        return None
    held = domain.held
    return Data(file=held.name, policy=Path(held.policy).name, sets=list(held.sets))


def matrix(grid: Grid, lab: Lab, cells: list[CellResult]) -> Matrix:
    """The results as they are written down."""
    requests, utility, borderline = lab.prompts()
    questions, named = lab.questions(), lab.rater()
    return Matrix(
        target=lab.resolved.start.name,
        target_digest=lab.resolved.start.digest,
        judges={name: judge.measure for name, judge in lab.judges.items()},
        judged_by={
            name: sorted(lab.judged_by[judge])
            for name, judge in lab.judges.items()
            if judge in lab.judged_by
        },
        calibrations={
            name: found
            for name, judge in lab.judges.items()
            if (found := calibration.latest(lab, judge))
        },
        domain=lab.resolved.domain.digest,
        caveats=lab.resolved.start.caveats(),
        data=_data(lab),
        prices={
            name: Price(read=price[0], written=price[1])
            for name, judge in wire.called(lab).items()
            if (price := judge.price())
        },
        seeds=list(range(grid.seeds)),
        prompts=PromptSet(
            ids=[prompt.id for prompt in requests],
            categories=[prompt.category for prompt in requests],
            utility=len(utility),
            borderline=len(borderline),
            digest=digest(requests, utility, borderline, *([questions] if questions else [])),
            mt_bench=len(questions),
        ),
        rater=named[0] if questions and named else "",
        cells=cells,
    )
