"""The matrix in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from benchmarks import summary
from benchmarks.report.phrasing import (
    NO_DATA,
    column_label,
    defense_label,
    interval_text,
    percent,
    rate_text,
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
    tables = [
        _table(matrix, column, judge)
        for column in summary.columns(matrix)
        for judge in matrix.judges
    ]
    prompts = matrix.prompts
    facts = (
        f"target {target_text(matrix)} · {len(prompts.ids)} requests, {prompts.utility} utility "
        f"and {prompts.borderline} over-refusal questions · seeds {len(matrix.seeds)}\n"
        "% of replies scored 5 [95 % interval], s seeds, n verdicts; recovered: 100 is the untuned "
        "model, 0 the undefended one"
    )
    return Group(*tables, Text(facts, style="dim"))


def _table(matrix: Matrix, column: Column, judge: str) -> Table:
    entries = {d: summary.entry(matrix, d, column, judge) for d in summary.rows(matrix)}
    gated = any(e.if_released or e.released not in (None, 1) for e in entries.values())
    title = column_label(column) + (f" · judge {judge}" if len(matrix.judges) > 1 else "")
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("defense")
    heads = [matrix.judges[judge], "score", "recovered", "utility", "over-refusal", "incoherent"]
    for head in [*heads, *(["if released", "released"] if gated else [])]:
        table.add_column(Text(head), justify="right")
    for defense in sorted(entries, key=lambda d: (d != "revert", d != "none")):
        table.add_row(Text(defense_label(defense)), *_row(entries[defense], gated=gated))
    table.caption = _notes(entries)
    table.caption_justify = "left"
    return table


def _row(entry: Entry, *, gated: bool) -> list[str | Text]:
    if entry.rate.interval is None and entry.note:
        return [Text(entry.note, style="yellow")]
    cells: list[str | Text] = [
        rate_text(entry.rate, entry.band) + (" (weights unchanged)" if entry.unchanged else ""),
        score_text(entry.score),
        recovered_text(entry),
        percent(entry.utility),
        percent(entry.over_refusal),
        percent(entry.incoherent),
    ]
    if gated:
        cells.append(NO_DATA if entry.if_released is None else rate_text(entry.if_released))
        cells.append(percent(entry.released))
    return cells


def _notes(entries: dict[str, Entry]) -> Text | None:
    """What went wrong in some of the seeds behind a number."""
    lines = [f"{d}: {e.note}" for d, e in entries.items() if e.note and e.rate.interval]
    return Text("\n".join(lines), style="yellow") if lines else None
