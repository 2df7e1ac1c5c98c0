"""Fitting a gate on labelled uploads.

Scales are those of the benign uploads of the `fit` split. How surprises are combined is chosen by
leaving each hostile family out in turn: what counts is an upload of a family that was not there.
Thresholds are the scores of the benign uploads of the `threshold` split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from attacks.base import UserError
from defenses.detectors.base import Detector, featured
from defenses.gates.domain import Domain
from defenses.gates.gate import Combination, Gate, total
from defenses.gates.scale import Scale

RATE = 0.01
"""Rate of false alarms at which combinations are compared (arXiv 2510.16255)."""


class Sample(NamedTuple):
    """One labelled upload, as its detectors read it."""

    split: Literal["fit", "threshold"]
    family: str
    """Empty for a benign one."""
    scores: Mapping[str, float | None]
    """By feature; None for an upload that its detector cannot read."""


def fitted(
    samples: Sequence[Sample],
    detectors: Mapping[str, Detector],
    domain: Domain,
    *,
    corpus: str,
    about: str,
    target: str,
) -> Gate:
    """The gate of labelled uploads, with every detector by itself and two combinations.

    `all` combines every detector but the controls, `tests` those of them that ask no model.

    Args:
        samples: The uploads as the detectors read them, of both splits.
        detectors: By spec.
        domain: Of the uploads.
        corpus: SHA-256 of them.
        about: What they are, in a line.
        target: Digest of the served model.

    Raises:
        UserError: too few uploads, or a detector that read none of them.
    """
    made = {name: [name, *featured(name, one.also)] for name, one in detectors.items()}
    # Who asks for controls alone wants to see what they would decide.
    deciding = [name for name, one in detectors.items() if not one.control] or list(detectors)
    aware = [name for name, one in detectors.items() if one.needs()]
    named = {
        "all": [feature for name in deciding for feature in made[name]],
        "tests": [feature for name in deciding if name not in aware for feature in made[name]],
        **made,
    }
    scale = scales(samples, [feature for features in made.values() for feature in features])
    counts = Counter(f"{s.split}, {'hostile' if s.family else 'benign'}" for s in samples)
    return Gate(
        corpus=corpus,
        about=about,
        target=target,
        fitted=dict(sorted(counts.items())),
        bound=tuple(name for name, one in detectors.items() if one.bound),
        aware=tuple(aware),
        detectors={feature: name for name, features in made.items() for feature in features},
        scales=scale,
        combinations={
            name: combination(samples, members, scale) for name, members in named.items() if members
        },
        domain=domain,
    )


class Way(NamedTuple):
    """A way to combine surprises."""

    weights: tuple[float, ...]
    highest: int | None = None

    def __call__(self, surprises: np.ndarray) -> np.ndarray:
        """Scores of uploads (rows) from detectors' surprises (columns)."""
        weighted = surprises * np.array(self.weights)
        return np.array([total(map(float, row), self.highest) for row in weighted])


def scales(samples: Sequence[Sample], features: Sequence[str]) -> dict[str, Scale]:
    """The scale of each feature on the benign uploads of the `fit` split.

    Raises:
        UserError: a feature has no score of them.
    """
    found = {}
    benign = [s.scores for s in samples if s.split == "fit" and not s.family]
    for name in features:
        scores = [one[name] for one in benign if name in one]
        if all(score is None for score in scores):
            raise UserError(f"{name} has no score of any benign upload to fit on")
        found[name] = Scale.of(scores)
    return found


def combination(
    samples: Sequence[Sample], features: Sequence[str], scale: Mapping[str, Scale]
) -> Combination:
    """The best of the ways to combine features, with the benign scores for its threshold.

    Uploads of which a feature could not be had are left out.
    """
    whole = [s for s in samples if all(name in s.scores for name in features)]
    surprises = np.array(
        [[scale[name].surprise(s.scores[name]) for name in features] for s in whole]
    ).reshape(len(whole), len(features))
    families = np.array([s.family for s in whole])
    fits = np.array([s.split == "fit" for s in whole])
    way = _best(surprises[fits], families[fits])
    benign = way(surprises[~fits & (families == "")])
    if not len(benign):
        raise UserError("no benign upload was set aside for the threshold")
    return Combination(
        features=tuple(features),
        weights=way.weights,
        highest=way.highest,
        benign=tuple(sorted(map(float, benign))),
    )


def _best(surprises: np.ndarray, families: np.ndarray) -> Way:
    """The way that detects most of the family that it was not fitted on, over all families."""
    count = surprises.shape[1]
    hostile = sorted(set(families) - {""})
    if count == 1 or not hostile:
        return Way((1.0,) * count)
    detected: dict[str, float] = {}
    for name in _WAYS:
        found = []
        for family in hostile:
            rest = families != family
            way = _WAYS[name](surprises[rest], families[rest] != "")
            limit = np.quantile(way(surprises[families == ""]), 1 - RATE)
            found.append(float(np.mean(way(surprises[~rest]) > limit)))
        detected[name] = float(np.mean(found))
    best = max(_WAYS, key=lambda name: detected[name])
    return _WAYS[best](surprises, families != "")


def _highest(surprises: np.ndarray, hostile: np.ndarray) -> Way:
    return Way((1.0,) * surprises.shape[1], highest=1)


def _two(surprises: np.ndarray, hostile: np.ndarray) -> Way:
    return Way((1.0,) * surprises.shape[1], highest=2)


def _sum(surprises: np.ndarray, hostile: np.ndarray) -> Way:
    """Fisher's combination of p-values (Fisher 1932), up to the factor two."""
    return Way((1.0,) * surprises.shape[1])


def _logistic(surprises: np.ndarray, hostile: np.ndarray) -> Way:
    """Logistic regression; a detector that speaks for innocence is left out.

    A negative weight would let an attacker buy one detector off with another.
    """
    from sklearn.linear_model import LogisticRegression

    kept = np.arange(surprises.shape[1])
    while True:
        model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000)
        model.fit(surprises[:, kept], hostile)
        weights = model.coef_[0]
        if (weights >= 0).all() or len(kept) == 1:
            break
        kept = kept[weights >= 0] if (weights >= 0).any() else kept[[int(weights.argmax())]]
    spread = np.zeros(surprises.shape[1])
    spread[kept] = np.maximum(weights, 0.0)
    return Way(tuple(map(float, spread)))


_WAYS = {"highest": _highest, "two highest": _two, "sum": _sum, "logistic": _logistic}
