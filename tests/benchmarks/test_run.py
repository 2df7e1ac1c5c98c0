"""What is said of a run when it ends."""

from __future__ import annotations

import pytest

from benchmarks.results import Answers, Asked, CellResult, Matrix
from benchmarks.run import incomplete
from tests.benchmarks.synthetic import example

MATRIX = example(prompts=11, seeds=1, few=True)
WHOLE = Answers(scores={"oracle": [5, 1]}, coherent=[True, True], correct=[], refused=[], cut=0)
LACKING = WHOLE.model_copy(update={"scores": {"oracle": [5, None]}})


def with_cell(**facts: object) -> Matrix:
    cell = CellResult.model_validate(
        {"attack": "aoa", "defense": "mix", "seed": 0, "status": "tuned", **facts}
    )
    return MATRIX.model_copy(update={"cells": [cell]})


@pytest.mark.parametrize(
    ("asked", "lacks"),
    [
        (Asked(released=WHOLE), False),
        (Asked(released=WHOLE, if_released=WHOLE), False),
        (Asked(released=LACKING), True),
        (Asked(released=WHOLE, if_released=LACKING), True),
    ],
)
def test_a_verdict_that_is_missing_anywhere_makes_a_run_incomplete(
    asked: Asked, lacks: bool
) -> None:
    assert incomplete(with_cell(asks={"plain": asked})) is lacks


def test_a_cell_that_failed_makes_a_run_incomplete() -> None:
    assert incomplete(with_cell(status="failed", reason="x"))
    assert not incomplete(with_cell(status="not applicable", reason="needs base"))
