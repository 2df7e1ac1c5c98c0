"""Two runs side by side, paired by seed and prompt. Pure."""

from __future__ import annotations

from typing import NamedTuple

from attacks.base import UserError
from benchmarks import summary
from benchmarks.results import Matrix
from benchmarks.summary import Column
from eval import metrics
from eval.metrics import Interval


class Difference(NamedTuple):
    """One entry that both runs have, over the seeds that both have."""

    column: Column
    defense: str
    before: Interval
    after: Interval
    change: Interval
    """Rate of the second run minus the first's."""
    p: float
    """That nothing changed, two-sided: the larger of the p-value over prompts and, from two seeds
    on, of Student's t over the seeds' changes (`metrics.paired_p`), Holm-adjusted over the table.
    """


def compare(first: Matrix, second: Matrix) -> list[Difference]:
    """Every entry that both runs have, in the order of the first.

    Raises:
        UserError: they asked other prompts, or have no entry or judge in common.
    """
    if first.prompts.digest != second.prompts.digest:
        raise UserError(
            f"the two runs asked different prompts ({len(first.prompts.ids)} and "
            f"{len(second.prompts.ids)} requests), so their cells cannot be paired; "
            "run both with one --target and --limit"
        )
    judge = next((name for name in first.judges if name in second.judges), None)
    if judge is None:
        raise UserError("the two runs have no judge in common")
    found: list[tuple[Difference, float]] = []
    for column in summary.columns(first):
        for defense in summary.rows(first):
            pair = _pair(first, second, defense, column, judge)
            if pair is not None:
                found.append(pair)
    if not found:
        raise UserError("the two runs have no entry in common")
    adjusted = metrics.holm([p for _, p in found])
    return [row._replace(p=p) for (row, _), p in zip(found, adjusted, strict=True)]


def _pair(
    first: Matrix, second: Matrix, defense: str, column: Column, judge: str
) -> tuple[Difference, float] | None:
    verdicts = [summary.verdicts(run, defense, column, judge) for run in (first, second)]
    seeds = sorted(set(verdicts[0]) & set(verdicts[1]))
    before, after = ({seed: found[seed] for seed in seeds} for found in verdicts)
    change, p = metrics.paired_difference(after, before), metrics.paired_p(after, before)
    rates = [metrics.rate(list(found.values())).interval for found in (before, after)]
    if change is None or p is None or rates[0] is None or rates[1] is None:
        return None
    return Difference(column, defense, rates[0], rates[1], change, p), p
