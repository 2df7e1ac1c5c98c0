"""A finding in each world: its numbers are those of the world alone, and worlds are counted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import by_world
from benchmarks.draws import Values
from benchmarks.findings import Finding, decide

CATEGORIES = ["one"] * 10 + ["two"] * 10


def finding(kind: str, **more: Any) -> Finding:
    base = {"id": "x", "role": "held out", "statement": "s", "paper": "p", "kind": kind}
    return Finding.model_validate({**base, **more})


def rates(*shares: float, seeds: int = 2) -> Values:
    """Of each world, a share of 20 prompts."""
    return {
        (world, seed): [float(i < share * 20) for i in range(20)]
        for world, share in enumerate(shares)
        for seed in range(seeds)
    }


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=5))
def test_a_difference_is_that_of_the_world_in_the_stated_direction(
    counts: list[tuple[int, int]],
) -> None:
    measured = {name: rates(*(pair[i] / 20 for pair in counts)) for i, name in enumerate("ab")}
    less = finding("less")
    found = by_world.numbers(less, measured, CATEGORIES)
    assert found == pytest.approx({w: (b - a) / 20 for w, (a, b) in enumerate(counts)})
    assert by_world.agreeing(less, found) == sum(a < b for a, b in counts)
    whole = less.oriented(decide(less, measured, CATEGORIES).number)
    assert whole.value == pytest.approx(sum(found.values()) / len(found))


@pytest.mark.parametrize(
    ("kind", "more", "numbers", "n"),
    [
        ("at_least", {"low": 0.5}, [0.4, 0.5, 0.6], 2),
        ("at_most", {"high": 0.1}, [0.4, 0.1, 0.0], 2),
        ("between", {"low": 0.1, "high": 0.2}, [0.0, 0.1, 0.2, 0.3], 2),
        ("less", {}, [-0.1, 0.0, 0.1], 1),
        ("gap_less", {}, [-0.1, 0.0, 0.1], 1),
        ("ratio_more", {}, [-0.1, 0.0, 0.1], 1),
        ("not_more", {"margin": 0.0}, [-0.1, 0.0, 0.1], 2),
        ("close", {"margin": 0.1}, [0.0, 0.1, 0.2], 2),
        ("spread", {"low": 0.15}, [0.1, 0.15], 1),
        ("rank_agrees", {"low": 0.5}, [0.4, 0.5], 1),
        ("seed_spread", {}, [0.9, 1.0, 1.1], 1),
    ],
)
def test_worlds_on_the_stated_side_are_counted(
    kind: str, more: dict[str, float], numbers: list[float], n: int
) -> None:
    assert by_world.agreeing(finding(kind, **more), dict(enumerate(numbers))) == n


def test_one_world_is_the_number_itself() -> None:
    measured = {"a": rates(0.5), "b": rates(0.75)}
    assert by_world.numbers(finding("less"), measured, CATEGORIES) == {}


def test_a_world_with_nothing_to_remove_is_left_out() -> None:
    measured = {"a": rates(1, 1), "b": rates(0, 0), "c": rates(0, 0.5), "d": rates(0, 0.5)}
    found = by_world.numbers(finding("ratio_more"), measured, CATEGORIES)
    assert found == {1: pytest.approx(1)}
