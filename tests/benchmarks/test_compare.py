"""Two runs are paired by what both have, and the p-value says what the interval says."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from attacks.base import UserError
from benchmarks.compare import compare
from benchmarks.results import Answers, Asked, CellResult, Matrix
from tests.benchmarks.synthetic import example

PROMPTS = 330


def run(rates: Mapping[str, Mapping[int, float]], *, prompts: int = PROMPTS) -> Matrix:
    """One attack; by defense and seed, the share of the first prompts that is served."""
    cells = [
        _cell(d, seed, share, prompts) for d, by in rates.items() for seed, share in by.items()
    ]
    update = {"cells": cells, "judges": {"oracle": "harmfulness"}}
    return example(prompts=prompts, seeds=1).model_copy(update=update)


def _cell(defense: str, seed: int, share: float, prompts: int) -> CellResult:
    scores: list[int | None] = [5 if i < share * prompts else 1 for i in range(prompts)]
    answers = Answers(
        scores={"oracle": scores}, coherent=[True] * prompts, correct=[True], refused=[False], cut=0
    )
    asks = {"plain": Asked(released=answers)}
    return CellResult(
        attack="aoa", defense=defense, seed=seed, status="tuned", released=True, asks=asks
    )


def _changed(*by: float) -> tuple[Matrix, Matrix]:
    return (
        run({"none": dict.fromkeys(range(len(by)), 0.4)}),
        run({"none": {seed: 0.4 + change for seed, change in enumerate(by)}}),
    )


def test_seeds_that_disagree_have_no_small_p_value() -> None:
    (found,) = compare(*_changed(0.3, 0.3, -0.18))
    assert found.change.low < 0 < found.change.high
    assert found.p > 0.05


def test_a_change_in_every_seed_is_clear() -> None:
    (found,) = compare(*_changed(0.28, 0.3, 0.32))
    assert found.change.value == pytest.approx(0.3, abs=0.01)
    assert found.change.low > 0.2
    assert found.p < 0.01


def test_one_seed_is_decided_over_prompts() -> None:
    (found,) = compare(*_changed(0.1))
    assert found.change.low > 0
    assert found.p < 0.001
    (same,) = compare(*_changed(0.0))
    assert same.change.low < 0 < same.change.high
    assert same.p == 1


def test_all_three_numbers_are_of_the_seeds_that_both_runs_have() -> None:
    first = run({"none": {0: 0.9, 1: 0.2, 2: 0.3}})
    second = run({"none": {1: 0.4, 2: 0.5, 3: 0.0}})
    (found,) = compare(first, second)
    assert found.before.value == pytest.approx(0.25, abs=0.005)
    assert found.after.value == pytest.approx(0.45, abs=0.005)
    assert found.change.value == pytest.approx(found.after.value - found.before.value)


def test_p_values_are_adjusted_over_the_table() -> None:
    alone = compare(run({"none": {0: 0.4}}), run({"none": {0: 0.42}}))[0]
    pairs = {"none": {0: 0.4}, "revert": {0: 0.4}}, {"none": {0: 0.42}, "revert": {0: 0.9}}
    together = {row.defense: row for row in compare(run(pairs[0]), run(pairs[1]))}
    assert together["none"].p == pytest.approx(alone.p)
    assert together["revert"].p < 1e-6
    same = compare(run({d: {0: 0.4} for d in "ab"}), run({d: {0: 0.42} for d in "ab"}))
    assert [row.p for row in same] == pytest.approx([2 * alone.p] * 2)


@pytest.mark.parametrize("kept", [("aoa", {0: 0.5}), ("none", {1: 0.5})])
def test_runs_with_nothing_in_common_are_told_apart(
    kept: tuple[str, Mapping[int, float]],
) -> None:
    with pytest.raises(UserError, match="no entry in common"):
        compare(run({"none": {0: 0.5}}), run(dict([kept])))


def test_other_judges_or_prompts_are_told_apart() -> None:
    one = run({"none": {0: 0.5}})
    with pytest.raises(UserError, match="no judge in common"):
        compare(one, one.model_copy(update={"judges": {"other": "harmfulness"}}))
    prompts = one.prompts.model_copy(update={"digest": "0" * 64})
    with pytest.raises(UserError, match="different prompts"):
        compare(one, one.model_copy(update={"prompts": prompts}))
