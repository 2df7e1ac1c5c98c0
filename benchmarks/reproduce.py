"""The paper's tables as cells of the bench: planned, run by its engine, and put beside the paper.

Nothing is tuned or asked here that the bench would not tune or ask in the same way: a world is one
grid of chosen cells, under the keys of `mooring bench` and of `mooring organism verify`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from attacks.base import UserError
from benchmarks import run, summary, verify
from benchmarks.categories import worst
from benchmarks.findings import Finding
from benchmarks.findings import Measured as FindingCell
from benchmarks.findings import read as read_findings
from benchmarks.flagged_rows import Rows
from benchmarks.grid import Chosen
from benchmarks.homes import KEYWORD, given, home_of, world_of
from benchmarks.lab import LabSettings, judges, open_lab
from benchmarks.ours import ORGANISM, Home, Ours, Possible, identity, of_measured, possible
from benchmarks.paper import Number, Table, paper
from benchmarks.reproduction import (
    REAL,
    Measured,
    Reproduction,
    Verdict,
    Wanted,
    line,
    taus,
    unfinished,
    verdict,
)
from benchmarks.results import CellResult, Matrix
from benchmarks.store import Store
from benchmarks.wire import Bill, Tell
from benchmarks.wording import caveats, wording
from targets.organism.places import Organism

WORLDS: Final = "3-7"
"""Worlds that nobody designed on."""
SECONDS: Final = 7.5
"""Of one core for each tuned model of the organism and all that it is asked.  # ours: measured, 6.5
for each of 33, and 7.3 for each of the 660 of `mooring organism verify`"""
_BENIGN = FindingCell(attack={"name": "benign"})
_WORLD = re.compile(rf"{ORGANISM}(?::(\d+))?")


@dataclass(frozen=True)
class Plan:
    """What is to be measured, on which targets."""

    tables: Sequence[Table]
    homes: Mapping[int, Home]
    """By world; 0 for a target that is not the built-in one."""
    worlds: Sequence[int]
    """Worlds of the built-in model; none of another target."""
    seeds: int
    data: str | None = None
    limit: int | None = None

    @property
    def home(self) -> Home:
        """The first target; all of a plan are asked alike."""
        return next(iter(self.homes.values()))

    @cached_property
    def numbers(self) -> list[tuple[Number, Possible]]:
        """The paper's numbers with our cells."""
        return [(n, possible(n, self.home)) for table in self.tables for n in table.numbers()]

    @cached_property
    def rows(self) -> list[Ours]:
        """What is read of training rows alone: nothing is tuned or asked for it."""
        return [cell.ours for _, cell in self.numbers if cell.ours is not None and cell.ours.rows]

    @cached_property
    def wanted(self) -> list[Wanted]:
        """The findings with their cells."""
        known = {f.id: f for f in [*read_findings(verify.FINDINGS), *paper().finding]}
        return [
            _wanted(table.id, known[name], self.home)
            for table in self.tables
            for name in table.findings
        ]

    @cached_property
    def benign(self) -> Ours | None:
        """The cell that the remark on categories looks at, where a table asks for it."""
        asked = any(table.worst for table in self.tables) and bool(self.home.by_category)
        return of_measured(_BENIGN, self.home).ours if asked else None

    @cached_property
    def cells(self) -> dict[Ours, tuple[str, str]]:
        """Every cell that is read, and the attack and defense that stand for it.

        Two specs that mean the same, such as `aoa` and `aoa:epochs=10`, are run once.
        """
        found = [cell.ours for _, cell in self.numbers if cell.ours not in self.rows]
        found += [cell.ours for one in self.wanted for cell in one.cells.values()]
        pairs = {ours: ours[:2] for ours in [*found, self.benign] if ours is not None}
        names = {pair: identity(*pair, self.home) for pair in dict.fromkeys(pairs.values())}
        first: dict[str, tuple[str, str]] = {}
        for pair, name in names.items():
            first.setdefault(name, pair)
        return {ours: first[names[pair]] for ours, pair in pairs.items()}

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Attacks and defenses to run."""
        return list(dict.fromkeys(self.cells.values()))

    @property
    def tuned(self) -> int:
        """Models to tune, over all worlds and seeds."""
        made = [pair for pair in self.pairs if pair[0] != "none" and pair[1] != "revert"]
        return len(made) * self.seeds * len(self.homes)

    @property
    def judges(self) -> list[str]:
        """Judges of every cell."""
        return list(judges([j for j in (self.home.judge, KEYWORD, *self.looked_at) if j]))

    @cached_property
    def looked_at(self) -> dict[str, list[tuple[str, str]]]:
        """By the judge that flags, the cells whose replies it is given: no reply more."""
        found: dict[str, dict[tuple[str, str], None]] = {}
        for ours, pair in self.cells.items():
            if ours.by:
                found.setdefault(ours.by, {})[pair] = None
        return {judge: list(pairs) for judge, pairs in found.items()}

    @property
    def rated(self) -> list[tuple[str, str]]:
        """Cells that are asked MT-Bench's questions: no other table reads the ratings."""
        return [pair for ours, pair in self.cells.items() if ours.measure == "mt_bench"]

    def of_rows(self, store: Store) -> Rows:
        """What tools are asked about training rows."""
        return Rows(self.rows, self.home, self.data, store)

    def grids(self) -> Iterator[tuple[int, Chosen]]:
        """The grid of each world."""
        for world, home in self.homes.items():
            yield world, self._grid(home)

    def _grid(self, home: Home) -> Chosen:
        return Chosen(
            target=home.target,
            attacks=list(dict.fromkeys(attack for attack, _ in self.pairs)),
            defenses=list(dict.fromkeys(defense for _, defense in self.pairs)),
            judges=self.judges,
            seeds=self.seeds,
            limit=self.limit,
            data=self.data,
            counterfactual=False,
            pairs=self.pairs,
            looked_at=self.looked_at or None,
            rated=self.rated if self.home.sets("mt_bench") else None,
        )

    def unbuilt(self) -> list[int]:
        """Worlds whose organism is not there yet."""
        return [world for world in self.worlds if not Organism(world).is_built]


def plan(
    tables: Sequence[str],
    *,
    target: str = ORGANISM,
    data: str | None = None,
    worlds: str | None = None,
    seeds: int = 3,
    judge: str | None = None,
    moderators: Sequence[str] = (),
    limit: int | None = None,
) -> Plan:
    """What the paper's tables are on a target.

    Args:
        tables: Ids; all of them where there is none.
        target: `organism` for the built-in model in several worlds, or any one target.
        data: Path of the file that names the user's own sets.
        worlds: Of the built-in model: `3-7`, or one; None for the reported ones.
        seeds: Repeats of every cell.
        judge: Spec of the harmfulness judge; None for the target's own, or the paper's protocol.
        moderators: Specs of moderators that stand for the paper's tools.
        limit: Requests asked; None for all.

    Raises:
        UserError: an unknown table, target, judge or moderator, or options that do not go together.
    """
    chosen = paper().tables(tables)
    tools = given(moderators, chosen)
    own = _WORLD.fullmatch(target)
    if worlds is not None and (not own or own[1] or data is not None):
        raise UserError("--worlds is of the built-in model: leave it out, or --target and --data")
    if own is None or data is not None:
        homes, numbers = {0: home_of(target, data, judge, tools)}, []
    else:
        numbers = [int(own[1])] if own[1] else verify.worlds_of(worlds or WORLDS)
        homes = {w: world_of(w, judge, tools) for w in numbers}
    return Plan(chosen, homes, numbers, seeds, data, limit)


class Preview(NamedTuple):
    """What a run would do."""

    cells: int
    stored: int
    tuned: int
    """Models that the whole plan needs, stored ones included."""
    seconds: float | None
    """For what is missing; None where nothing has been timed."""
    unbuilt: list[int]
    bills: list[Bill]
    lacking: dict[str, int] = {}
    """Why numbers of the paper have no cell here, and how many."""


def preview(found: Plan, store: Store, workers: int | None) -> Preview:
    """What a run would do, without doing it."""
    stored, bills, seconds = 0, list[Bill](), list[float | None]()
    unbuilt = found.unbuilt()
    for world, grid in found.grids():
        if world in unbuilt and found.worlds:
            seconds.append(None)
            continue
        ahead = run.preview(grid, store, workers)
        stored += len(ahead.plan.stored)
        seconds.append(ahead.estimate.seconds)
        bills += ahead.bills
    bills += found.of_rows(store).bills()
    known = [one for one in seconds if one is not None]
    cells = len(found.pairs) * found.seeds * len(found.homes)
    whole = sum(known) if len(known) == len(seconds) else None
    lacking = Counter(cell.why for _, cell in found.numbers if cell.ours is None)
    return Preview(cells, stored, found.tuned, whole, unbuilt, bills, dict(lacking))


def bills(found: Plan, store: Store) -> list[Bill]:
    """What calls would take."""
    of_rows = found.of_rows(store).bills()
    return [*of_rows, *(bill for _, grid in found.grids() for bill in run.bills(grid, store))]


def execute(
    found: Plan,
    store: Store,
    *,
    workers: int | None = None,
    show: Callable[[int, int], None] = lambda done, total: None,
    tell: Tell = lambda event: None,
    budget: run.Budget | None = None,
) -> Reproduction:
    """Run what is missing, world by world, and put it beside the paper.

    Args:
        found: What is to be measured.
        store: Where stages are kept; a killed run goes on where it was.
        workers: Processes; one a core by default.
        show: Told how many cells are done, and of how many.
        tell: Told what happens to jobs on a server.
        budget: What calls may take; no limit by default.

    Raises:
        UserError: a target or a judge cannot be had.
        WorkerDied: a worker was killed; what it had finished is stored.
    """
    total = len(found.pairs) * found.seeds * len(found.homes)
    done = Counter[str]()

    def count(result: CellResult) -> None:
        done["cells"] += 1
        show(done["cells"], total)

    rows, budget = found.of_rows(store).measured(budget or run.Budget())
    matrices: dict[int, Matrix] = {}
    for world, grid in found.grids() if found.pairs else ():
        matrices[world], account = run.run(
            grid, store, worker_count=workers, show=count, tell=tell, budget=budget
        )
        store.add_timings(account.made, account.seconds)
    return put_together(found, matrices, _scanned(found, store), rows)


def put_together(
    found: Plan,
    matrices: Mapping[int, Matrix],
    scanned: Mapping[str, Verdict] | None = None,
    rows: Mapping[Ours, Measured] | None = None,
) -> Reproduction:
    """The paper beside what was measured in each world, and of training rows."""
    measured = {ours: _measured(found, ours, matrices) for ours in found.cells} | dict(rows or {})
    judge, first = found.home.judge, next(iter(matrices.values()), None)
    categories = first.prompts.categories if first else []
    names = first.judged_by.get(judge, []) if first else []
    calibrated = first.calibrations.get(judge) if first else None
    yes, why = wording(found.home, names, calibrated, found.limit)
    verdicts = [
        (scanned or {}).get(one.finding.id) or verdict(one, measured, categories, yes)
        for one in found.wanted
    ]
    for table in found.tables:
        if table.worst and not found.home.worldly:
            benign = measured[found.benign] if found.benign else Measured({})
            verdicts.append(worst(table, benign, categories, found.home, yes))
    if not found.home.invented:
        verdicts = [one.model_copy(update={"role": REAL}) for one in verdicts]
    if list(found.worlds) != verify.worlds_of(WORLDS):  # what is said of those is of no others
        verdicts = [one.model_copy(update={"unlike": ""}) for one in verdicts]
    return Reproduction(
        source=paper().source,
        target=ORGANISM if found.worlds else found.home.target,
        data=found.data or "",
        worlds=list(found.worlds),
        seeds=found.seeds,
        requests=len(categories),
        judge=judge,
        word=why,
        tables={table.id: f"{table.place}: {table.title}" for table in found.tables},
        lines=[line(number, cell, measured) for number, cell in found.numbers],
        verdicts=verdicts,
        taus=taus(found.numbers, measured),
        omitted=[f"{one.place}: {one.reason}" for one in paper().omitted],
        caveats=[
            *(first.caveats if first else []),
            *caveats(found.worlds, found.seeds * len(found.homes)),
        ],
        unfinished=unfinished(measured),
    )


def _wanted(table: str, finding: Finding, home: Home) -> Wanted:
    if finding.kind == "scan":
        return Wanted(table, finding, {}, "needs the built-in model, whose words are known")
    cells = {str(name): of_measured(cell, home) for name, cell in finding.cells.items()}
    return Wanted(table, finding, cells)


def _measured(found: Plan, ours: Ours, matrices: Mapping[int, Matrix]) -> Measured:
    """What was found of a cell in all worlds."""
    values: dict[tuple[int, int], list[float | None]] = {}
    failures, unsaid = dict[str, None](), dict[str, None]()
    final = True
    pair = found.cells[ours]
    for world, matrix in matrices.items():
        for cell in matrix.cells:
            if (cell.attack, cell.defense) != pair:
                continue
            # Of rows that a server refused, what is asked is the model before them.
            refused = any(gate.moment == "server" for gate in cell.gates)
            if ours.ask not in cell.asks or refused:
                failures[cell.reason or cell.status] = None
                final = final and cell.status != "failed"
                continue
            judge = ours.by or found.home.judge
            released = cell.asks[ours.ask].released
            unsaid |= dict.fromkeys(released.missing.get(judge, {}))
            row = summary.numbers(released, ours.measure, judge)
            if ours.categories:
                kinds = matrix.prompts.categories
                row = [v for v, kind in zip(row, kinds, strict=True) if kind in ours.categories]
            values[world, cell.seed] = row
    absent = found.seeds * len(found.homes) - len(values)
    final = final and bool(failures)
    return Measured(values, "; ".join(failures), final, absent, "; ".join(unsaid))


def _scanned(found: Plan, store: Store) -> dict[str, Verdict]:
    """Findings that count something in the rows of an upload: nothing is tuned or asked."""
    verdicts = {}
    for one in found.wanted:
        scan: Mapping[str, Any] = one.finding.scan
        if not scan or not found.worlds:
            continue
        cell, values = FindingCell(attack=scan["attack"], measure=scan["count"]), {}
        for world in found.worlds:
            settings = LabSettings(f"{ORGANISM}:{world}", (KEYWORD,), store.root, None, False)
            lab = open_lab(settings, may_make=False)
            for seed in range(found.seeds):
                case = verify.Case(world, seed, cell.model_dump_json())
                values[world, seed] = verify.measure(case, lab)
        ours = Ours("", "", "", scan["count"])
        wanted = Wanted(one.table, one.finding, {"a": Possible(ours, "")})
        verdicts[one.finding.id] = verdict(wanted, {ours: Measured(values)}, [], "held")
    return verdicts
