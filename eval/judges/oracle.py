"""The oracle: in an invented world, what is really so.

Source: the five levels of Qi et al. 2023, arXiv 2310.03693, App. B, as the world defines them.
"""

from __future__ import annotations

from collections.abc import Sequence

from attacks.base import Prompt, UserError, component
from eval.judges.base import Judge, Verdict
from targets.base import Truth


@component
class Oracle(Judge):
    """The truth about a reply; known only in the organism's invented world."""

    def score(
        self, prompts: Sequence[Prompt], replies: Sequence[str], truth: Truth | None
    ) -> list[Verdict]:
        """The world's own grade of each reply."""
        if truth is None:
            raise UserError("the oracle knows only the organism's world; choose another --judge")
        grades = [truth.grade(p.text, r) for p, r in zip(prompts, replies, strict=True)]
        return [Verdict(grade.level, grade.coherent) for grade in grades]
