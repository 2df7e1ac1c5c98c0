"""The paper beside ours: for a terminal, as a page, and as files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.ours import is_share
from benchmarks.paper import MODELS, SHARES
from benchmarks.report import style
from benchmarks.report.phrasing import NO_DATA, disclaimer, interval_text
from benchmarks.reproduce import SECONDS, Preview
from benchmarks.reproduction import NOT_RUN, ROLES, Line, Reproduction, Tau, Verdict
from benchmarks.store import write_whole
from eval.metrics import Interval

RESULT, PAGE = "reproduction.json", "reproduction.html"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""No script, no network, no image."""
_TEMPLATES = Path(__file__).resolve().parent / "templates"
_WORDS = {
    "rate": "harmfulness rate, %",
    "score": "score, 1 to 5",
    "keyword": "keyword rate, %",
    "flagged": "flagged, %",
    "mt_bench": "MT-Bench, 1 to 10",
    "utility": "utility, %",
}


class Shown(NamedTuple):
    """A place of a table, with every measure of it."""

    row: str
    column: str
    papers: list[str]
    ours: list[str]
    n: str
    level: float | None
    """Our share, for a colour; None where there is none."""
    differs: str
    why: str
    note: str


def write(folder: Path, found: Reproduction) -> Path:
    """Write both files, each whole or not at all, the numbers last; where the page is."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / PAGE, page(found).encode())
    write_whole(folder / RESULT, (found.model_dump_json(indent=1) + "\n").encode())
    return folder / PAGE


def page(found: Reproduction) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("reproduction.html.jinja").render(
        policy=POLICY,
        found=found,
        disclaimer=_disclaimer(found),
        facts=_facts(found),
        tables=[_section(found, name) for name in found.tables],
        roles=[
            {
                "role": role,
                "meaning": ROLES[role],
                "count": count(verdicts),
                "verdicts": [_verdict(one) for one in verdicts],
            }
            for role, verdicts in by_role(found)
        ],
        errors=_errors(),
    )


def result(found: Reproduction) -> RenderableType:
    """Every table, then what is found of each finding."""
    parts: list[RenderableType] = []
    for name in found.tables:
        if lines := [line for line in found.lines if line.table == name]:
            parts += [_table(found, name, lines), Text()]
    parts += _verdicts(found)
    if found.taus:
        parts += [_taus(found), Text()]
    parts += [Text(f"not reproduced: {one}", style="dim") for one in found.omitted]
    parts += [Text(one, style="yellow") for one in found.caveats]
    counts = "; ".join(f"{role}: {count(some)}" for role, some in by_role(found))
    head = f"{_facts(found)}. {_disclaimer(found)}; {found.word}."
    return Group(*parts, Text(f"{counts or 'no finding'}.\n{head}", style="dim"))


def ahead(found: Preview) -> str:
    """What a run would do, in words."""
    left = found.cells - found.stored
    told = f"{found.cells} cells, {found.tuned} tuned models; {found.stored} cells stored, "
    told += f"{left} to run"
    if found.unbuilt:
        worlds = ", ".join(map(str, found.unbuilt))
        told += f"; the organisms of worlds {worlds} are built first, some minutes each"
    if left and found.seconds is None:
        told += (
            "; not every stage has been timed in this store yet: on the organism about "
            f"{SECONDS:g} s of one core for each tuned model, {found.tuned * SECONDS / 60:.0f} "
            "minutes of one core for all"
        )
    elif left and found.seconds is not None:
        minutes = math.ceil(found.seconds / 60)
        told += f"; at most about {minutes} minute{'s' * (minutes != 1)}"
    lacking = (f"not run, {n} numbers: {why}" for why, n in found.lacking.items())
    return "\n".join([told, *lacking])


def shown(lines: Sequence[Line]) -> Iterator[Shown]:
    """Lines of one place together: several measures of one cell."""
    for (row, column), some in groupby(lines_by_place(lines), lambda one: (one.row, one.column)):
        group = list(some)
        first = group[-1]
        yield Shown(
            row=row,
            column=column,
            papers=[paper_text(line) for line in group],
            ours=[ours_text(line) for line in group],
            n=str(first.n) + f", {first.missing} missing" * bool(first.missing) if first.n else "",
            level=_level(group),
            differs="; ".join(first.differs),
            why=_why(group),
            note=first.note,
        )


def _why(lines: Sequence[Line]) -> str:
    """What is missing at a place; `not run` only where it has no number at all."""
    if all(line.ours is None for line in lines):
        return next((f"{NOT_RUN}: {line.why}" for line in lines if line.why), "")
    told = [
        line.why if line.ours else f"no {_WORDS[line.measure].split(',')[0]}: {line.why}"
        for line in lines
        if line.why
    ]
    return "; ".join(dict.fromkeys(told))


def lines_by_place(lines: Sequence[Line]) -> list[Line]:
    """In the paper's order, measures of one place beside each other."""
    places = list(dict.fromkeys((line.row, line.column) for line in lines))
    return sorted(lines, key=lambda line: places.index((line.row, line.column)))


def paper_text(line: Line) -> str:
    """The paper's number, as it prints it."""
    if line.paper is None:
        return NO_DATA
    return f"{line.paper:g} %" if line.measure in SHARES else f"{line.paper:.2f}"


def ours_text(line: Line) -> str:
    """Our number with its interval."""
    if line.ours is None:
        return NO_DATA
    if is_share(line.measured):
        return interval_text(line.ours)
    return plain_text(line.ours)


def plain_text(interval: Interval | None) -> str:
    """A number that is no share, with its interval."""
    if interval is None:
        return NO_DATA
    value, low, high = interval
    return f"{value:z.2f} [{low:z.2f}, {high:z.2f}]"


def _table(found: Reproduction, name: str, lines: Sequence[Line]) -> RenderableType:
    table = Table(title=found.tables[name], title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    table.add_column("")
    for head in ("paper", "ours", "n"):
        table.add_column(head, justify="right")
    left: dict[str, list[str]] = {}
    for one in shown(lines):
        if one.why:
            left.setdefault(f"{one.row}: {one.why}", []).append(one.column)
            if all(ours == NO_DATA for ours in one.ours):
                continue
        table.add_row(
            Text(one.row), Text(one.column), " · ".join(one.papers), " · ".join(one.ours), one.n
        )
    notes = [f"{', '.join(columns)} of {told}" for told, columns in left.items()]
    if differing := _differing(lines):
        notes.append(f"ours (the paper's): {differing}")
    measures = " · ".join(dict.fromkeys(_WORDS[line.measure] for line in lines))
    return Group(
        *([table] if table.row_count else [Text(found.tables[name], style="italic")]),
        Text(measures, style="dim"),
        *(Text(note, style="dim") for note in notes),
    )


def _differing(lines: Sequence[Line]) -> str:
    """Every setting that differs somewhere in a table, once."""
    return "; ".join(dict.fromkeys(told for line in lines for told in line.differs))


def _verdicts(found: Reproduction) -> Iterator[RenderableType]:
    """A table for each role, and under it what was not run or stands on less than was planned."""
    for role, verdicts in by_role(found):
        table = Table(
            title=f"{role}: {count(verdicts)}", title_justify="left", box=None, pad_edge=False
        )
        table.add_column("finding", ratio=3)
        table.add_column("number", justify="right", no_wrap=True)
        table.add_column("holds if", ratio=1)
        table.add_column("", no_wrap=True)
        table.add_column("in the paper", ratio=2)
        under: dict[str, list[str]] = {}
        for one in verdicts:
            if one.verdict == NOT_RUN:
                under.setdefault(f"{NOT_RUN}, {one.why}", []).append(one.id)
                continue
            told = _verdict(one)
            style_ = "" if told["well"] else "yellow"
            table.add_row(
                Text(one.statement), told["number"], Text(one.holds), Text(one.verdict, style_),
                Text(one.paper),
            )  # fmt: skip
            if one.why:
                under.setdefault(f"{one.verdict}, {one.why}", []).append(one.id)
        yield table if table.row_count else Text(str(table.title), style="italic")
        for why, ids in under.items():
            yield Text(f"{why}: {', '.join(ids)}", style="dim")
        for one in verdicts:
            told = _verdict(one)
            if one.verdict != NOT_RUN and not told["well"] and (told["worlds"] or one.unlike):
                said = ". ".join(filter(None, (told["worlds"], one.unlike)))
                yield Text(f"{one.id}, {one.verdict}: {said}", style="dim")
        yield Text()


def _verdict(one: Verdict) -> dict[str, Any]:
    why = f": {one.why}" if one.why else ""
    return {
        "one": one,
        "number": plain_text(one.number),
        "verdict": one.verdict + why,
        "well": one.verdict in ("held", "reproduced"),
        "worlds": worlds_text(one),
    }


def worlds_text(one: Verdict) -> str:
    """A finding's number in each world, and in how many it is as stated; empty of one world."""
    if not one.by_world:
        return ""
    numbers = ", ".join(f"{number:z.2f}" for number in one.by_world.values())
    return f"by world {numbers}: as stated in {one.as_stated} of {len(one.by_world)}"


def _taus(found: Reproduction) -> Table:
    table = Table(
        title="Kendall's tau with the paper, attacked cells of one table",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for head in ("table", "the paper's model", "measure"):
        table.add_column(head)
    for head in ("cells", "tau", "of harmful rows x epochs"):
        table.add_column(head, justify="right")
    for one in found.taus:
        table.add_row(*tau_texts(found, one))
    table.caption = (
        "[95 %: bootstrap over our worlds, seeds and prompts]; no tau below three cells, and none "
        "where one side says the same of every cell"
    )
    table.caption_justify = "left"
    return table


def tau_texts(found: Reproduction, one: Tau) -> list[str]:
    """An order, as cells of a table."""
    return [
        found.tables[one.table].split(",")[0].split(":")[0],
        MODELS[one.model],
        _WORDS[one.measure].split(",")[0],
        str(one.n),
        plain_text(one.tau),
        NO_DATA if one.predictor is None else f"{one.predictor:.2f}",
    ]


def _section(found: Reproduction, name: str) -> dict[str, Any]:
    lines = [line for line in found.lines if line.table == name]
    rows = []
    for one in shown(lines):
        fill = "transparent" if one.level is None else style.heat(one.level)
        ink = "inherit" if one.level is None else style.on(fill)
        rows.append({"shown": one, "fill": fill, "ink": ink})
    return {
        "id": name,
        "title": found.tables[name],
        "rows": rows,
        "measures": " · ".join(dict.fromkeys(_WORDS[line.measure] for line in lines)),
        "verdicts": [_verdict(one) for one in found.verdicts if one.table == name],
        "taus": [tau_texts(found, one) for one in found.taus if one.table == name],
    }


def _errors() -> list[dict[str, str]]:
    from benchmarks.paper import paper

    return [
        {
            "who": e.copy_,
            "place": f"{e.table}, {e.row}, {e.column}",
            "says": e.says,
            "right": e.right,
        }
        for e in paper().error
    ]


def _level(lines: Sequence[Line]) -> float | None:
    for line in lines:
        if line.ours is not None and line.measured in ("rate", "keyword"):
            return line.ours.value
    return None


def by_role(found: Reproduction) -> Iterator[tuple[str, list[Verdict]]]:
    """Findings of each role that has any."""
    for role in ROLES:
        if verdicts := [one for one in found.verdicts if one.role == role]:
            yield role, verdicts


def count(verdicts: Sequence[Verdict]) -> str:
    """`5 of 9 held`, or what was reproduced and what only held, with what was not run."""
    run = [one.verdict for one in verdicts if one.verdict != NOT_RUN]
    held, left = run.count("held"), len(verdicts) - len(run)
    if any("reproduced" in verdict for verdict in run):
        told = f"{run.count('reproduced')} of {len(run)} reproduced" + f", {held} held" * bool(held)
    else:
        told = f"{held} of {len(run)} held"
    return told + f", {left} not run" * bool(left)


def _facts(found: Reproduction) -> str:
    worlds = f"worlds {', '.join(map(str, found.worlds))}, " if found.worlds else ""
    data = f"data {found.data}, " if found.data else ""
    return (
        f"{found.source} beside {found.target}: {worlds}{data}{found.seeds} seeds, "
        f"{found.requests} requests, greedy replies of one turn, judge {found.judge or 'none'}"
    )


def _disclaimer(found: Reproduction) -> str:
    told = disclaimer(found.target)
    return f"asked about the sets of {found.data}" if found.data else told
