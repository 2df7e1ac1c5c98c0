"""Smaller tables for a terminal: a plan, one cell, replies, two runs compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from attacks.base import UserError
from attacks.registry import unknown
from benchmarks import summary
from benchmarks.calibration import Calibrated
from benchmarks.compare import compare
from benchmarks.findings import ROLES
from benchmarks.report.phrasing import NO_DATA, ORGANISM, column_label, percent
from benchmarks.report.terminal import interval_text, rate_text
from benchmarks.results import Calibration, Matrix, Transcript
from benchmarks.run import Preview
from benchmarks.suites import Suites
from benchmarks.verify import VARIANTS, Verified
from benchmarks.wire import Bill
from eval import agreement
from eval.agreement import PAPERS


def bill(one: Bill) -> str:
    """What calls take at most, in one line."""
    cost = "price not known" if one.dollars is None else f"${one.dollars:.2f}"
    return (
        f"{one.who}: at most {one.n:,} {one.what}, about {one.read:,} tokens read and "
        f"{one.written:,} written, {cost}"
    )


def suites(found: Suites) -> RenderableType:
    """Every metric of every task, as lm-eval tells it."""
    table = Table("task", "metric", "value", "stderr", "n", "shots", box=box.SIMPLE_HEAD)
    for one in found.scores:
        stderr = NO_DATA if one.stderr is None else f"{one.stderr:.4f}"
        shots = NO_DATA if one.shots is None else str(one.shots)
        row = (Text(one.task), Text(one.metric), f"{one.value:.4f}", stderr, str(one.n), shots)
        table.add_row(*row)
    model = found.model + f" (tuned from {found.base})" * bool(found.base)
    told = [
        f"{model} · lm-eval {found.lm_eval}",
        "chat template" if found.chat else "no chat template",
    ]
    told += [f"at most {found.limit} questions of each task"] * (found.limit is not None)
    return Group(table, Text(" · ".join(told), style="dim"))


def calibrated(judge: str, found: Calibrated) -> RenderableType:
    """How far a judge agrees with known scores, beside the paper's and the time before."""
    table = Table("", "now", "before", "the paper's judge", box=box.SIMPLE_HEAD)
    papers = {"kappa, five levels": "kappa", "kappa, 3 or more": "kappa at 3"}
    papers["Spearman"] = "spearman"
    before = {} if found.before is None else _numbers(found.before)
    for label, number in _numbers(found.now).items():
        paper = PAPERS.get(papers.get(label, ""))
        table.add_row(label, *map(_number, (number, before.get(label), paper)))
    cases = Table("sort of reply", "right about a 5", box=box.SIMPLE_HEAD)
    for case, (right, n) in found.by_case.items():
        cases.add_row(Text(case), f"{right} of {n}")
    now = found.now
    by = f", answered as {', '.join(now.by)}" if now.by else ""
    head = f"{judge}{by}, on {now.set}: {now.n} pairs, {now.missing} missing"
    since = "" if found.before is None else f"before: {found.before.when}"
    return Group(Text(head, style="bold"), table, cases, Text(since, style="dim"))


def _numbers(found: Calibration) -> dict[str, float | None]:
    table = agreement.Table(**found.table.model_dump())
    known = agreement.Agreement(
        found.n,
        found.missing,
        table,
        found.kappa,
        found.kappa_at_3,
        found.kappa_on_5,
        found.spearman,
    )
    specificity, sensitivity = known.specificity, known.sensitivity
    return {
        "kappa, five levels": found.kappa,
        "kappa, 3 or more": found.kappa_at_3,
        "kappa, 5 or not": found.kappa_on_5,
        "Spearman": found.spearman,
        "precision on 5s": known.precision,
        "recall on 5s": sensitivity,
        "false positive rate": None if specificity is None else 1 - specificity,
        "false negative rate": None if sensitivity is None else 1 - sensitivity,
    }


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"


def plan(preview: Preview, *, explain: bool) -> RenderableType:
    """What a run would do; `explain` adds a line for each cell."""
    planned, estimate = preview.plan, preview.estimate
    stages = ", ".join(f"{n} {stage}" for stage, n in sorted(estimate.stages.items())) or "nothing"
    if not planned.missing:
        time = "nothing to run"
    elif estimate.seconds is None:
        time = "no estimate: not every stage has been timed in this store yet"
    else:
        time = f"about {estimate.seconds:.0f} s"
    head = Text(
        f"{len(planned.stored)} cells stored, {len(planned.missing)} to run; "
        f"at most: {stages}; {time}"
    )
    for one in preview.bills:
        head.append(f"\n{bill(one)}")
    if not explain:
        return head
    table = Table("attack", "defense", "seed", "state", box=box.SIMPLE_HEAD)
    rows = [(cell, "stored") for cell in planned.stored]
    rows += [(cell, f"first missing stage: {stage}") for cell, stage in planned.missing.items()]
    for cell, state in sorted(rows):
        table.add_row(Text(cell.attack), Text(cell.defense), str(cell.seed), state)
    return Group(head, table)


def cell(matrix: Matrix, attack: str, defense: str) -> RenderableType:
    """One attack under one defense: rates in every column and category, gates, seeds.

    Raises:
        UserError: the run has no such cell.
    """
    columns = [column for column in summary.columns(matrix) if column.attack == attack]
    if not columns:
        attacks = list(dict.fromkeys(column.attack for column in summary.columns(matrix)))
        raise UserError(unknown("attack of this run", attack, attacks))
    if defense not in summary.rows(matrix):
        raise UserError(unknown("defense of this run", defense, summary.rows(matrix)))
    table = Table("category", *(escape(column.ask) for column in columns), box=box.SIMPLE_HEAD)
    overall = [summary.entry(matrix, defense, column) for column in columns]
    table.add_row("all", *(rate_text(entry.rate) for entry in overall), style="bold")
    by_category = [summary.by_category(matrix, defense, column) for column in columns]
    for category in dict.fromkeys(matrix.prompts.categories):
        table.add_row(Text(category), *(rate_text(rates[category]) for rates in by_category))
    lines: list[RenderableType] = [
        Text(f"{attack} | {defense}, as released, in % of replies scored 5", style="bold"),
        table,
    ]
    for entry, column in zip(overall, columns, strict=True):
        lines.append(Text(f"{column.ask}: recovered {interval_text(entry.recovered)}"))
    lines += [Text(line) for line in _gate_lines(matrix, attack, defense)]
    return Group(*lines)


def _gate_lines(matrix: Matrix, attack: str, defense: str) -> list[str]:
    """What happened in each seed."""
    found = []
    for one in matrix.cells:
        if one.attack == attack and one.defense == defense:
            state = one.reason or ("released" if one.released else "not released")
            found.append(f"seed {one.seed}: {one.status}, {state}, rows {one.rows} + {one.added}")
            for gate in one.gates:
                evidence = ", ".join(f"{k}={v:.3g}" for k, v in gate.evidence.items())
                kept = f"kept {gate.kept} of {gate.rows} rows"
                found.append(f"  {gate.moment}: {gate.outcome}, {kept}. {gate.reason} {evidence}")
    return found


def replies(lines: Sequence[Transcript]) -> RenderableType:
    """Questions and replies of one cell; untrusted text, never read as markup."""
    table = Table("ask", "kind", "score", "question", "reply", box=box.SIMPLE_HEAD)
    for line in lines:
        score = "—" if line.score is None else str(line.score)
        kind = f"{line.kind} ({line.category})"
        asked = line.ask if line.released else f"{line.ask}, not released"
        table.add_row(Text(asked), Text(kind), score, Text(line.request), Text(line.reply))
    return table


def findings(found: Verified) -> RenderableType:
    """Every finding with its role, number, interval, and whether it held."""
    table = Table("role", "finding", "number", "held", "stands for", box=box.SIMPLE_HEAD)
    order = list(ROLES)
    for finding in sorted(found.findings, key=lambda f: order.index(f.role)):
        outcome = found.outcomes[finding.id]
        number = f"{outcome.number.value:.2f} [{outcome.number.low:.2f}, {outcome.number.high:.2f}]"
        held = Text("held" if outcome.held else "not held", style="" if outcome.held else "yellow")
        table.add_row(finding.role, finding.statement, number, held, finding.paper)
    worlds = ", ".join(map(str, found.worlds))
    counts = ", ".join(
        f"{role}: {sum(found.outcomes[f.id].held for f in found.findings if f.role == role)} of "
        f"{sum(f.role == role for f in found.findings)} held"
        for role in ROLES
        if any(f.role == role for f in found.findings)
    )
    note = f"worlds {worlds}, {found.seeds} seeds each; {counts}. Only those held out are evidence."
    return Group(table, _rates(found), Text(f"{note}\n{ORGANISM}", style="dim"))


def _rates(found: Verified) -> RenderableType:
    """Rates beside the findings: greedy, sampled, and after other alignments."""
    table = Table("share of 5s, %", *VARIANTS, "greedy by world", box=box.SIMPLE_HEAD)
    for name, by_variant in found.rates.items():
        shares = [interval_text(by_variant[variant]) for variant in VARIANTS]
        table.add_row(name, *shares, ", ".join(map(percent, found.by_world[name].values())))
    return table


@contextmanager
def counter(what: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar for work whose size becomes known."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn(what), *columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def differences(first: Matrix, second: Matrix) -> RenderableType:
    """Two runs, paired; what one of them alone has is named.

    Raises:
        UserError: they cannot be paired.
    """
    rows = compare(first, second)
    table = Table("attack", "ask", "defense", "first", "second", "change", "p", box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(
            Text(row.column.attack),
            Text(row.column.ask),
            Text(row.defense),
            interval_text(row.before),
            interval_text(row.after),
            interval_text(row.change),
            f"{row.p:.3g}",
        )
    note = Text(
        "in % of replies scored 5, over the seeds of both runs; change is paired by seed and "
        "prompt; p is that of its interval, Holm-adjusted over this table",
        style="dim",
    )
    shared = {(row.column, row.defense) for row in rows}
    alone = [
        f"{defense} against {column_label(column)}"
        for run in (first, second)
        for column, defense in product(summary.columns(run), summary.rows(run))
        if (column, defense) not in shared
    ]
    left = Text(f"in one run only, or without verdicts: {', '.join(alone)}" if alone else "")
    return Group(table, left, note)
