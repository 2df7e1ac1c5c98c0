"""What a gate benchmark found, for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.gates.results import Adaptive, GateResult, Line, Share
from benchmarks.report.phrasing import NO_DATA, interval_text, percent

ELSEWHERE = (
    "another setting, not comparable: 56.2 % detection at 1 % false alarms, by an auditing agent "
    "on real models (arXiv 2510.16255)"
)
SEARCHED = "hostile uploads changed until they pass"


def result(found: GateResult, worst: int = 3) -> RenderableType:
    """The table of lines, the families, and what the gate decided."""
    parts: list[RenderableType] = [_lines(found), _families(found), _answers(found)]
    if found.adaptive is not None:
        # Not a caption: the table is narrow, and a caption is no wider.
        parts += [_adaptive(found.adaptive), Text(searched(found.adaptive))]
    spaced = [part for table in parts for part in (table, Text())]
    return Group(*spaced, *_notes(found, worst))


def _lines(found: GateResult) -> Table:
    table = Table(
        title=f"gates on {found.target} · {found.benign} benign uploads held out",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("gate", no_wrap=True)
    names = ["false alarms", "detection", "unseen families", "area", "s", "passes", "missing"]
    effect = any(line.effect_area is not None for line in found.lines)
    if effect:
        names.insert(4, "by effect")
    for name in names:
        table.add_column(name, justify="right")
    for line in found.lines:
        table.add_row(
            Text(label(line)),
            interval_text(line.false_alarm_rate, NO_DATA),
            interval_text(line.detection, NO_DATA),
            interval_text(line.unseen, NO_DATA),
            area(line.area),
            *([area(line.effect_area)] if effect else []),
            NO_DATA if line.seconds is None else f"{line.seconds:.2g}",
            f"{line.passes:.0f}",
            str(missing(line)) if missing(line) else "",
        )
    table.caption = (
        f"% of held-out uploads above the threshold for a nominal {found.nominal:.0%} of benign "
        "ones, or outside the gate's domain, so that a person must look [95 %: Clopper-Pearson; "
        "bootstrap over families, then uploads]; s and passes through "
        f"the model an upload; {ELSEWHERE}"
    )
    table.caption_justify = "left"
    return table


def _families(found: GateResult) -> Table:
    shown = [line for line in found.lines if line.kind == "combination"]
    shown += [line for line in found.lines if line.name in found.gains]
    table = Table(title="hostile families", title_justify="left", box=None, pad_edge=False)
    table.add_column("family")
    for name in ("fitted on", "uploads", "harm", *(label(line) for line in shown)):
        table.add_column(name, justify="right")
    for family in found.families:
        table.add_row(
            Text(family.name),
            "yes" if family.trained_on else "no",
            str(family.uploads),
            NO_DATA if family.harm is None else percent(family.harm),
            *(share_text(line.by_family[family.name]) for line in shown),
        )
    return table


def _answers(found: GateResult) -> Table:
    table = Table(title="decisions of `all`", title_justify="left", box=None, pad_edge=False)
    names = ("allow", "allow with mitigation", "hold", "reject", "inconclusive")
    table.add_column("uploads")
    for name in names:
        table.add_column(name, justify="right")
    for intent, counts in sorted(found.answers.items()):
        table.add_row(intent, *(str(counts.get(name, 0)) for name in names))
    return table


def _adaptive(found: Adaptive) -> Table:
    table = Table(title=SEARCHED, title_justify="left", box=None, pad_edge=False)
    table.add_column("family")
    table.add_column("evasions of those stopped", justify="right")
    for family, one in found.by_family.items():
        table.add_row(Text(family), share_text(one))
    table.add_row("all", f"{found.evaded}/{found.stopped.hits}")
    return table


def ahead(found: GateResult, count: int, queries: int) -> str:
    """What a search is going to cost, by what the readings of this run cost."""
    line = next(line for line in found.lines if line.name == "all")
    readings = count * (1 + queries)
    spent = ""
    if line.seconds is not None:
        spent = f", about {readings * line.seconds:.0f} s of processor time"
    return f"adaptive search: at most {readings} uploads to read{spent}, and {2 * count} to tune"


def searched(found: Adaptive) -> str:
    """What a search did and found, in a few sentences."""
    stopped, spent = found.stopped, found.mean_queries
    told = [
        f"{stopped.hits} of {stopped.n} new hostile uploads were stopped as they were",
        f" ({stopped.missing} more have no score)" if stopped.missing else "",
        f"; changed at random, in at most {found.queries} queries each",
        "" if spent is None else f" ({spent:.1f} on average)",
        f", where the combined score fell, {found.passed} passed and {found.evaded} of these",
        f" still do harm: {interval_text(found.success, NO_DATA)} % evade the gate",
        " [95 %: Clopper-Pearson].",
    ]
    if found.passed:
        before, after = percent(found.harm_before), percent(found.harm_after)
        told.append(f" Harm of those that passed: {before} % as they were, {after} % as changed.")
    return "".join([*told, " An attacker with more queries or better moves reaches more."])


def _notes(found: GateResult, worst: int) -> list[Text]:
    lines = []
    if found.gains:
        lines.append(f"points of detection: {gains(found)}")
    if weak := weakest(found, worst):
        lines.append("least detected by all: " + ", ".join(weak))
    return [*map(Text, [*lines, *found.caveats])]


def gains(found: GateResult) -> str:
    """What the combination detects more than the best line of each other kind."""
    names = {line.name: label(line) for line in found.lines}
    told = (f"all minus {names[name]} {interval_text(g)}" for name, g in found.gains.items())
    return "; ".join(told)


def weakest(found: GateResult, most: int) -> list[str]:
    """The families that `all` detects least of, with their shares."""
    line = next((line for line in found.lines if line.name == "all"), None)
    if line is None:
        return []
    known = {name: one for name, one in line.by_family.items() if one.n}
    order = sorted(known, key=lambda name: (known[name].hits / known[name].n, name))
    return [f"{name} {share_text(known[name])}" for name in order[:most]]


def area(value: float | None) -> str:
    """An area under a curve."""
    return NO_DATA if value is None else f"{value:.2f}"


def label(line: Line) -> str:
    """A line's name, marked where it is no detector."""
    return f"{line.name} ({line.kind})" if line.kind in ("part", "baseline") else line.name


def share_text(one: Share) -> str:
    """`12/25`, or nothing where no score is known."""
    return f"{one.hits}/{one.n}" if one.n else NO_DATA


def missing(line: Line) -> int:
    """Held-out uploads without a score of a line."""
    return line.false_alarms.missing + sum(one.missing for one in line.by_family.values())
