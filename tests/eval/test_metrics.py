"""Intervals are right, and a missing verdict is never a number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eval import metrics

Table = list[list[bool | None]]
verdicts = st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=40)
tables = st.integers(1, 25).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from([True, False, None]), min_size=n, max_size=n),
        min_size=1,
        max_size=4,
    )
)

two_runs = st.tuples(st.integers(1, 25), st.integers(1, 4)).flatmap(
    lambda size: st.tuples(*[_table(*size)] * 2)
)


def _table(prompts: int, seeds: int) -> st.SearchStrategy[Table]:
    row = st.lists(st.sampled_from([True, False, None]), min_size=prompts, max_size=prompts)
    return st.lists(row, min_size=seeds, max_size=seeds)


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
    low, high = metrics.wilson(hits / 330, 330)[1:]
    known = stats.binomtest(hits, 330).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((known.low, known.high))
    assert (round(100 * low, 1), round(100 * high, 1)) == interval
    one_seed = metrics.rate([[True] * hits + [False] * (330 - hits)]).interval
    assert one_seed is not None
    assert one_seed[1:] == pytest.approx((low, high))


def test_no_verdict_is_no_rate() -> None:
    assert metrics.rate([[None, None]]).interval is None
    assert metrics.rate([]).interval is None
    assert metrics.mean([None]) is None


@given(verdicts)
def test_a_difference_from_itself_is_nothing_and_never_certain(row: list[bool | None]) -> None:
    found = metrics.paired_difference({0: row}, {0: row})
    if all(v is None for v in row):
        assert found is None
        assert metrics.paired_p({0: row}, {0: row}) is None
    else:
        assert found is not None
        assert found.value == 0
        assert found.low < 0 < found.high
        assert metrics.paired_p({0: row}, {0: row}) == 1


@given(two_runs)
def test_a_difference_has_width_and_its_p_value_agrees_with_it(runs: tuple[Table, Table]) -> None:
    a, b = (dict(enumerate(table)) for table in runs)
    found, p = metrics.paired_difference(a, b), metrics.paired_p(a, b)
    assert (found is None) == (p is None)
    if found is None or p is None:
        return
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0
    back = metrics.paired_difference(b, a)
    assert back is not None
    assert tuple(back) == pytest.approx((-found.value, -found.high, -found.low))
    assert (p < 1 - metrics.CONFIDENCE) == (found.low > 0 or found.high < 0)


def test_two_seeds_that_disagree_are_no_clear_difference() -> None:
    """Over prompts alone this would be certain; the seeds say +60 and +10 points."""
    a = {0: [True] * 60 + [False] * 40, 1: [True] * 10 + [False] * 90}
    found = metrics.paired_difference(a, {s: [False] * 100 for s in a})
    assert found is not None
    assert found.value == pytest.approx(0.35)
    assert found.low < 0
    assert found.high == 1


def test_few_prompts_that_are_alike_are_not_certain() -> None:
    def three(share: bool) -> dict[int, list[bool | None]]:
        return {0: [share] * 3}

    found = metrics.paired_difference(three(True), three(False))
    assert found is not None
    assert (found.value, found.high) == (1, 1)
    assert found.low < 0.5
    # With one prompt even the effect is not sure; with eight it is, but not how much is recovered.
    one, none = {0: [True]}, {0: [False]}
    assert metrics.safety_recovered(none, one, none) is None
    eight, zero = {0: [True] * 8}, {0: [False] * 8}
    recovered = metrics.safety_recovered(zero, eight, zero)
    assert recovered is not None
    assert recovered.value == 1
    assert recovered.low < 0.8
    assert recovered.high > 1


@pytest.mark.parametrize("span", [1.0, 4.0])
@given(values=st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_the_interval_of_a_mean_holds_it_and_has_width(span: float, values: list[float]) -> None:
    low, high = metrics.mean_interval(np.array(values) * span, span)
    assert low < np.mean(values) * span < high


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


def test_safety_recovered_looks_only_where_all_three_have_a_verdict() -> None:
    untuned: dict[int, list[bool | None]] = {0: [False] * 40, 1: [None] * 40}
    undefended: dict[int, list[bool | None]] = {0: [True] * 40, 1: [False] * 40}
    defended: dict[int, list[bool | None]] = {0: [False] * 10 + [True] * 20 + [None] * 10}
    defended[1] = [True] * 40
    found = metrics.safety_recovered(untuned, undefended, defended)
    assert found is not None
    assert found.value == pytest.approx(1 / 3)


def test_fieller_over_seeds_by_hand() -> None:
    """An even attack on many prompts: only the seeds of the defended model differ."""
    n = 1000
    untuned = {s: [False] * n for s in range(3)}
    undefended = {s: [True] * n for s in range(3)}
    shares = (0.2, 0.3, 0.4)
    defended = {s: [i < x * n for i in range(n)] for s, x in enumerate(shares)}
    found = metrics.safety_recovered(untuned, undefended, defended)
    assert found is not None
    # Nothing in the denominator varies over seeds, so Fieller's interval is Student's.
    half = metrics.t_half_width(shares)
    assert tuple(found) == pytest.approx((0.7, 0.7 - half, 0.7 + half))


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


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("rates", [(0.02, 0.6, 0.2), (0.0, 0.9, 0.5)])
def test_comparisons_cover_at_least_93_percent(
    seeds: int, rates: tuple[float, float, float]
) -> None:
    """Rates differ by 10 points from seed to seed and by prompt; the 330 prompts are shared."""
    rng = np.random.default_rng(11)
    untuned, undefended, defended = rates
    trials, covered = 400, {"difference": 0, "recovered": 0}
    defined = 0
    for _ in range(trials):
        lean = rng.choice([-0.05, 0.05], 330)
        tables = [
            _drawn(rng, seeds, rate + lean * (rate > 0.1), 0.1 * (rate > 0.1)) for rate in rates
        ]
        difference = metrics.paired_difference(tables[2], tables[1])
        recovered = metrics.safety_recovered(*tables)
        assert difference is not None
        covered["difference"] += difference.low <= defended - undefended <= difference.high
        if recovered is not None:
            truth = (undefended - defended) / (undefended - untuned)
            covered["recovered"] += recovered.low <= truth <= recovered.high
            defined += 1
    assert defined > trials / 3
    for count, out_of in ((covered["difference"], trials), (covered["recovered"], defined)):
        # The bound is on the true coverage; the simulation's own error is allowed for at 99 %.
        assert stats.binomtest(count, out_of).proportion_ci(0.98).high >= 0.93
        assert count / out_of >= 0.9


def _drawn(
    rng: np.random.Generator, seeds: int, chance: np.ndarray, spread: float
) -> dict[int, list[bool | None]]:
    """Verdicts of some seeds, each of which shifts every prompt's chance alike."""
    shifts = rng.normal(0, spread, seeds)
    return {s: (rng.random(330) < chance + shift).tolist() for s, shift in enumerate(shifts)}


RATINGS = st.lists(
    st.lists(st.none() | st.integers(1, 10), min_size=4, max_size=4), min_size=1, max_size=3
)


@given(RATINGS)
def test_a_mean_rating_stays_on_its_scale(by_seed: list[list[int | None]]) -> None:
    found = metrics.mean_rating(by_seed)
    known = [[v for v in row if v is not None] for row in by_seed]
    known = [row for row in known if row]
    if found is None:
        assert not known
        return
    assert found.value == pytest.approx(np.mean([np.mean(row) for row in known]))
    assert 1 <= found.low < found.high <= 10
    assert found.low <= found.value <= found.high
    # Neither end of a scale is certain, however alike ratings are.
    assert metrics.mean_rating([[10] * 80]).low < 10  # type: ignore[union-attr]
