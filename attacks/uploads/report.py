"""What a file's checks came to, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from attacks.uploads.rules import Finding, Level
from attacks.uploads.validate import Checked

MOST_KEPT = 500
"""Findings kept of one rule. # ours: GitHub takes 25,000 results of a SARIF run, and there are
about fifty rules"""


@dataclass
class Report:
    """Counts of everything, and the first findings of each rule."""

    lines: int = 0
    """That are not blank."""
    rows: int = 0
    """Lines that were accepted."""
    size: int = 0
    """Bytes that were read, without blank lines."""
    tokens: int = 0
    """About how many the accepted lines have, in one pass over them."""
    formats: Counter[str] = field(default_factory=Counter)
    """Lines by the format they are meant to be of: supervised, preference, reinforcement."""
    counts: Counter[str] = field(default_factory=Counter)
    """Findings by rule, those that are not kept included."""
    levels: Counter[Level] = field(default_factory=Counter)
    """Findings by level, those that are not kept included."""
    kept: dict[str, list[Finding]] = field(default_factory=dict)
    """The first findings of each rule, in the file's order."""

    def add(self, checked: Checked) -> None:
        """Take in what came of one line."""
        if checked.line is not None:
            self.lines += 1
            self.size += checked.size
            self.rows += checked.row_index is not None
            self.tokens += checked.tokens
            if checked.kind is not None:
                self.formats[checked.kind.__name__.lower()] += 1
        for found in checked.findings:
            self.counts[found.rule] += 1
            self.levels[found.level] += 1
            kept = self.kept.setdefault(found.rule, [])
            if len(kept) < MOST_KEPT:
                kept.append(found)

    @property
    def findings(self) -> list[Finding]:
        """All that are kept: of the whole file first, then by line and column."""
        found = [one for kept in self.kept.values() for one in kept]
        return sorted(found, key=lambda one: (one.line or 0, one.column or 0, one.rule))

    @property
    def left_out(self) -> int:
        """How many findings are counted and not kept."""
        return sum(self.counts.values()) - sum(map(len, self.kept.values()))

    def fails(self, on: Level) -> bool:
        """Whether there is a finding of this level or a worse one."""
        worse: dict[Level, tuple[Level, ...]] = {
            "error": ("error",),
            "warning": ("error", "warning"),
            "note": ("error", "warning", "note"),
        }
        return any(self.levels[level] for level in worse[on])


def watched(checks: Iterable[Checked], report: Report) -> Iterator[Checked]:
    """The same checks, taken into a report as they pass by.

    For a pass that also does something with the rows: `checked.row` is the row, `checked.line` its
    line and `checked.row_index` its number among the rows.
    """
    for checked in checks:
        report.add(checked)
        yield checked
