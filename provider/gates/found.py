"""What a gate found, in the form that its reports share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Level = Literal["error", "warning", "note"]


class Found(NamedTuple):
    """One finding. Its message must hold no text of a customer's."""

    rule: str
    level: Level
    message: str
    file: str
    """As the user named it; `-` for standard input."""
    line: int | None = None
    """From 1; None for the whole file."""
    column: int | None = None
    """From 1, in characters."""


@dataclass(frozen=True)
class Findings:
    """All that a gate found, with the rules that it knows."""

    tool: str
    """The command, such as `mooring validate`."""
    version: str
    rules: Mapping[str, tuple[Level, str]]
    """The level and one sentence of each rule, those that nothing broke included."""
    found: tuple[Found, ...] = ()
    files: tuple[str, ...] = ()
    """Which were looked at."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Findings by rule, where `found` does not hold all of them."""

    def count(self, rule: str) -> int:
        """How often a rule was broken."""
        kept = sum(one.rule == rule for one in self.found)
        return max(kept, self.counts.get(rule, 0))
