"""From readings to false alarms and detections, each with its interval. Pure.

A threshold is fixed before, on uploads that are not scored here. What is unknown is the share of a
*family* that is stopped, and the mean over families: hostile uploads of one family are alike, so
the bootstrap draws families first and uploads within them second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from eval.metrics import Interval

RESAMPLES = 4000
"""Bootstrap draws.  # ours: ends of a 95 % interval move by less than half a point"""
CONFIDENCE = 0.95


class Curve(NamedTuple):
    """A receiver operating characteristic."""

    false_alarms: tuple[float, ...]
    detections: tuple[float, ...]


def exact(hits: int, n: int) -> Interval | None:
    """A share with its Clopper-Pearson interval; None of nothing."""
    from scipy.stats import binomtest

    if n == 0:
        return None
    found = binomtest(hits, n).proportion_ci(CONFIDENCE, method="exact")
    return Interval(hits / n, float(found.low), float(found.high))


def over_families(
    stopped: Mapping[str, Sequence[bool]], seed: int = 0, resamples: int = RESAMPLES
) -> Interval | None:
    """Mean over families of the share that is stopped, with its bootstrap interval."""
    shares = {name: [float(s) for s in found] for name, found in stopped.items()}
    return _bootstrap(shares, seed, resamples)


def paired(
    one: Mapping[str, Sequence[bool]], other: Mapping[str, Sequence[bool]], seed: int = 0
) -> Interval | None:
    """Mean over families of `one` minus `other`, on the same uploads in the same order."""
    both = {
        name: [float(a) - float(b) for a, b in zip(one[name], other[name], strict=True)]
        for name in one
    }
    return _bootstrap(both, seed, RESAMPLES)


def roc(benign: Sequence[float], hostile: Sequence[float]) -> Curve | None:
    """The curve of a score; None where a side is empty."""
    from sklearn.metrics import roc_curve

    if not benign or not hostile:
        return None
    labels = [0] * len(benign) + [1] * len(hostile)
    alarms, found, _ = roc_curve(labels, [*benign, *hostile])
    return Curve(tuple(map(float, alarms)), tuple(map(float, found)))


def area(benign: Sequence[float], hostile: Sequence[float]) -> float | None:
    """Area under that curve."""
    from sklearn.metrics import roc_auc_score

    if not benign or not hostile:
        return None
    return float(roc_auc_score([0] * len(benign) + [1] * len(hostile), [*benign, *hostile]))


def _resampled(values: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Means of as many values drawn with replacement; only how often each is drawn matters."""
    distinct, counts = np.unique(values, return_counts=True)
    drawn = rng.multinomial(len(values), counts / len(values), size)
    return np.asarray(drawn @ distinct / len(values))


def _bootstrap(values: Mapping[str, Sequence[float]], seed: int, resamples: int) -> Interval | None:
    """Mean of the families' means, drawing families, then uploads within each drawn one."""
    groups = [np.array(found) for found in values.values() if len(found)]
    if not groups:
        return None
    rng = np.random.default_rng(seed)
    # Every draw of a family resamples its uploads anew.
    means = np.array([_resampled(group, (resamples, len(groups)), rng) for group in groups])
    drawn = rng.integers(len(groups), size=(resamples, len(groups)))
    at = np.arange(len(groups))
    totals = means[drawn, np.arange(resamples)[:, None], at].mean(axis=1)
    low, high = np.quantile(totals, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    value = float(np.mean([group.mean() for group in groups]))
    return Interval(value, min(value, float(low)), max(value, float(high)))
