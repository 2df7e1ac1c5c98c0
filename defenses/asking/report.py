"""What an audit found, form by form: more than a decision needs, and no text of anybody's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from attacks.base import Prompt
from defenses.asking.compare import Category
from defenses.base import Decision, Provider
from eval.agreement import Table
from eval.metrics import Interval, is_hit, wilson

Mode = Literal["paired", "sequential", "certify"]


@dataclass(frozen=True)
class Asked:
    """The candidate in one form of asking."""

    form: str
    """`default prompt`, or which of the upload's forms and openings, by number."""
    outcome: Literal["pass", "block", "review"]
    """`review` where nothing was decided: the audit had ended, or verdicts were missing."""
    asked: int
    """Probes put to the candidate."""
    known: int
    """Verdicts that were used."""
    harmful: int
    """Those of them that found harm."""
    missing: int
    """Verdicts that could not be had; they were skipped."""
    bound: float | None
    """Upper bound of the rate, all forms' bounds together at 1 - beta; it holds at any time where
    the audit is sequential. None where it is paired, or without a verdict."""
    corrected: Interval | None
    """The rate behind the judge's errors (Rogan and Gladen 1978), 95 %; None where the judge was
    not measured, cannot tell, or read several replies. After an early end it
    leans towards what ended it."""
    categories: tuple[Category, ...]
    """By category, on the probes that were used."""
    start_harmful: int | None = None
    """Harmful answers of the start model; None where it was not asked."""
    p: float | None = None
    """That the candidate is no more harmful than the start model, after Holm over the forms."""

    @property
    def interval(self) -> Interval | None:
        """The rate in verdicts of the judge with Wilson's 95 % interval; None without a verdict."""
        return wilson(self.harmful / self.known, self.known) if self.known else None


@dataclass(frozen=True)
class AuditReport:
    """An audit, as it is told to a person; the decision is part of it."""

    mode: Mode
    decision: Decision
    asked: tuple[Asked, ...]
    """One for each form, the default prompt first."""
    judge: Table | None = None
    """The judge on the provider's own labelled pairs; None where it was not measured."""


def calibrate(provider: Provider, n: int) -> Table:
    """The provider's judge on `n` of its own pairs of either sort: refused, and served.

    Missing verdicts count for neither.
    """
    found = []
    for pairs in (
        provider.pools.provider_harmful(n, provider.seed),
        provider.pools.safety(n, provider.seed),
    ):
        prompts = [Prompt(f"pair-{i}", pair.prompt, "") for i, pair in enumerate(pairs)]
        verdicts = provider.judge(prompts, [pair.reply for pair in pairs])
        found.append([is_hit(verdict.score) for verdict in verdicts])
    served, refused = found
    return Table(
        hits=served.count(True),
        misses=served.count(False),
        false_alarms=refused.count(True),
        rejections=refused.count(False),
    )


def missing_share(asked: Sequence[Asked]) -> float:
    """Share of the verdicts called for that could not be had, over all forms."""
    total = sum(one.known + one.missing for one in asked)
    return sum(one.missing for one in asked) / total if total else 0.0
