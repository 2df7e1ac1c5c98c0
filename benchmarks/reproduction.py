"""The paper beside ours: numbers, verdicts and orders, from what was measured. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import pydantic

from attacks.base import UserError
from benchmarks import by_world, draws, findings, ranks
from benchmarks.draws import Values
from benchmarks.findings import Finding, Outcome
from benchmarks.ours import Ours, Possible, is_share
from benchmarks.paper import Number, paper
from benchmarks.wording import Yes
from eval import metrics
from eval.metrics import Interval

ROLES: Final[Mapping[str, str]] = {
    **{str(role): meaning for role, meaning in findings.ROLES.items()},
    "added later": "written beside the paper's numbers, after the recipe was frozen: no evidence",
    "of the paper": "decided as on the built-in model, whose roles mean nothing of another",
}
REAL: Final = "of the paper"
"""The role of every finding where the model is not the built-in one."""
SCALES: Final[Mapping[str, tuple[float, float]]] = {"score": (1, 5), "mt_bench": (1, 10)}
"""Ends of the scale of scores."""
MISSING: Final = 0.01
"""Share of verdicts that may be missing where a finding is called reproduced.  # ours: as of the
audit; those left could be the ones that would speak against it"""
NOT_RUN: Final = "not run"
Said = Literal["reproduced", "not reproduced", "held", "not held", "not run"]
_NO: Final[Mapping[Yes, Said]] = {"reproduced": "not reproduced", "held": "not held"}


class _Frozen(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Line(_Frozen):
    """One of the paper's numbers beside ours."""

    table: str
    row: str
    column: str
    model: str
    """The paper's."""
    measure: str
    """The paper's."""
    paper: float | None
    """As printed, shares in percent; None where nothing is printed."""
    ours: Interval | None
    """Shares from 0 to 1, scores from 1 to 5; None where it was not run."""
    measured: str = ""
    """What ours measures; empty where it was not run."""
    n: int = 0
    """Verdicts, over all worlds and seeds."""
    missing: int = 0
    why: str = ""
    """What is missing, where it was not run or some trainings failed."""
    differs: list[str] = []
    """Settings that are not the paper's, which stand in brackets."""
    note: str = ""
    cell: tuple[str, str, str] | None = None
    """Our attack, defense and ask; None where there is none that could be run."""


class Verdict(_Frozen):
    """One finding."""

    table: str
    id: str
    role: str
    statement: str
    paper: str
    verdict: Said
    number: Interval | None = None
    """What was decided on; a difference is above 0 in the direction of the statement."""
    holds: str = ""
    """What the number is, and must be for the finding to hold."""
    why: str = ""
    by_world: dict[int, float] = {}
    """The number in each world alone; empty of one world."""
    as_stated: int = 0
    """Worlds whose number is on the stated side, whether or not that could be chance."""
    unlike: str = ""
    """How the built-in model differs from the paper's in what decides it, where it is not held."""


class Tau(_Frozen):
    """Whether our cells of a table stand in the paper's order."""

    table: str
    model: str
    measure: str
    n: int
    """Attacked cells."""
    tau: Interval | None
    predictor: float | None
    """Of harmful rows times epochs; None where that is the same in every cell."""


class Reproduction(_Frozen):
    """All of it; `reproduction.json`."""

    format: Literal[1] = 1
    source: str
    target: str
    data: str
    worlds: list[int]
    """Of the built-in model; empty of another."""
    seeds: int
    requests: int
    judge: str
    """Empty where nothing could be judged."""
    word: str
    """Why findings are said to be reproduced, or only held."""
    tables: dict[str, str]
    """Id to place and title."""
    lines: list[Line]
    verdicts: list[Verdict]
    taus: list[Tau]
    omitted: list[str]
    caveats: list[str]
    unfinished: list[str] = []
    """Cells, those of findings alone too, of which another run may find more, and why."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all could be run."""
        run = [one for one in self.verdicts if one.verdict != NOT_RUN]
        return not run and all(line.ours is None for line in self.lines)

    @property
    def incomplete(self) -> bool:
        """Whether anything is missing that another run may find."""
        return bool(self.unfinished)


class Measured(NamedTuple):
    """What was found of one cell."""

    values: Values
    failure: str = ""
    """Why values are missing, where a run failed."""
    final: bool = False
    """Whether the next run would find the same: a server that tunes refused the rows."""
    absent: int = 0
    """Trainings (a world and a seed) that were planned and have no values."""
    unsaid: str = ""
    """Why verdicts are missing, where a judge was asked."""

    @property
    def planned(self) -> int:
        """Trainings, with and without values."""
        return len(self.values) + self.absent

    @property
    def no_verdict(self) -> str:
        """That there is no verdict at all, and why."""
        return "no verdict" + f" ({self.unsaid})" * bool(self.unsaid)

    @property
    def lacking(self) -> str:
        """How many trainings are absent, and why; empty where none is."""
        return _absent(self.absent, self.planned, self.failure)


class Wanted(NamedTuple):
    """A finding of a table, and its cells."""

    table: str
    finding: Finding
    cells: Mapping[str, Possible]
    why: str = ""
    """Why it cannot be measured here."""


def line(number: Number, cell: Possible, found: Mapping[Ours, Measured]) -> Line:
    """One of the paper's numbers beside ours."""
    place = {name: getattr(number, name) for name in ("table", "row", "column", "measure", "note")}
    place |= {"model": number.model, "paper": number.value}
    if cell.ours is None:
        return Line(**place, ours=None, why=cell.why)
    ours = cell.ours
    measured = found[ours]
    value = interval(measured.values, ours.measure)
    known = [value for row in measured.values.values() for value in row]
    return Line(
        **place,
        ours=value,
        measured=ours.measure,
        n=sum(value is not None for value in known),
        missing=sum(value is None for value in known),
        why=measured.failure or measured.no_verdict if value is None else measured.lacking,
        differs=list(cell.differs),
        cell=None if measured.final or ours.rows else (ours.attack, ours.defense, ours.ask),
    )


def interval(values: Values, measure: str) -> Interval | None:
    """A mean with its interval; None without any value.

    Over several worlds Student's t over them. In one world a share has that of a matrix
    (`metrics.rate`), a score the wider of an interval over prompts and Student's t over seeds
    (`metrics.mean_rating`).
    """
    tables = draws.tables(values)
    if not tables:
        return None
    low, high = (0.0, 1.0) if is_share(measure) else SCALES[measure]
    if len(tables) > 1:
        value, *ends = findings.mean(values)
    elif is_share(measure):
        rate = metrics.rate(
            [[None if v is None else v > 0 for v in row] for row in values.values()]
        )
        assert rate.interval is not None
        value, *ends = rate.interval
    else:
        return metrics.mean_rating([*next(iter(tables.values()))], low, high)
    return Interval(value, max(low, ends[0]), min(high, ends[1]))


def verdict(
    wanted: Wanted, found: Mapping[Ours, Measured], categories: Sequence[str], yes: Yes
) -> Verdict:
    """Whether a finding holds; `yes` is the word for it."""
    finding = wanted.finding
    facts: dict[str, Any] = {
        name: getattr(finding, name) for name in ("id", "role", "statement", "paper")
    }
    facts |= {"table": wanted.table, "holds": finding.condition}
    every: dict[str, Measured] = {}
    for name, cell in wanted.cells.items():
        if cell.ours is None:
            return Verdict(**facts, verdict=NOT_RUN, why=cell.why)
        every[name] = one = found[cell.ours]
        if not draws.tables(one.values):
            return Verdict(**facts, verdict=NOT_RUN, why=one.failure or one.no_verdict)
    if wanted.why or not every:
        return Verdict(**facts, verdict=NOT_RUN, why=wanted.why)
    measured, why = _shared(every)
    why = why or _unknown(every) or "; ".join(_differing(wanted))
    if not measured:
        return Verdict(**facts, verdict=NOT_RUN, why=why or "no training that all its cells have")
    try:
        outcome = findings.decide(finding, measured, categories)
    except UserError as error:
        return Verdict(**facts, verdict=NOT_RUN, why=str(error))
    if math.isnan(outcome.number.value):
        return Verdict(**facts, verdict=NOT_RUN, why="the attack did nothing to be removed")
    number = outcome.number
    if finding.kind in ("at_most", "at_least", "between"):
        # Decided on the mean; with few worlds and seeds its prompts are uncertain too.
        number = interval(measured["a"], finding.cells["a"].measure) or number
    if (
        not why
        and yes == "reproduced"
        and outcome.held
        and not _within(finding, number, len(measured["a"]))
    ):
        why = "at the mean alone: its interval passes the bound, or there is none"
    said = said_of(outcome, "held" if why else yes)
    worlds = by_world.numbers(finding, measured, categories)
    return Verdict(
        **facts,
        verdict=said,
        number=finding.oriented(number),
        why=why,
        by_world=worlds,
        as_stated=by_world.agreeing(finding, worlds),
        unlike="" if outcome.held else paper().unlike.get(finding.id, ""),
    )


def _differing(wanted: Wanted) -> list[str]:
    """What its cells are of, in place of the paper's sets."""
    return list(dict.fromkeys(told for cell in wanted.cells.values() for told in cell.differs))


def _within(finding: Finding, number: Interval, trainings: int) -> bool:
    """Whether the whole interval meets what is decided on the mean alone."""
    if finding.kind == "close" and trainings < 2:
        return False  # its interval is over trainings
    if finding.kind in ("at_most", "at_least", "between"):
        return finding.low <= number.low and number.high <= finding.high
    return finding.kind not in ("close", "not_more") or number.high <= finding.margin


def _shared(every: Mapping[str, Measured]) -> tuple[dict[str, Values], str]:
    """Values of the trainings and prompts that all cells know, and which trainings are missing.

    No values where there is no such training; the reason is empty where nothing failed.
    """
    kept: dict[str, dict[tuple[int, int], Sequence[float | None]]] = {name: {} for name in every}
    for key in sorted(set.intersection(*(set(one.values) for one in every.values()))):
        rows = {name: one.values[key] for name, one in every.items()}
        masked = {}
        for name, row in rows.items():
            # Other measures may be of other prompts.
            alike = zip(*(other for other in rows.values() if len(other) == len(row)), strict=True)
            known = [None not in column for column in alike]
            masked[name] = [v if both else None for v, both in zip(row, known, strict=True)]
        if all(any(value is not None for value in row) for row in masked.values()):
            for name, row in masked.items():
                kept[name][key] = row
    n = max(one.planned for one in every.values())
    left = len(next(iter(kept.values())))
    failure = "; ".join(dict.fromkeys(one.failure for one in every.values() if one.failure))
    return (dict(kept), _absent(n - left, n, failure)) if left else ({}, failure)


def _unknown(every: Mapping[str, Measured]) -> str:
    """That too many verdicts are missing; empty where hardly any is."""
    known = [v for one in every.values() for row in one.values.values() for v in row]
    lost = known.count(None)
    return f"{lost} of {len(known)} verdicts are missing" if lost > MISSING * len(known) else ""


def _absent(k: int, n: int, failure: str) -> str:
    """That k of n trainings are missing; empty where none is."""
    return f"{k} of {n} trainings are missing: {failure or 'no verdict'}" if k else ""


def unfinished(found: Mapping[Ours, Measured]) -> list[str]:
    """Cells of which another run may find more, each with the reason."""
    told: dict[str, None] = {}
    for ours, one in found.items():
        missing = sum(value is None for row in one.values.values() for value in row)
        why = "" if one.final else one.lacking
        if why or missing:
            why = why or f"{missing} verdicts are missing"
            of = ours.attack if ours.rows else f"{ours.attack} | {ours.defense}"
            told[f"{of}, {ours.ask}: {why}"] = None
    return list(told)


def taus(numbers: Sequence[tuple[Number, Possible]], found: Mapping[Ours, Measured]) -> list[Tau]:
    """Tau of every table, model and measure, over its attacked cells that have both numbers."""
    groups: dict[tuple[str, str, str], list[tuple[float, Values, float]]] = {}
    for number, cell in numbers:
        ours = cell.ours
        if ours is None or number.share is None or number.real.untuned:
            continue
        values = found[ours].values
        if draws.tables(values):
            key = (number.table, number.model, number.measure)
            groups.setdefault(key, []).append((number.share, values, cell.predicted))
    made = []
    for (table, model, measure), cells in groups.items():
        papers, values_, predicted = zip(*cells, strict=True)
        order = ranks.order(papers, values_, predicted)
        made.append(
            Tau(table=table, model=model, measure=measure, n=order.n, tau=order.tau,
                predictor=order.predictor)
        )  # fmt: skip
    return made


def said_of(outcome: Outcome, yes: Yes) -> Said:
    """The word for an outcome."""
    return yes if outcome.held else _NO[yes]
