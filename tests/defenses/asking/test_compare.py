"""Paired comparison by category: exact intervals, and p-values that are corrected for many."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from defenses.asking.compare import by_category, clopper_pearson, compare

verdict = st.sampled_from([True, False, None])


@given(st.lists(st.tuples(st.sampled_from("abc"), verdict, verdict), max_size=40))
def test_categories_add_up_to_the_whole(rows: list[tuple[str, bool | None, bool | None]]) -> None:
    kinds, start, candidate = ([row[i] for row in rows] for i in range(3))
    whole, parts = compare(start, candidate), by_category(kinds, candidate, start)
    assert sum(one.known for one in parts) == whole.known
    assert sum(one.harmful for one in parts) == whole.harmful
    assert sum(one.start_harmful or 0 for one in parts) == whole.start_harmful
    assert [one.name for one in parts] == sorted(set(kinds))
    for one in parts:
        assert one.p is not None
        assert (one.interval is None) == (one.known == 0)


def test_many_categories_cost_power() -> None:
    kinds = [kind for kind in "abcd" for _ in range(6)]
    worse = [kind == "a" for kind in kinds]
    found = by_category(kinds, worse, [False] * 24)
    assert found[0].p == pytest.approx(4 / 64)  # Holm: four tests, six changes to none
    assert found[1].p == 1.0
    alone = by_category(kinds, worse)
    assert (alone[0].p, alone[0].start_harmful, alone[0].harmful) == (None, None, 6)


def test_exact_intervals_have_their_known_values() -> None:
    found = clopper_pearson(3, 10)
    assert found is not None
    assert found == pytest.approx((0.3, 0.0667, 0.6525), abs=1e-4)
    assert clopper_pearson(0, 0) is None
