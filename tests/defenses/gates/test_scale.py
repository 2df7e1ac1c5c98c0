from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defenses.gates.scale import KNEE, Scale

scores = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)


@given(scores, st.floats(-1e7, 1e7), st.floats(-1e7, 1e7))
def test_a_higher_score_is_never_less_of_a_surprise(
    benign: list[float], one: float, other: float
) -> None:
    scale = Scale.of(benign)
    low, high = sorted((one, other))
    assert 0 <= scale.surprise(low) <= scale.surprise(high)


@given(scores)
def test_it_survives_being_written_down(benign: list[float]) -> None:
    scale = Scale.of(benign)
    assert Scale.model_validate_json(scale.model_dump_json()) == scale


def test_a_surprise_is_the_logarithm_of_how_rare_a_score_is() -> None:
    benign = np.random.default_rng(0).exponential(size=20_000)
    scale = Scale.of(list(benign))
    for score in (0.1, 1.0, 2.0, 5.0, 9.0):  # P(X >= x) = exp(-x)
        assert scale.surprise(score) == pytest.approx(score, rel=0.05)


def test_the_commonest_score_is_no_surprise_and_any_other_is() -> None:
    scale = Scale.of([0.0] * 100)
    assert scale.surprise(0.0) == 0.0
    assert KNEE < scale.surprise(0.01) < scale.surprise(0.02)


def test_half_of_the_benign_uploads_are_above_the_median() -> None:
    assert Scale.of(list(range(1001))).surprise(500) == pytest.approx(math.log(2), rel=0.01)


@pytest.mark.parametrize("shape", [0.3, 0.8])
def test_a_heavy_tail_surprises_less(shape: float) -> None:
    random = np.random.default_rng(1)
    benign = (random.uniform(size=20_000) ** -shape - 1) / shape  # generalised Pareto
    scale = Scale.of(list(benign))
    assert scale.shape == pytest.approx(shape, abs=0.1)
    for rarity in (0.05, 0.01, 0.001):
        score = (rarity**-shape - 1) / shape
        assert scale.surprise(score) == pytest.approx(-math.log(rarity), rel=0.1)


def test_a_tail_that_ends_is_taken_for_exponential() -> None:
    scale = Scale.of(list(np.linspace(0, 1, 500)))
    assert scale.shape == 0.0
    assert scale.surprise(1.05) < KNEE
