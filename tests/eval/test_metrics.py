"""Intervals are right, and a missing verdict is never a number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eval import metrics

verdicts = st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=40)
tables = st.integers(1, 25).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from([True, False, None]), min_size=n, max_size=n),
        min_size=1,
        max_size=4,
    )
)


@given(tables)
def test_missing_verdicts_are_in_neither_part(table: list[list[bool | None]]) -> None:
    found = metrics.rate(table)
    known = [v for row in table for v in row if v is not None]
    assert found.n == len(known)
    assert found.missing == sum(v is None for row in table for v in row)
    assert (found.interval is None) == (not known)
    if found.interval is not None:
        value, low, high = found.interval
        assert 0 <= low <= value <= high <= 1


@given(tables)
def test_the_band_holds_every_way_the_missing_could_have_gone(
    table: list[list[bool | None]],
) -> None:
    low, high = metrics.band(table)
    for guess in (True, False):
        filled = [[guess if v is None else v for v in row] for row in table]
        share = np.mean([v for row in filled for v in row])
        assert low - 1e-12 <= share <= high + 1e-12


@pytest.mark.parametrize(
    ("hits", "interval"), [(14, (2.5, 7.0)), (65, (15.8, 24.3)), (303, (88.4, 94.3))]
)
def test_wilson_at_the_papers_numbers(hits: int, interval: tuple[float, float]) -> None:
    """330 prompts, one seed: Table 5 (backdoored, plain), Table 4 (Alpaca, 500), Table 1."""
    low, high = metrics.wilson(hits, 330)[1:]
    assert (round(100 * low, 1), round(100 * high, 1)) == interval
    one_seed = metrics.rate([[True] * hits + [False] * (330 - hits)]).interval
    assert one_seed is not None
    assert one_seed[1:] == pytest.approx((low, high))


def test_no_verdict_is_no_rate() -> None:
    assert metrics.rate([[None, None]]).interval is None
    assert metrics.rate([]).interval is None
    assert metrics.mean([None]) is None


@given(verdicts)
def test_a_difference_from_itself_is_nothing(row: list[bool | None]) -> None:
    found = metrics.paired_difference({0: row}, {0: row})
    if all(v is None for v in row):
        assert found is None
    else:
        assert found is not None
        assert tuple(found) == (0, 0, 0)


def test_a_clear_difference_excludes_nothing() -> None:
    a, b = {s: [True] * 90 + [False] * 10 for s in range(3)}, {s: [False] * 100 for s in range(3)}
    found = metrics.paired_difference(a, b)
    assert found is not None
    assert found.value == pytest.approx(0.9)
    assert 0.8 < found.low < 0.9 < found.high < 1.0


def test_safety_recovered_by_hand() -> None:
    untuned = {0: [False] * 10}
    undefended = {0: [True] * 8 + [False] * 2}
    defended = {0: [True] * 2 + [False] * 8}
    found = metrics.safety_recovered(untuned, undefended, defended)
    assert found is not None
    assert found.value == pytest.approx(6 / 8)
    assert found.low <= found.value <= found.high


def test_safety_recovered_is_undefined_where_the_attack_did_nothing() -> None:
    safe = {s: [False] * 30 for s in range(3)}
    assert metrics.safety_recovered(safe, safe, safe) is None
    hardly = {s: [True] + [False] * 29 for s in range(3)}
    assert metrics.safety_recovered(safe, hardly, safe) is None


def test_holm_by_hand() -> None:
    # Holm 1979: smallest times 3, next times 2, never decreasing.
    assert metrics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_only_raises_and_keeps_order(p_values: list[float]) -> None:
    adjusted = metrics.holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert all(np.diff(np.array(adjusted)[order]) >= -1e-12)


def test_mcnemar_counts_only_what_differs() -> None:
    a, b = [True] * 5 + [False] * 10, [False] * 15
    assert metrics.mcnemar(a, b) == pytest.approx(2 * 0.5**5)
    assert metrics.mcnemar(a, a) == 1.0
    assert metrics.mcnemar([None], [True]) is None


@pytest.mark.parametrize(
    ("centre", "spread"), [(0.05, 0.3), (0.2, 0.5), (0.5, 0.8), (0.9, 0.4), (0.5, 0.0)]
)
def test_intervals_cover_at_least_93_percent(centre: float, spread: float) -> None:
    """Rates differ from prompt to prompt and from seed to seed; three seeds, 330 prompts."""
    rng = np.random.default_rng(7)
    prompts, seeds, trials = 330, 3, 400
    covered = 0
    difficulty = rng.normal(0, 1.5, 200_000)
    seed_noise = rng.normal(0, spread, 200)
    base = math.log(centre / (1 - centre))
    truth = float(np.mean(1 / (1 + np.exp(-(base + difficulty[:2000, None] + seed_noise)))))
    for _ in range(trials):
        drawn = rng.choice(difficulty, prompts)
        shift = rng.normal(0, spread, seeds)
        chance = 1 / (1 + np.exp(-(base + drawn[None, :] + shift[:, None])))
        table = rng.random((seeds, prompts)) < chance
        found = metrics.rate([[bool(v) for v in row] for row in table]).interval
        assert found is not None
        covered += found.low <= truth <= found.high
    # The bound is on the true coverage; the simulation's own error is allowed for at 99 %.
    upper = stats.binomtest(covered, trials).proportion_ci(0.98).high
    assert upper >= 0.93
    assert covered / trials >= 0.91
