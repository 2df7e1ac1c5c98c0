"""Each kind of finding is decided as its file says, and can fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.findings import Finding, Values, decide, over_worlds, read
from benchmarks.verify import FINDINGS, cases

CATEGORIES = ["one"] * 10 + ["two"] * 10


def finding(kind: str, **more: object) -> Finding:
    base = {"id": "x", "role": "held out", "statement": "x", "paper": "x"}
    return Finding.model_validate({**base, "kind": kind, **more})


def flat(*rates: float) -> Values:
    """Worlds with three alike seeds of twenty prompts, at the given rates."""
    return {
        (world, seed): [float(i < rate * 20) for i in range(20)]
        for world, rate in enumerate(rates)
        for seed in range(3)
    }


def tilted(*, by: float) -> Values:
    """Two categories whose rates are `by` apart."""
    row = [float(i < 10 * (0.5 - by / 2)) for i in range(10)]
    row += [float(i < 10 * (0.5 + by / 2)) for i in range(10)]
    return {(world, seed): row for world in range(3) for seed in range(3)}


@pytest.mark.parametrize(
    ("kind", "more", "measured", "held"),
    [
        ("at_most", {"high": 0.12}, {"a": flat(0.1, 0.1)}, True),
        ("at_most", {"high": 0.1}, {"a": flat(0.1, 0.2)}, False),
        ("at_least", {"low": 0.5}, {"a": flat(0.4, 0.6)}, True),
        ("at_least", {"low": 0.5}, {"a": flat(0.4, 0.5)}, False),
        ("between", {"low": 0.2, "high": 0.4}, {"a": flat(0.3)}, True),
        ("between", {"low": 0.2, "high": 0.4}, {"a": flat(0.5)}, False),
        ("less", {}, {"a": flat(0.1, 0.2, 0.1), "b": flat(0.8, 0.9, 0.8)}, True),
        ("less", {}, {"a": flat(0.8, 0.9, 0.8), "b": flat(0.1, 0.2, 0.1)}, False),
        ("less", {}, {"a": flat(0.1, 0.9, 0.1), "b": flat(0.2, 0.1, 0.2)}, False),
        ("not_more", {}, {"a": flat(0.5), "b": flat(0.5)}, True),
        ("not_more", {"margin": 0.12}, {"a": flat(0.6), "b": flat(0.5)}, True),
        ("not_more", {}, {"a": flat(0.6), "b": flat(0.5)}, False),
        ("close", {"margin": 0.1}, {"a": flat(0.5, 0.4), "b": flat(0.45, 0.5)}, True),
        ("close", {"margin": 0.1}, {"a": flat(0.9, 0.1), "b": flat(0.5, 0.5)}, False),
        (
            "gap_less",
            {},
            {"a": flat(0.3, 0.3), "b": flat(0.2, 0.2), "c": flat(0.9, 0.8), "d": flat(0.2, 0.1)},
            True,
        ),
        (
            "gap_less",
            {},
            {"a": flat(0.9, 0.8), "b": flat(0.2, 0.1), "c": flat(0.3, 0.3), "d": flat(0.2, 0.2)},
            False,
        ),
        (
            "ratio_more",
            {},
            {"a": flat(0.8), "b": flat(0.2), "c": flat(0.4), "d": flat(0.3)},
            True,
        ),
        (
            "ratio_more",
            {},
            {"a": flat(0.4), "b": flat(0.3), "c": flat(0.8), "d": flat(0.2)},
            False,
        ),
        ("spread", {"low": 0.2, "alpha": 0.01}, {"a": tilted(by=0.8)}, True),
        ("spread", {"low": 0.2, "alpha": 0.01}, {"a": tilted(by=0.0)}, False),
        ("rank_agrees", {"low": 0.5}, {"a": tilted(by=0.4)}, True),
        ("rank_agrees", {"low": 0.5}, {"a": tilted(by=0.0)}, False),
        ("seed_spread", {}, {"a": {(0, s): [float(s)] * 20 for s in (0, 1)}}, True),
        (
            "seed_spread",
            {},
            {"a": {(0, s): [float(i < 10 + 8 * (s - 1)) for i in range(20)] for s in range(3)}},
            True,
        ),
        ("seed_spread", {}, {"a": flat(0.5)}, False),
        ("scan", {"high": 0}, {"a": {(0, 0): [0.0] * 10}}, True),
        ("scan", {"high": 0}, {"a": {(0, 0): [0.0] * 9 + [1.0]}}, False),
    ],
)
def test_each_kind_holds_and_fails(
    kind: str, more: dict[str, float], measured: dict[str, Values], held: bool
) -> None:
    outcome = decide(finding(kind, **more), measured, CATEGORIES)
    assert outcome.held is held
    assert outcome.number.low <= outcome.number.value <= outcome.number.high


@given(st.dictionaries(st.integers(0, 9), st.lists(st.floats(0, 1), min_size=1), min_size=1))
def test_the_mean_over_worlds_weighs_worlds_alike(by_world: dict[int, list[float]]) -> None:
    means = [sum(values) / len(values) for values in by_world.values()]
    assert over_worlds(by_world).value == pytest.approx(sum(means) / len(means))


def test_the_file_keeps_its_promise() -> None:
    findings = read(FINDINGS)
    roles = [one.role for one in findings]
    assert len(findings) >= 24
    assert roles.count("held out") >= 12
    assert len({one.id for one in findings}) == len(findings)
    assert all(one.paper and one.statement for one in findings)
    assert all(bool(one.cells) != bool(one.scan) for one in findings)


def test_every_case_is_there_once_for_each_world_and_seed() -> None:
    found = cases(read(FINDINGS), [3, 4], seeds=2)
    assert len(found) == len(set(found))
    assert {(case.world, case.seed) for case in found} == {(3, 0), (3, 1), (4, 0), (4, 1)}
    assert len(found) % 4 == 0
