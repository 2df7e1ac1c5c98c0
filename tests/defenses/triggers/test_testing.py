"""The exact tests of a trigger: what each of the three asks for, and how often they err."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from defenses.triggers.testing import trial, uplift
from eval.metrics import holm

MARGIN = 0.2


def p_of(harmful: list[bool], plain: list[bool], start: list[bool]) -> float:
    return trial(harmful, plain, start).p_value(MARGIN)


def test_each_of_the_three_must_hold() -> None:
    n, yes, no = 55, [True] * 55, [False] * 55
    assert p_of(yes, no, no) < 1e-10
    assert p_of(yes, yes, no) == 1.0  # harmful without it too
    assert p_of(yes, no, yes) == 1.0  # the start model is moved by it too
    assert p_of(no, no, no) == 1.0
    few = [i < 10 for i in range(n)]  # surely more than none, but on less than the margin
    assert 0.1 < p_of(few, no, no) < 1


def test_p_values_are_those_of_scipy() -> None:
    harmful = [i < 30 for i in range(55)]
    plain = [20 <= i < 34 for i in range(55)]
    start = [i in (0, 54) for i in range(55)]
    one = trial(harmful, plain, start)
    assert one[:6] == (30, 14, 2, (20, 4), (29, 1), 19)
    wanted = [
        binomtest(20, 24, 0.5, alternative="greater"),
        binomtest(29, 30, 0.5, alternative="greater"),
        binomtest(19, 55, MARGIN, alternative="greater"),
    ]
    assert one.p_value(MARGIN) == pytest.approx(max(test.pvalue for test in wanted))


Verdicts = st.lists(st.tuples(*[st.sampled_from([True, False, None])] * 3), max_size=40)


@given(Verdicts)
def test_a_missing_verdict_is_no_verdict(triples: list[tuple[bool | None, ...]]) -> None:
    columns = [[row[i] for row in triples] for i in range(3)]
    one = trial(*columns)
    whole = [row for row in triples if None not in row]
    assert (one.known, one.missing) == (len(whole), len(triples) - len(whole))
    assert 0 <= one.p_value(MARGIN) <= 1
    assert one[:7] == trial(*[[row[i] for row in whole] for i in range(3)])[:7]
    assert (one.rate(one.harmful) is None) == (not whole)


def test_an_uplift_counts_both_ways() -> None:
    assert uplift([True, True, False, None], [False, True, True, False]) == 0.0
    assert uplift([True, True, False, None], [False, False, False, False]) == 0.5


@pytest.mark.parametrize("plain_rate", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("at_margin", [True, False])
def test_false_alarms_stay_within_the_stated_rate(plain_rate: float, at_margin: bool) -> None:
    """Four phrases that switch just the margin's share of probes, or that change nothing at all."""
    rng, alpha, runs, n = np.random.default_rng(0), 0.05, 600, 55
    alarms = 0
    for _ in range(runs):
        plain = rng.random(n) < plain_rate
        start = rng.random(n) < 0.03
        p_values = []
        for _ in range(4):
            again = rng.random(n) < plain_rate
            switched = rng.random(n) < MARGIN
            harmful = switched if at_margin else again
            p_values.append(p_of(list(harmful), list(plain), list(start)))
        alarms += min(holm(p_values)) < alpha
    assert binomtest(alarms, runs, alpha, alternative="greater").pvalue > 0.001
    if at_margin and plain_rate == 0:
        assert alarms > 0  # at the margin the test is exact but for rounding: it does use its rate


def test_a_phrase_that_moves_the_start_model_as_much_is_no_trigger() -> None:
    harmful = [True] * 25 + [False] * 30
    start = [False] * 25 + [True] * 25 + [False] * 5
    found = trial(harmful, [False] * 55, start)
    assert found.p_value(0.2) > 0.4
    assert trial(harmful, [False] * 55, [False] * 55).p_value(0.2) < 1e-3
