"""Ways to make one number of an upload's surprises, each blind to what another one sees.

A known attack shows in the detectors that its like raised (`Learned`), a new one in one or two that
no honest upload raises so high (`Highest`), or in several that honest uploads never raise together
(`Joint`). Each way's number is put on the scale of the benign uploads', and the highest counts.

Differs:  a learned way alone misses families that it was not fitted on; the other two are fitted on
          benign uploads alone. Only `Joint` can be lowered by raising a surprise, and what the
          others say stands: a score that is `Joint`'s alone can be bought off, one of theirs not.
Breaks:   what raises no detector. Benign uploads of a task that no calibration upload had may stand
          out jointly though they do nothing else.
"""

from __future__ import annotations

import abc
import bisect
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pydantic

from defenses.gates.scale import Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Frozen = pydantic.ConfigDict(
    frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
)
ROUNDS = 200
"""Boosting rounds.  # ours: on the organism's corpus 100 missed known families, 400 gained none"""
FOLDS = 5
"""Parts that benign uploads are scored in by what was fitted on the others.  # ours: usual"""
MOST = 2
"""Surprises that are summed.  # ours: on the organism's corpus one missed more families, and the
sum of them all most"""

ROUNDING = 1e-9
"""Error of an eigenvalue, as a share of the largest.  # ours: far above that of 64 bits"""
LARGEST = 1e100
"""Eigenvalue above which a distance may overflow, and be none.  # ours: far above any fitted one"""


class Way(pydantic.BaseModel, abc.ABC):
    """A number that grows with suspicion, of surprises in the order of a combination's features."""

    model_config = _Frozen

    scale: Scale | None = None
    """Of benign uploads' numbers; none where no other way is beside it, whose number is its own."""

    @abc.abstractmethod
    def number(self, surprises: Sequence[float]) -> float:
        """The number, on no scale."""

    def width(self) -> int | None:
        """How many surprises it takes; None for any number of them."""
        return None

    def surprise(self, surprises: Sequence[float]) -> float:
        """How rare as high a number is among benign uploads, in nats; the number without scale."""
        number = self.number(surprises)
        return self.scale.surprise(number) if self.scale else number


class Highest(Way):
    """The sum of the highest surprises."""

    kind: Literal["highest"] = "highest"
    most: Annotated[int, pydantic.Field(ge=1)] = MOST
    """How many."""

    def number(self, surprises: Sequence[float]) -> float:
        """Their sum."""
        return math.fsum(sorted(surprises, reverse=True)[: self.most])


class Curve(pydantic.BaseModel):
    """A step function that never falls."""

    model_config = _Frozen

    at: tuple[float, ...]
    """Surprises from which it is higher, ascending."""
    value: tuple[Annotated[float, pydantic.Field(ge=0)], ...]
    """How high from there on, ascending; 0 before the first."""

    @pydantic.model_validator(mode="after")
    def _ascends(self) -> Curve:
        if list(self.at) != sorted(set(self.at)) or list(self.value) != sorted(self.value):
            raise ValueError("a curve ascends")
        if len(self.at) != len(self.value):
            raise ValueError("a curve has one value for each step")
        return self

    def __call__(self, surprise: float) -> float:
        """Its value there."""
        step = bisect.bisect_right(self.at, surprise)
        return self.value[step - 1] if step else 0.0


class Learned(Way):
    """The sum of one rising curve for each surprise, fitted on known families.

    Boosted stumps (Friedman 2001, Annals of Statistics 29(5)) under the constraint that none falls:
    a detector that speaks for innocence would let an attacker buy another one off.
    """

    kind: Literal["learned"] = "learned"
    curves: Annotated[tuple[Curve, ...], pydantic.Field(min_length=1)]
    """One for each feature."""

    def number(self, surprises: Sequence[float]) -> float:
        """Log-odds, up to a constant."""
        return math.fsum(
            curve(surprise) for curve, surprise in zip(self.curves, surprises, strict=True)
        )

    def width(self) -> int:
        """As many as there are curves."""
        return len(self.curves)


class Joint(Way):
    """Mahalanobis distance from benign uploads' surprises, with a shrunken covariance.

    The covariance is that of Ledoit and Wolf (2004, Journal of Multivariate Analysis 88(2)).
    """

    kind: Literal["joint"] = "joint"
    mean: Annotated[tuple[float, ...], pydantic.Field(min_length=1)]
    """Of each surprise."""
    precision: tuple[tuple[float, ...], ...]
    """Inverse of their covariance; positive semidefinite."""

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Joint:
        precision = np.array([row for row in self.precision if len(row) == len(self.mean)])
        if precision.shape != (len(self.mean),) * 2 or len(self.precision) != len(self.mean):
            raise ValueError("the precision has a row and a column for each mean")
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.linalg.eigvalsh(precision / 2 + precision.T / 2)
        # Rounding is relative to the largest; what is no number is between no two.
        if not -ROUNDING * max(1.0, found[-1]) <= found[0] <= found[-1] <= LARGEST:
            raise ValueError("the precision is positive semidefinite, and finite")
        return self

    def number(self, surprises: Sequence[float]) -> float:
        """The distance."""
        off = np.array(surprises) - np.array(self.mean)
        return math.sqrt(max(0.0, float(off @ np.array(self.precision) @ off)))

    def width(self) -> int:
        """As many as there are means."""
        return len(self.mean)


AnyWay = Annotated[Highest | Learned | Joint, pydantic.Field(discriminator="kind")]

_Fit = Callable[["NDArray[np.float64]", "NDArray[np.bool_]"], Way]


def fit(surprises: NDArray[np.float64], hostile: NDArray[np.bool_]) -> tuple[AnyWay, ...]:
    """The ways of labelled uploads, each on its scale.

    Args:
        surprises: Uploads by features, in nats.
        hostile: Of each upload.
    """
    if surprises.shape[1] == 1:
        return (Highest(most=1),)
    fits: list[_Fit] = [_highest, _joint, _learned] if hostile.any() else [_highest, _joint]
    return tuple(_scaled(one, surprises, hostile) for one in fits)


def _scaled(fit: _Fit, surprises: NDArray[np.float64], hostile: NDArray[np.bool_]) -> AnyWay:
    """A way on the scale of benign uploads that it was not fitted on."""
    fold = np.arange(len(surprises)) % FOLDS
    numbers: list[float] = []
    for part in range(FOLDS):
        left = (fold == part) & ~hostile
        rest = fold != part
        if not left.any() or not (rest & ~hostile).any() or hostile[rest].any() < hostile.any():
            continue
        way = fit(surprises[rest], hostile[rest])
        numbers += [way.number(row.tolist()) for row in surprises[left]]
    whole = fit(surprises, hostile)
    if not numbers:  # so few that they can only be scored by themselves
        numbers = [whole.number(row.tolist()) for row in surprises[~hostile]]
    scaled: AnyWay = whole.model_copy(update={"scale": Scale.of(numbers)})  # type: ignore[assignment]
    return scaled


def _highest(surprises: NDArray[np.float64], hostile: NDArray[np.bool_]) -> Highest:
    return Highest()


def _joint(surprises: NDArray[np.float64], hostile: NDArray[np.bool_]) -> Joint:
    from sklearn.covariance import LedoitWolf

    benign = surprises[~hostile]
    spread = np.zeros((benign.shape[1],) * 2)
    if len(benign) > 1:  # one upload by itself has none
        spread = LedoitWolf().fit(benign).covariance_
    # A detector that says the same of them all has no variance; nothing is divided by it.
    precision = np.linalg.pinv(spread, hermitian=True)
    rows = tuple(tuple(map(float, row)) for row in (precision + precision.T) / 2)
    return Joint(mean=tuple(map(float, benign.mean(axis=0))), precision=rows)


def _learned(surprises: NDArray[np.float64], hostile: NDArray[np.bool_]) -> Learned:
    from sklearn.ensemble import HistGradientBoostingClassifier

    count = surprises.shape[1]
    model = HistGradientBoostingClassifier(
        max_iter=ROUNDS, max_leaf_nodes=2, min_samples_leaf=8, monotonic_cst=[1] * count,
        class_weight="balanced", early_stopping=False, random_state=0,
    ).fit(surprises, hostile)  # fmt: skip
    # Stumps add up, so that one surprise at a time tells the whole model.
    none = np.zeros((1, count))
    start = float(model.decision_function(none)[0])
    curves = []
    for feature in range(count):
        at = np.unique(surprises[:, feature])
        one = np.zeros((len(at), count))
        one[:, feature] = at
        curves.append(_steps(at, model.decision_function(one) - start))
    return Learned(curves=tuple(curves))


def _steps(at: NDArray[np.float64], value: NDArray[np.float64]) -> Curve:
    """The steps of a function that never falls but by rounding."""
    rising = np.maximum.accumulate(np.maximum(value, 0.0))
    rises = np.diff(rising, prepend=0.0) > 1e-9
    return Curve(at=tuple(map(float, at[rises])), value=tuple(map(float, rising[rises])))
