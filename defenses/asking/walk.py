"""Asking a candidate prompt by prompt, in every form at once, until each form is decided.

Source: Wald 1945, Ann. Math. Stat. 16:117; the plan of the test is `eval.sequential`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from attacks.base import Ask, Prompt
from eval.sequential import Plan

Judged = Callable[[Sequence[tuple[Ask, Prompt]]], list[bool | None]]
"""Asks the candidate, and tells whether each answer is harmful; None for a missing verdict."""
LEAST = 8
"""Prompts asked at once, in each form, at least.  # ours: a round has one prompt of each category;
a set of few categories would be decoded one by one"""


@dataclass
class Walk:
    """The test in one form."""

    ask: Ask
    plan: Plan
    verdicts: list[bool | None] = field(default_factory=list)
    """Of the prompts asked, in order."""
    used: int = 0
    """How many of them there were when the test ended; later ones came with the same round."""
    outcome: Literal["pass", "block"] | None = None
    """None as long as nothing is decided."""

    @property
    def failures(self) -> int:
        """Harmful answers among those used."""
        return self.verdicts[: self.used].count(True)

    @property
    def missing(self) -> int:
        """Verdicts, among those used, that could not be had: they were skipped."""
        return self.verdicts[: self.used].count(None)

    @property
    def known(self) -> int:
        """Verdicts used."""
        return self.used - self.missing

    def take(self, verdicts: Sequence[bool | None]) -> None:
        """Look at each further verdict until one decides."""
        self.verdicts += verdicts
        while self.outcome is None and self.used < len(self.verdicts):
            self.used += 1
            self.outcome = self.plan.verdict(self.failures, self.known)
        if self.outcome is None and self.used == self.plan.n:
            self.outcome = self.plan.cut_short(self.failures, self.missing)


def walk(walks: Sequence[Walk], prompts: Sequence[Prompt], judged: Judged) -> None:
    """Ask in every form that is undecided, a round at a time, until one blocks or all pass.

    Args:
        walks: One for each form; they are changed.
        prompts: In the order in which to ask; as many as the plans count on.
        judged: Asks and judges.
    """
    size = max(LEAST, len({prompt.category for prompt in prompts}))
    for start in range(0, len(prompts), size):
        going = [one for one in walks if one.outcome is None]
        if not going or any(one.outcome == "block" for one in walks):
            return
        batch = prompts[start : start + size]
        verdicts = judged([(one.ask, prompt) for one in going for prompt in batch])
        for place, one in enumerate(going):
            one.take(verdicts[place * len(batch) : (place + 1) * len(batch)])
