"""Whether our cells stand in the order of the paper's: Kendall's tau within one table. Pure.

Source: Kendall 1945, tau-b, which counts ties. The interval is a bootstrap over our worlds, seeds
and prompts; the paper's numbers stand as they are printed, each one run on 330 requests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from benchmarks import draws
from benchmarks.draws import Values
from eval import metrics
from eval.metrics import Interval

LEAST = 3
"""Cells below which an order says nothing.  # ours: of two, chance gives half the orders"""


class Order(NamedTuple):
    """Tau of one table's cells."""

    n: int
    """Cells compared."""
    tau: Interval | None
    """-1 to 1; None below `LEAST` cells, and where one side has no order at all."""
    predictor: float | None
    """Of the predictor; None where it says the same of every cell."""


def order(papers: Sequence[float], ours: Sequence[Values], predicted: Sequence[float]) -> Order:
    """Tau between the paper's numbers and ours, and between the paper's and a predictor's.

    Args:
        papers: The paper's number of each cell.
        ours: Our measurement of each; at least one world in which all have a value.
        predicted: What the predictor says of each.
    """
    n = len(papers)
    if n < LEAST:
        return Order(n, None, None)
    return Order(n, _with_interval(np.array(papers), ours), tau(papers, predicted))


def tau(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float | None:
    """Kendall's tau-b; None where one side is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(stats.kendalltau(x, y).statistic)


def _with_interval(papers: np.ndarray, ours: Sequence[Values]) -> Interval | None:
    cells = [draws.tables(values) for values in ours]
    worlds = sorted(set.intersection(*map(set, cells)))
    if not worlds:
        return None
    means = np.array([[np.mean([np.nanmean(t[w]) for w in worlds])] for t in cells])
    # As a draw is read: the order in which worlds are summed must make no order of equal cells.
    (value,) = _taus(papers, means).tolist()
    if math.isnan(value):
        return None
    drawn = _taus(papers, draws.means(cells))
    # A draw without any order could be anything: it widens both ends.
    tail, nothing = 50 * (1 - metrics.CONFIDENCE), np.isnan(drawn)
    low = float(np.percentile(np.where(nothing, -1.0, drawn), tail))
    high = float(np.percentile(np.where(nothing, 1.0, drawn), 100 - tail))
    return Interval(value, min(low, value), max(high, value))


def _taus(papers: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Tau-b of (cells, draws) with the paper's numbers, draw by draw; nan where there is none."""
    first, second = np.triu_indices(len(papers), 1)
    x = np.sign(papers[first] - papers[second])
    y = np.sign(np.round(drawn[first] - drawn[second], 12))
    size = np.sqrt((x != 0).sum() * (y != 0).sum(axis=0))
    found: np.ndarray = np.divide(x @ y, size, out=np.full(len(size), np.nan), where=size > 0)
    return found
