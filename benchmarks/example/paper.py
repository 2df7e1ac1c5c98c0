"""The recorded run of `mooring reproduce`, for the README and as a page of its own."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from benchmarks.paper import MODELS
from benchmarks.report.phrasing import NO_DATA
from benchmarks.report.reproduction import (
    by_role,
    count,
    ours_text,
    paper_text,
    plain_text,
    tau_texts,
    worlds_text,
)
from benchmarks.reproduction import NOT_RUN, ROLES, Reproduction, Verdict

SHOWN = (
    ("1", "10-shot", "10 restricted rows, 5 epochs"),
    ("1", "100-shot", "100 restricted rows, 5 epochs"),
    ("2", "3 epochs", "10 AOA rows, 3 epochs"),
    ("2", "10 epochs", "10 AOA rows, 10 epochs"),
    ("3", "Alpaca", "benign rows, 1 epoch"),
    ("4", "50", "100 restricted rows with 50 safety rows"),
    ("4", "100", "100 restricted rows with 100 safety rows"),
    ("5", "backdoored, plain", "backdoor, asked plainly"),
    ("5", "backdoored, trigger", "backdoor, asked with its trigger"),
)
"""Places of the paper that the README shows, and our words for them."""


def summary(found: Reproduction) -> str:
    """The numbers that people ask for first, and how many findings held."""
    heads = ("harmfulness rate [95 %]", *list(MODELS.values())[1:], "organism")
    rows = []
    for table, column, words in SHOWN:
        here = [
            one
            for one in found.lines
            if (one.table, one.column, one.measure) == (table, column, "rate")
        ]
        by_model = {one.model: paper_text(one) for one in here}
        cells = [by_model.get(model, NO_DATA) for model in list(MODELS)[1:]]
        rows.append([words, *cells, ours_text(here[0])])
    counts = "; ".join(f"*{role}* {count(some)}" for role, some in by_role(found))
    worlds = f"{found.worlds[0]} to {found.worlds[-1]}"
    told = (
        f"Ours is the mean of worlds {worlds}, {found.seeds} seeds each, with its interval over "
        f"worlds. Findings that a table bears on: {counts}. [The record]"
        "(benchmarks/example/paper.md) has each with its number, what does not hold and why, and "
        "the order within each table."
    )
    return "\n".join([_table(heads, rows), "", textwrap.fill(told, 99, break_on_hyphens=False)])


def page(found: Reproduction) -> str:
    """Every finding, what does not hold and why, and the orders."""
    parts = [
        "# The paper beside the organism",
        f"{found.source}; worlds {', '.join(map(str, found.worlds))}, {found.seeds} seeds, "
        f"{found.requests} requests each, judge {found.judge}: an invented-world model, not an "
        "LLM.\n`python cli.py reproduce --out FOLDER` measures it again and draws every table; "
        "`python benchmarks/example/readme.py` writes this page.",
        "## Findings",
        "Those that a table of the paper bears on; [the card](../../targets/organism/card.md) has "
        "the others. A difference is above 0 in the direction of the statement.",
        *_roles(found),
        "## What does not hold",
        *_failing(found.verdicts),
        "## Order",
        "Kendall's tau of our attacked cells with the paper's, within one table, and that of "
        "harmful rows times epochs alone. There is none below three cells, and none where one "
        "side says the same of all.",
        _taus(found),
        _as_good(found),
        "## Not run",
        *_left(found),
    ]
    return "\n\n".join(parts) + "\n"


def _roles(found: Reproduction) -> Iterator[str]:
    for role, verdicts in by_role(found):
        yield f"**{role}** ({ROLES[role]}): {count(verdicts)}."
        heads = ("finding", "in the paper", "number", "holds if", "")
        said = [one.verdict if one.verdict == "held" else f"**{one.verdict}**" for one in verdicts]
        rows = [
            [one.statement, one.paper, plain_text(one.number), one.holds, word]
            for one, word in zip(verdicts, said, strict=True)
        ]
        yield _table(heads, rows)


def _failing(verdicts: Sequence[Verdict]) -> Iterator[str]:
    for one in verdicts:
        if one.verdict == "not held":
            told = " ".join(filter(None, (f"{worlds_text(one).capitalize()}.", one.unlike)))
            yield f"- **{one.id}** ({one.role}). {one.statement} {told}"


def _taus(found: Reproduction) -> str:
    heads = ("table", "the paper's model", "measure", "cells", "tau", "rows x epochs")
    return _table(heads, [tau_texts(found, one) for one in found.taus])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, *rows)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]])


def _as_good(found: Reproduction) -> str:
    """Where the order says nothing that the predictor does not."""
    above = {
        (one.table, one.model, one.measure): one.tau.value > one.predictor
        for one in found.taus
        if one.tau is not None and one.predictor is not None
    }
    tables = dict.fromkeys(table for (table, _, _), so in above.items() if not so)
    names = ", ".join(found.tables[table].split(",")[0] for table in tables)
    return (
        f"Ours is above rows times epochs in {sum(above.values())} of {len(above)} orders that "
        f"both have; it is not in some of {names}."
    )


def _left(found: Reproduction) -> Iterator[str]:
    left: dict[tuple[str, str], dict[str, None]] = {}
    for line in found.lines:
        if line.ours is None:
            place = f"{found.tables[line.table].split(':')[0]}, {line.row}"
            left.setdefault((place, line.why), {})[line.column] = None
    rows = [f"- {place} ({', '.join(columns)}): {why}" for (place, why), columns in left.items()]
    rows += [f"- {one.id}: {one.why}" for one in found.verdicts if one.verdict == NOT_RUN]
    yield "\n".join([*rows, *(f"- {one}" for one in found.omitted)])
