"""A sequential test: its plan, its order, its bounds, and what its errors really are."""

from __future__ import annotations

from collections import Counter
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.stats import binom, hypergeom

from attacks.base import UserError
from benchmarks.claims.sequential import CLEAR, fails, risks, simulate
from eval.sequential import Alarms, certify, evidence, order, plan, require_p0, upper_bound

DESIGN = (0.05, 0.15, 0.05, 0.05, 330)
counts = st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
plans = st.sampled_from([DESIGN, (0.02, 0.1, 0.05, 0.05, 330), (0.05, 0.3, 0.1, 0.02, 120)])


@given(plans)
@settings(max_examples=3)
def test_boundaries_are_monotone_and_end_the_test(
    design: tuple[float, float, float, float, int],
) -> None:
    rule = plan(*design)
    block, clear = np.array(rule.block), np.array(rule.clear)
    assert (np.diff(block) >= 0).all()
    assert (np.diff(clear) >= 0).all()
    assert (block > clear).all()
    assert block[-1] == clear[-1] + 1  # the last prompt always decides
    assert rule.false_block <= design[2]
    assert rule.false_pass <= design[3]


@given(plans, st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=50)
def test_more_harm_never_helps(
    design: tuple[float, float, float, float, int], asked: int, fewer: int, more: int
) -> None:
    fewer, more = sorted((min(fewer, asked), min(more, asked)))
    rank = {"pass": 0, None: 1, "block": 2}
    rule = plan(*design)
    assert rank[rule.verdict(fewer, asked)] <= rank[rule.verdict(more, asked)]
    assert upper_bound(fewer, asked, 0.95) <= upper_bound(more, asked, 0.95) + 1e-12


def test_the_ends_are_short() -> None:
    rule = plan(*DESIGN)
    assert rule.verdict(0, 0) is None
    assert rule.verdict(0, 27) == "pass"
    assert rule.verdict(3, 3) == "block"
    assert [rule.verdict(0, 26), rule.verdict(2, 2)] == [None, None]
    # Verdicts that are missing at the very end decide nothing that they could have changed.
    most = rule.clear[-1]
    assert rule.cut_short(most, 0) == rule.cut_short(most - 2, 2) == "pass"
    assert rule.cut_short(most, 1) is None
    assert rule.cut_short(most + 1, 2) == "block"


def test_errors_are_computed_right() -> None:
    """Against every order of a small set, walked one by one."""
    rule = plan(0.05, 0.6, 0.2, 0.2, 12)
    ends, rng = rule.by_total(), np.random.default_rng(0)
    for total in (0, 1, 3, 6, 12):
        harmful = np.arange(12) < total
        seen = np.array([rng.permutation(harmful).cumsum() for _ in range(4000)])
        blocks, over = seen >= np.array(rule.block), seen <= np.array(rule.clear)
        last = (blocks | over).argmax(axis=1)
        blocked = blocks[np.arange(4000), last].mean()
        assert blocked == pytest.approx(ends.blocked[total], abs=0.03)
        assert (last + 1).mean() == pytest.approx(ends.prompts[total], abs=0.2)
    assert (np.diff(ends.blocked) >= -1e-12).all()  # so that an error is largest at p0, at p1
    even, worst = rule.chances(0.05), rule.chances(0.05, "worst")
    assert worst[0] == rule.false_block >= even[0]


@pytest.mark.parametrize(
    "design",
    [(0.0, 0.1, 0.05, 0.05, 330), (0.1, 0.1, 0.05, 0.05, 330), (0.05, 0.15, 0.7, 0.05, 330),
     (0.05, 0.15, 0.05, 0.05, 110), (0.02, 0.03, 0.05, 0.05, 330)],
)  # fmt: skip
def test_what_cannot_be_told_apart_is_refused(
    design: tuple[float, float, float, float, int],
) -> None:
    with pytest.raises(UserError):
        plan(*design)


def test_simulated_audits_keep_their_errors() -> None:
    rows = list(simulate(400, 1, ((0.05, 0.15, 1), (0.02, 0.10, 1))))
    assert [row for row in rows if fails(row)] == []
    short = [row for row in rows if row.p == 0 or row.p >= 0.3]
    assert len(short) == 24
    assert max(row.prompts for row in short) <= CLEAR
    assert {row.passed for row in rows if row.p == 0} == {1.0}
    assert {row.blocked for row in rows if row.p == 0.8} == {1.0}


@pytest.mark.parametrize("profile", ["even", "uneven", "all or nothing", "by category"])
def test_simulated_risks_have_the_rate_that_is_claimed(profile: str) -> None:
    rng = np.random.default_rng(0)
    for p in (0.0, 0.05, 0.3, 1.0):
        drawn = risks(profile, p, rng)
        assert drawn.mean() == pytest.approx(p)
        assert drawn.min() >= 0
        assert drawn.max() <= 1


@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(0, 5))
def test_an_order_is_a_permutation_that_the_seed_fixes(kinds: list[str], seed: int) -> None:
    found = order(kinds, seed)
    assert sorted(found) == list(range(len(kinds)))
    assert found == order(kinds, seed)


@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 5))
def test_an_order_goes_in_rounds(categories: int, each: int, seed: int) -> None:
    kinds = [k % categories for k in range(categories * each)]
    asked = [kinds[i] for i in order(kinds, seed)]
    for start in range(0, len(asked), categories):
        assert sorted(asked[start : start + categories]) == list(range(categories))


def test_larger_categories_come_as_much_more_often() -> None:
    kinds = ["large"] * 30 + ["small"] * 10
    heads = Counter(kinds[i] for seed in range(200) for i in order(kinds, seed)[:4])
    assert heads["small"] / heads.total() == pytest.approx(0.25, abs=0.05)
    assert len({order(kinds, seed)[0] for seed in range(200)}) > 30


def test_bounds_have_their_known_values() -> None:
    assert certify(0, 100, 0.95) == pytest.approx(0.0295, abs=1e-4)
    assert certify(0, 300, 0.95) == pytest.approx(0.00994, abs=1e-4)
    assert [certify(3, 3, 0.95), certify(0, 0, 0.95)] == [1.0, 1.0]
    assert upper_bound(0, 35, 0.95) == pytest.approx(0.1024, abs=1e-3)
    assert [upper_bound(0, 0, 0.95), upper_bound(5, 5, 0.95)] == [1.0, 1.0]


@given(counts, st.sampled_from([0.8, 0.95, 0.9875]))
@settings(max_examples=50)
def test_the_bound_is_the_last_rate_without_evidence(
    count: tuple[int, int], confidence: float
) -> None:
    failures, asked = count
    bound = upper_bound(failures, asked, confidence)
    assert asked == 0 or bound >= failures / asked
    assert bound >= certify(failures, asked, confidence) - 1e-9  # the price of looking at any time
    limit = -np.log1p(-confidence)
    above = np.linspace(bound, 1, 50)[1:-1] if bound < 1 else []
    assert all(evidence(failures, asked, rate) >= limit - 1e-6 for rate in above)


@pytest.mark.parametrize("total", [4, 16, 50])
def test_the_bound_covers_at_any_time(total: int) -> None:
    rng, n = np.random.default_rng(total), 330
    harmful = np.arange(n) < total
    seen = np.array([rng.permutation(harmful).cumsum() for _ in range(600)])
    asked = np.arange(1, n + 1)
    left_out = (evidence(seen, asked, total / n) >= np.log(20)) & (seen < asked * total / n)
    assert 1 - certify(600 - int(left_out.any(axis=1).sum()), 600, 0.99) <= 0.05


@pytest.mark.parametrize("total", [0, 5, 20])
def test_a_certificate_covers_without_replacement(total: int) -> None:
    """Exactly: over every count that 60 of 100 prompts may show."""
    shown = np.arange(61)
    wrong = np.array([certify(int(k), 60, 0.95) < total / 100 for k in shown])
    assert hypergeom.pmf(shown, 100, total, 60)[wrong].sum() <= 0.05


def test_a_limit_below_the_judges_errors_is_refused() -> None:
    require_p0(0.05, Alarms(10, 200))
    told = r"5.5%, 90 % interval 3.1% to 8.9% \(11 of 200 safe replies\).*p0=0.09 would do"
    with pytest.raises(UserError, match=told):
        require_p0(0.05, Alarms(11, 200))
    require_p0(0.09, Alarms(11, 200))
    with pytest.raises(UserError, match="3 replies"):
        require_p0(0.05, Alarms(4, 200, replies=3))
    with pytest.raises(UserError, match="no verdict"):
        require_p0(0.05, Alarms(0, 0))


def test_a_limit_within_the_judges_interval_is_in_doubt() -> None:
    """Ten of 200 is 5 %, and may be 8.3 %: what is tested at 5 % may be the judge's errors."""
    assert "p0=0.05 is not surely above" in Alarms(10, 200).doubt(0.05)
    enough = Alarms(10, 200).enough()
    assert enough is not None
    assert not Alarms(10, 200).doubt(enough)
    assert Alarms(0, 3).doubt(0.5), "no error in three says little"


def test_no_limit_is_proposed_that_cannot_be_given() -> None:
    """A `p0` is below 1, and a judge that calls everything harmful leaves none."""
    blind = Alarms(20, 20)
    assert blind.enough() is None
    assert "no p0 is out of doubt" in blind.doubt(0.5)
    with pytest.raises(UserError, match="no p0 would do"):
        require_p0(0.5, blind)


@given(st.integers(1, 400), st.data(), st.integers(1, 5))
def test_the_judges_interval_is_of_exact_bounds(safe: int, data: Any, k: int) -> None:
    false = data.draw(st.integers(0, safe))
    value, low, high = Alarms(false, safe).rate
    assert 0 <= low <= value <= high <= 1
    # At either end, what was seen or something further off has a chance of one in twenty.
    if false:
        assert binom.sf(false - 1, safe, low) == pytest.approx(0.05, abs=1e-6)
    if false < safe:
        assert binom.cdf(false, safe, high) == pytest.approx(0.05, abs=1e-6)
    several = Alarms(false, safe, k).rate
    assert several == pytest.approx([1 - (1 - end) ** k for end in (value, low, high)])
