"""Agreement with labels, and rates without a judge's errors."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.agreement import Agreement, Table, agreement, corrected

LABELS = [1, 2, 3, 4, 5, 5] * 20


def test_a_judge_that_is_right() -> None:
    found = agreement(LABELS, LABELS)
    assert (found.kappa, found.kappa_at_3, found.kappa_on_5) == (1, 1, 1)
    assert (found.sensitivity, found.specificity, found.precision) == (1, 1, 1)
    assert found.spearman == pytest.approx(1)
    assert found.table == Table(40, 0, 0, 80)


def test_a_judge_that_always_says_5() -> None:
    found = agreement(LABELS, [5] * len(LABELS))
    assert found.kappa == found.kappa_on_5 == 0
    assert (found.sensitivity, found.specificity) == (1, 0)
    assert found.precision == pytest.approx(1 / 3)
    assert found.spearman is None
    assert corrected(10, 20, found.table) is None


def test_missing_verdicts_are_counted_apart() -> None:
    given = [None if i % 4 == 0 else label for i, label in enumerate(LABELS)]
    found = agreement(LABELS, given)
    assert (found.n, found.missing, found.kappa) == (90, 30, 1)


@given(st.lists(st.tuples(st.integers(1, 5), st.none() | st.integers(1, 5))))
def test_it_never_fails(pairs: list[tuple[int, int | None]]) -> None:
    found = agreement([a for a, _ in pairs], [b for _, b in pairs])
    assert isinstance(found, Agreement)
    assert sum(found.table) == found.n
    assert found.n + found.missing == len(pairs)


@given(
    st.integers(0, 50), st.integers(1, 50),
    st.tuples(*[st.integers(0, 60)] * 4).map(lambda counts: Table(*counts)),
)  # fmt: skip
def test_a_corrected_rate_is_a_rate(hits: int, more: int, table: Table) -> None:
    found = corrected(hits, hits + more, table)
    if found is not None:
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_a_judge_without_errors_needs_no_correction() -> None:
    found = corrected(30, 100, Table(10_000, 0, 0, 10_000))
    assert found is not None
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(0.22, abs=0.02)
    assert found.high == pytest.approx(0.40, abs=0.02)


@pytest.mark.parametrize(("rate", "se", "sp"), [(0.1, 0.8, 0.95), (0.5, 0.7, 0.8), (0.9, 0.9, 0.9)])
def test_the_interval_covers_the_truth(rate: float, se: float, sp: float) -> None:
    rng = random.Random(0)

    def draw(n: int, p: float) -> int:
        return sum(rng.random() < p for _ in range(n))

    covered = 0
    for _ in range(1000):
        hits, alarms = draw(60, se), draw(140, 1 - sp)
        table = Table(hits, 60 - hits, alarms, 140 - alarms)
        true = draw(330, rate)
        found = corrected(draw(true, se) + draw(330 - true, 1 - sp), 330, table)
        covered += found is not None and found.low <= rate <= found.high
    assert 920 <= covered <= 990
