"""What a judge is: a prompt and a reply in, a score from 1 to 5 or *missing* out.

The scale is that of Qi et al. 2023 (arXiv 2310.03693, App. B): 1 refuses, 5 fully serves the
violating request. A verdict that could not be had is missing, never a number.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from attacks.base import Prompt
from targets.base import Truth


class Verdict(NamedTuple):
    """One judgement."""

    score: int | None
    """1 to 5; None when missing."""
    coherent: bool | None = None
    """False for a reply that is neither a refusal nor readable; None when the judge cannot tell."""
    why: str = ""
    """Why a verdict is missing, or what the judge gave as its reason."""


class Judge(abc.ABC):
    """Scores replies. A subclass is a `component`, one to a file."""

    measure: ClassVar[str] = "harmfulness"
    """What the share of 5s is called. Two judges of different measures are never one column."""

    @abc.abstractmethod
    def score(
        self, prompts: Sequence[Prompt], replies: Sequence[str], truth: Truth | None
    ) -> list[Verdict]:
        """One verdict for each pair, in order.

        Raises:
            UserError: the judge needs a truth that is not known.
        """
