"""A detector's score on one scale for them all: how rare a score as high is among benign uploads.

Below the benign scores' 90 % quantile their own distribution says so; above it the excess follows a
generalised Pareto distribution, as peaks over a threshold do (Pickands 1975, Annals of Statistics
3), since no calibration corpus is large enough to have seen what is really rare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pydantic

BODY = 0.9
"""Share of the benign scores taken as they are.  # ours: 50 of 500 are left for the tail"""
POINTS = 37
"""Quantiles kept of them, 2.5 % apart.  # ours"""
FEWEST = 20
"""Excesses that a shape is told from.  # ours: of fewer its error is above a quarter"""
SMALLEST = 1e-3
"""Shape below which a tail is exponential, to five digits of a surprise.  # ours"""
KNEE = 20.0
"""Surprise above which it grows by its logarithm only: one upload in 5e8 cannot be told from rarer
ones, and yet a higher score must stay higher, or a threshold could be above all scores.  # ours"""


class Scale(pydantic.BaseModel):
    """The benign scores of one detector."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    points: Annotated[tuple[float, ...], pydantic.Field(min_length=2)]
    """Quantiles from the lowest score to the 90 % quantile, at even distances, ascending."""
    tail: Annotated[float, pydantic.Field(gt=0)]
    """Scale of the excess over the last of them."""
    shape: Annotated[float, pydantic.Field(ge=0)] = 0.0
    """Its shape: 0 is exponential, more is a heavier tail. A bounded tail is taken for exponential:
    where it would end, no score is certain to be hostile."""
    without: Annotated[float, pydantic.Field(gt=0, le=1)] = 1.0
    """Share of benign uploads that are none that the detector can read, one more counted."""

    @pydantic.model_validator(mode="after")
    def _ascends(self) -> Scale:
        if list(self.points) != sorted(self.points):
            raise ValueError("quantiles ascend")
        return self

    @classmethod
    def of(cls, given: Sequence[float | None]) -> Scale:
        """The scale of benign uploads' scores, at least one of which is known."""
        scores = [score for score in given if score is not None]
        points = np.quantile(scores, np.linspace(0, BODY, POINTS))
        excess = np.array([score - points[-1] for score in scores if score > points[-1]])
        without = (1 + len(given) - len(scores)) / (1 + len(given))
        # A detector that gives benign uploads one and the same score is surprised by any other.
        shape, tail = _tail(excess) if len(excess) else (0.0, 1e-6)
        return cls(
            points=tuple(map(float, points)), tail=max(tail, 1e-9), shape=shape, without=without
        )

    def surprise(self, score: float | None) -> float:
        """Minus the natural logarithm of the share of benign uploads that score as high or higher.

        0 for the lowest scores. For an upload that the detector cannot read, of the
        share of those: nobody makes themselves unreadable without being noticed.
        """
        if score is None:
            return -math.log(self.without)
        if score > self.points[-1]:
            excess = (score - self.points[-1]) / self.tail
            beyond = math.log1p(self.shape * excess) / self.shape if self.shape else excess
            return _bent(beyond - math.log1p(-BODY))
        # Equal scores count as as high, so that the commonest score is no surprise.
        above = int(np.searchsorted(self.points, score, side="left"))
        if above == 0:
            return 0.0
        low, high = self.points[above - 1], self.points[above]
        below = (above - 1 + (score - low) / (high - low)) / (len(self.points) - 1)
        return -math.log1p(-BODY * below)


def _bent(surprise: float) -> float:
    return surprise if surprise <= KNEE else KNEE + math.log1p(surprise - KNEE)


def _tail(excess: np.ndarray) -> tuple[float, float]:
    """Shape and scale of excesses over a threshold, by maximum likelihood; the shape at least 0."""
    from scipy.stats import genpareto

    if len(excess) >= FEWEST:
        shape, _, scale = genpareto.fit(excess, floc=0)
        if shape > SMALLEST:
            return float(shape), float(scale)
    return 0.0, float(np.mean(excess))
