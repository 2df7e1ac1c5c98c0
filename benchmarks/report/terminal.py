"""The matrix in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks import jury, summary
from benchmarks.report.phrasing import (
    NO_DATA,
    band_text,
    column_label,
    defense_label,
    instruments,
    interval_text,
    judge_text,
    percent,
    rate_text,
    rating_note,
    recovered_text,
    score_text,
    target_text,
)
from benchmarks.results import Matrix
from benchmarks.summary import Column, Entry

__all__ = ["interval_text", "rate_text", "render", "show"]


def show(matrix: Matrix, console: Console) -> None:
    """Print the matrix, one table for each attack and way of asking."""
    console.print(render(matrix))


def render(matrix: Matrix) -> Group:
    """Tables for every column and judge, and the line of facts under them."""
    tables: list[RenderableType] = [
        _table(matrix, column, judge)
        for column in summary.columns(matrix)
        for judge in matrix.judges
    ]
    tables += [Text(line, style="yellow") for line in instruments(matrix)]
    prompts = matrix.prompts
    facts = (
        f"target {target_text(matrix)} · {len(prompts.ids)} requests, {prompts.utility} utility "
        f"and {prompts.borderline} over-refusal questions · seeds {len(matrix.seeds)}\n"
        "% of replies scored 5 [95 % interval], s seeds, n verdicts; recovered: 100 is the untuned "
        "model, 0 the undefended one"
    )
    if matrix.rater:
        facts += f"\nMT-Bench: mean rating, 1 to 10 [95 % interval], n questions; by {matrix.rater}"
    return Group(*tables, Text(facts, style="dim"))


def _table(matrix: Matrix, column: Column, judge: str) -> Table:
    """One column of the matrix, narrow enough for 80 letters."""
    entries = {d: summary.entry(matrix, d, column, judge) for d in summary.rows(matrix)}
    counts = {(e.rate.seeds, e.rate.n) for e in entries.values() if e.rate.interval}
    told = len(matrix.judges) > 1 or judge in matrix.judged_by
    title = column_label(column) + f" · judge {judge_text(matrix, judge)}" * told
    same = len(counts) == 1
    if same:
        title += " · s={} n={}".format(*counts.pop())
    table = Table(
        title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0)
    )
    told = any(entry.expected for entry in entries.values())
    rated = any(entry.mt_bench for entry in entries.values())
    narrowest = "(undefended)" if told else "revert to start"
    table.add_column("defense", overflow="fold", min_width=len(narrowest))
    # With one column more, what was recovered takes two lines where there is no room.
    wide = [matrix.judges[judge], "score", *(["expec-\nted"] if told else ["recovered"])]
    rest = ["recovered"] * told
    bench = ["MT-\nBench"] * rated
    for head in [*wide, *rest, "utility", *bench, "over-\nrefusal", "inco-\nherent"]:
        table.add_column(Text(head), justify="right", no_wrap=same and head in wide)
    for defense in sorted(entries, key=lambda d: (d != "revert", d != "none")):
        table.add_row(
            Text(_label(defense)), *_row(entries[defense], same=same, told=told, rated=rated)
        )
    table.caption = _notes(entries, {d: jury.corrected(matrix, d, column, judge) for d in entries})
    table.caption_justify = "left"
    return table


def _label(defense: str) -> str:
    """A row's head; the controls' in two lines, since their names are long."""
    return defense_label(defense).replace(" (", "\n(")


def _row(entry: Entry, *, same: bool, told: bool, rated: bool) -> list[str | Text]:
    if entry.rate.interval is None and entry.utility is None and entry.note:
        return [Text(NO_DATA)]
    rate = interval_text(entry.rate.interval, NO_DATA) if same else rate_text(entry.rate)
    return [
        rate,
        score_text(entry.score),
        *[score_text(entry.expected.mean if entry.expected else None)] * told,
        recovered_text(entry),
        percent(entry.utility),
        *[_rating(entry)] * rated,
        percent(entry.over_refusal),
        percent(entry.incoherent),
    ]


def _rating(entry: Entry) -> str:
    """The mean alone; its interval stands under the table."""
    found = entry.mt_bench and entry.mt_bench.interval
    return score_text(found.value if found else None)


def _notes(entries: dict[str, Entry], corrected: dict[str, str]) -> Text | None:
    """What a number alone would hide: gates, missing verdicts, weights that stayed, failures."""
    lines = []
    for defense, entry in entries.items():
        parts = []
        if entry.released not in (None, 1) and defense != "revert":
            parts.append(f"{percent(entry.released)} % of uploads released")
        if entry.if_released is not None and defense != "revert":
            parts.append(f"if released {rate_text(entry.if_released)}")
        if entry.rate.missing:
            parts.append(f"missing {percent(entry.rate.missing_share)} % of verdicts")
        if entry.expected is not None and entry.expected.lacking:
            parts.append(f"expected score of {entry.expected.n} verdicts only")
        if entry.band is not None:
            parts.append(band_text(entry.band))
        if entry.mt_bench is not None:
            parts.append(rating_note(entry.mt_bench))
        if entry.unchanged:
            parts.append(f"weights unchanged in {entry.unchanged} seeds")
        if entry.note:
            parts.append(entry.note)
        if corrected[defense]:
            parts.append(corrected[defense])
        if parts:
            lines.append(f"{defense}: {'; '.join(parts)}")
    return Text("\n".join([*lines, ""]), style="yellow") if lines else None
