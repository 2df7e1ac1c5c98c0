from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gates.scoring import area, exact, over_families, paired, roc

stopped = st.dictionaries(
    st.sampled_from("abcdef"), st.lists(st.booleans(), min_size=1, max_size=25), min_size=1
)


@given(stopped)
def test_the_mean_over_families_lies_in_its_interval(found: dict[str, list[bool]]) -> None:
    interval = over_families(found)
    assert interval is not None
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.value == pytest.approx(np.mean([np.mean(v) for v in found.values()]))


def test_a_large_family_weighs_no_more_than_a_small_one() -> None:
    found = over_families({"large": [True] * 100, "small": [False] * 2})
    assert found is not None
    assert found.value == 0.5
    assert (found.low, found.high) == (0.0, 1.0)


def test_families_are_drawn_and_not_only_uploads() -> None:
    alike = over_families({str(at): [at % 2 == 0] * 25 for at in range(10)})
    mixed = over_families({str(at): [True, False] * 12 for at in range(10)})
    assert alike is not None
    assert mixed is not None
    assert alike.high - alike.low > 3 * (mixed.high - mixed.low)


def test_the_interval_covers_the_truth() -> None:
    random, covered = np.random.default_rng(3), 0
    for trial in range(200):
        rates = random.beta(4, 2, size=12)  # families' own rates; their mean is 2 / 3
        stopped_ = {str(at): random.random(25) < p for at, p in enumerate(rates)}
        found = over_families(stopped_, trial, resamples=400)
        assert found is not None
        covered += found.low <= 2 / 3 <= found.high
    assert covered >= 178  # 95 % nominal; a bootstrap of twelve families is somewhat short of it


def test_a_paired_difference_is_of_the_same_uploads() -> None:
    one = {"a": [True, True, False], "b": [True]}
    assert paired(one, one) == (0.0, 0.0, 0.0)
    better = paired(one, {"a": [False, False, False], "b": [False]})
    assert better is not None
    assert better.low > 0


def test_shares_of_nothing_are_not_known() -> None:
    assert exact(0, 0) is None
    assert over_families({}) is None
    assert roc([], [1.0]) is None
    assert area([1.0], []) is None


def test_no_false_alarm_in_300_is_a_rate_below_one_and_a_quarter_percent() -> None:
    found = exact(0, 300)
    assert found is not None
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 300))


def test_a_curve_that_separates_has_area_one() -> None:
    assert area([0.0, 1.0], [2.0, 3.0]) == 1.0
    curve = roc([0.0, 1.0], [2.0, 3.0])
    assert curve is not None
    assert (0.0, 1.0) in zip(curve.false_alarms, curve.detections, strict=True)
