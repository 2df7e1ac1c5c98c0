"""The order of cells: scipy's tau in each draw, an interval, nothing where there is no order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks import draws, ranks
from benchmarks.draws import DRAWS, Values
from benchmarks.ranks import LEAST, order, tau

FEW = st.lists(st.integers(0, 4).map(float), min_size=3, max_size=6)


def cell(rate: float, *, worlds: int = 3, seeds: int = 2, n: int = 20) -> Values:
    row = [float(i < rate * n) for i in range(n)]
    return {(world, seed): row for world in range(worlds) for seed in range(seeds)}


@given(
    st.integers(3, 7).flatmap(
        lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n)] * 2)
    )
)
@settings(max_examples=60, deadline=None)
def test_each_draw_has_scipys_tau(pair: tuple[list[int], list[int]]) -> None:
    papers, ours = (np.array(one, dtype=float) for one in pair)
    (found,) = ranks._taus(papers, ours[:, None])
    if np.ptp(papers) == 0 or np.ptp(ours) == 0:
        assert math.isnan(found)
        assert tau(papers, ours) is None
    else:
        assert found == pytest.approx(stats.kendalltau(papers, ours).statistic)
        assert tau(papers, ours) == pytest.approx(found)


@given(FEW, st.floats(0.5, 3))
@settings(max_examples=40, deadline=None)
def test_a_growing_function_changes_no_order(values: list[float], power: float) -> None:
    other = list(range(len(values)))
    first = tau(values, other)
    assert first == pytest.approx(tau([value**power for value in values], other))
    if first is not None:
        assert tau([-value for value in values], other) == pytest.approx(-first)


def test_the_same_order_is_one_and_the_other_way_round_minus_one() -> None:
    ours = [cell(0.1), cell(0.5), cell(0.9)]
    same = order([0.0, 0.4, 0.8], ours, [0, 10, 20]).tau
    assert same is not None
    assert same == (1, 1, 1)
    found = order([0.8, 0.4, 0.0], ours, [0, 10, 20])
    assert found.tau is not None
    assert found.tau.value == -1
    assert found.predictor == -1
    assert found.n == 3


def test_cells_that_hardly_differ_have_a_wide_interval() -> None:
    near = order([0.1, 0.2, 0.3], [cell(0.45), cell(0.5), cell(0.55)], [0, 0, 0])
    assert near.tau is not None
    rng = np.random.default_rng(3)
    noisy = [{key: rng.random(20).round().tolist() for key in cell(0.5)} for _ in range(4)]
    wide = order([0.1, 0.2, 0.3, 0.4], noisy, [1, 2, 3, 4]).tau
    assert wide is not None
    assert wide.low < 0 < wide.high
    assert wide.low <= wide.value <= wide.high


def test_no_order_is_no_tau() -> None:
    assert order([0.1, 0.9], [cell(0.1), cell(0.9)], [0, 1]) == (2, None, None)
    assert LEAST == 3
    flat = order([0.1, 0.2, 0.3], [cell(0.5)] * 3, [7, 7, 7])
    assert flat == (3, None, None)
    apart: list[Values] = [{(1, 0): [1.0]}, {(2, 0): [1.0]}, {(3, 0): [0.0]}]
    assert order([0.1, 0.2, 0.3], apart, [1, 2, 3]).tau is None


def test_worlds_in_another_order_make_no_order_of_equal_cells() -> None:
    rates = [0.1, 0.2, 0.3, 0.7]
    swapped = [rates, [0.7, 0.3, 0.2, 0.1], [0.3, 0.1, 0.7, 0.2], [0.2, 0.7, 0.1, 0.3]]
    assert len({float(np.mean(one)) for one in swapped}) > 1
    alike = [{(world, 0): [rate] for world, rate in enumerate(one)} for one in swapped]
    assert order([0.1, 0.2, 0.3, 0.4], alike, [1, 2, 3, 4]).tau is None
    more: Values = {(world, 0): [0.9] for world in range(4)}
    found = order([0.1, 0.2, 0.3, 0.4, 0.5], [*alike, more], [1, 2, 3, 4, 5]).tau
    ties = stats.kendalltau([1, 2, 3, 4, 5], [0, 0, 0, 0, 1]).statistic
    assert found is not None
    assert found.value == pytest.approx(ties)


def test_a_draw_without_order_widens_both_ends() -> None:
    # One prompt of one seed in each of two worlds: many draws hold one world twice, without order.
    ours: list[Values] = [
        {(0, 0): [0.0], (1, 0): [0.0]},
        {(0, 0): [0.0], (1, 0): [1.0]},
        {(0, 0): [0.0], (1, 0): [1.0]},
    ]
    found = order([0.1, 0.2, 0.3], ours, [1, 2, 3]).tau
    assert found is not None
    assert (found.low, found.high) == (-1, 1)


def test_draws_keep_cells_paired_and_average_worlds() -> None:
    one = draws.tables(cell(0.3))
    first, second = draws.means([one, one])
    assert first.shape == (DRAWS,)
    assert (first == second).all()
    assert first.mean() == pytest.approx(0.3, abs=0.02)
    worlds = draws.tables({(0, 0): [0.0] * 9, (1, 0): [1.0] * 9})
    assert set(draws.means([worlds])[0]) == {0.0, 0.5, 1.0}


def test_a_seed_without_any_value_is_left_out() -> None:
    found = draws.tables({(0, 0): [None, None], (0, 1): [1.0, None], (2, 0): [None, None]})
    assert list(found) == [0]
    assert found[0].shape == (1, 2)
