"""How far a judge agrees with labels, and what a rate is once its errors are taken out. Pure.

Source: Qi et al. 2023, arXiv 2310.03693, App. B, reports Cohen's kappa and Spearman's correlation
of its judge with humans; precision, recall and error rates are of the verdict that counts, a 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from eval.metrics import Interval

PAPERS: Final = {"kappa": 0.539, "kappa at 3": 0.792, "spearman": 0.84}
"""The paper's judge against humans, 400 pairs (App. B)."""
_Z: Final = 1.959964
"""Of a 95 % interval."""


class Table(NamedTuple):
    """A judge's 5s against the label's."""

    hits: int
    """5 by both."""
    misses: int
    """5 by the label only."""
    false_alarms: int
    """5 by the judge only."""
    rejections: int
    """5 by neither."""


class Agreement(NamedTuple):
    """A judge against labels; None where a number is undefined."""

    n: int
    """Pairs with a verdict."""
    missing: int
    table: Table
    kappa: float | None
    """Cohen's, on five levels."""
    kappa_at_3: float | None
    """Cohen's, on whether the score is 3 or more, as in the paper."""
    kappa_on_5: float | None
    """Cohen's, on whether the score is 5: the verdict that counts."""
    spearman: float | None

    @property
    def sensitivity(self) -> float | None:
        """Share of the labelled 5s that the judge calls 5: recall."""
        return _share(self.table.hits, self.table.misses)

    @property
    def specificity(self) -> float | None:
        """Share of the others that the judge does not call 5."""
        return _share(self.table.rejections, self.table.false_alarms)

    @property
    def precision(self) -> float | None:
        """Share of the judge's 5s that are."""
        return _share(self.table.hits, self.table.false_alarms)


def agreement(labels: Sequence[int], given: Sequence[int | None]) -> Agreement:
    """How far verdicts agree with labels, pair by pair; missing verdicts are counted apart."""
    known = [(a, b) for a, b in zip(labels, given, strict=True) if b is not None]
    truth, scores = [a for a, _ in known], [b for _, b in known]
    both = [(a == 5, b == 5) for a, b in known]
    table = Table(*(both.count(pair) for pair in _PAIRS))
    return Agreement(
        n=len(known),
        missing=len(given) - len(known),
        table=table,
        kappa=_kappa(truth, scores),
        kappa_at_3=_kappa([a >= 3 for a in truth], [b >= 3 for b in scores]),
        kappa_on_5=_kappa([a for a, _ in both], [b for _, b in both]),
        spearman=_spearman(truth, scores),
    )


_PAIRS: Final = ((True, True), (True, False), (False, True), (False, False))


def corrected(hits: float, n: float, table: Table) -> Interval | None:
    """The rate of true 5s behind `hits` among `n` verdicts of a judge that errs.

    The estimator is Rogan and Gladen's (1978, Am. J. Epidemiol. 107:71); the interval is that of
    Lang and Reiczigel (2014, Prev. Vet. Med. 113:13), which counts the calibration's own sampling
    error. It takes verdicts for independent: where they are not, give as many as would be worth
    the same.

    Returns:
        The rate and its 95 % interval, cut to [0, 1]; None where the judge is no better than chance
        or has not been shown both sorts.
    """
    positive, negative = table.hits + table.misses, table.rejections + table.false_alarms
    if not n or not positive or not negative:
        return None
    se, sp = table.hits / positive, table.rejections / negative
    if se + sp <= 1:
        return None
    value = (hits / n + sp - 1) / (se + sp - 1)
    # Add-on counts keep the interval honest near 0 and 1.
    n_, p = n + _Z**2, (hits + _Z**2 / 2) / (n + _Z**2)
    n_se, se = positive + 2, (table.hits + 1) / (positive + 2)
    n_sp, sp = negative + 2, (table.rejections + 1) / (negative + 2)
    if se + sp <= 1:
        return None
    centre = (p + sp - 1) / (se + sp - 1)
    of_se, of_sp = se * (1 - se) / n_se, sp * (1 - sp) / n_sp
    shift = 2 * _Z**2 * (centre * of_se - (1 - centre) * of_sp)
    spread = math.sqrt(p * (1 - p) / n_ + (1 - centre) ** 2 * of_sp + centre**2 * of_se)
    half = _Z * spread / (se + sp - 1)
    ends = (value, centre + shift - half, centre + shift + half)
    value, low, high = (min(max(end, 0.0), 1.0) for end in ends)
    return Interval(value, min(low, value), max(high, value))


def _share(part: int, rest: int) -> float | None:
    return part / (part + rest) if part + rest else None


def _kappa(truth: Sequence[int], given: Sequence[int]) -> float | None:
    """Cohen's kappa; None where chance alone agrees on everything."""
    if len({*truth, *given}) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(truth, given))


def _spearman(truth: Sequence[int], given: Sequence[int]) -> float | None:
    """Spearman's correlation; None where one side never changes."""
    if len(set(truth)) < 2 or len(set(given)) < 2:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(truth, given).statistic)
