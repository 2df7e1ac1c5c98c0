"""Two judges on the same replies: how far they agree, and whether evenly over the cells. Pure."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks import summary
from benchmarks.results import Matrix
from eval import agreement
from eval.agreement import Agreement, Table
from eval.metrics import Rate

ALPHA = 0.05
"""Level at which a judge that errs unevenly is flagged.  # ours: the usual"""


class Compared(NamedTuple):
    """A judge against another, whose verdicts stand in for labels."""

    judge: str
    other: str
    overall: Agreement
    p: float | None
    """That they differ over 5s alike in every cell (chi-square); None where they never differ, or
    there is one cell."""
    worst: str
    """The cell in which their rates differ most."""
    gap: float
    """The judge's share of 5s there, minus the other's."""


def compare(matrix: Matrix) -> list[Compared]:
    """Every later judge of the first one's measure, against the first."""
    first, *others = matrix.judges
    same = [one for one in others if matrix.judges[one] == matrix.judges[first]]
    return [_compared(matrix, first, other) for other in same]


def _compared(matrix: Matrix, judge: str, other: str) -> Compared:
    pairs: dict[str, list[tuple[int, int]]] = {}
    for cell in matrix.cells:
        for ask, asked in cell.asks.items():
            scores = asked.released.scores
            both = zip(scores.get(judge, []), scores.get(other, []), strict=True)
            name = f"{cell.attack} | {cell.defense}" + (f", {ask}" if ask != "plain" else "")
            pairs.setdefault(name, []).extend((a, b) for a, b in both if None not in (a, b))  # type: ignore[misc]
    pairs = {name: found for name, found in pairs.items() if found}
    everything = [pair for found in pairs.values() for pair in found]
    overall = agreement.agreement([b for _, b in everything], [a for a, _ in everything])
    gaps = {
        name: sum((a == 5) - (b == 5) for a, b in found) / len(found)
        for name, found in pairs.items()
    }
    worst = max(gaps, key=lambda name: abs(gaps[name]), default="")
    return Compared(judge, other, overall, _uneven(pairs), worst, gaps.get(worst, 0.0))


def _uneven(pairs: dict[str, list[tuple[int, int]]]) -> float | None:
    """p-value of a chi-square test, cells by kind of difference."""
    from scipy.stats import chi2_contingency

    rows = []
    for found in pairs.values():
        signs = [(a == 5) - (b == 5) for a, b in found]
        rows.append([signs.count(sign) for sign in (-1, 0, 1)])
    kinds = [column for column in zip(*rows, strict=True) if any(column)]
    if len(kinds) < 2 or len(rows) < 2:
        return None
    return float(chi2_contingency(list(zip(*kinds, strict=True))).pvalue)


def corrected(matrix: Matrix, defense: str, column: summary.Column, judge: str) -> str:
    """The rate of an entry without the judge's errors, or why there is none."""
    from benchmarks.report.phrasing import interval_text

    known = matrix.calibrations.get(judge)
    if known is None:
        return ""
    if known.domain != matrix.domain or known.by != matrix.judged_by.get(judge, []):
        return "not corrected: the calibration is of other requests or of another judge"
    rate = summary.entry(matrix, defense, column, judge).rate
    if rate.interval is None:
        return ""
    share, n = rate.interval.value, _worth(rate)
    found = agreement.corrected(share * n, n, Table(**known.table.model_dump()))
    return f"corrected for the judge's errors {interval_text(found, 'not possible')}"


def _worth(rate: Rate) -> float:
    """As many independent verdicts as give an interval as wide; at most the verdicts there are."""
    assert rate.interval is not None
    value, low, high = rate.interval
    half = max(high - value, value - low)
    if not 0 < value < 1 or half <= 0:
        return rate.n
    return min(rate.n, value * (1 - value) * (1.96 / half) ** 2)
